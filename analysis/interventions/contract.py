"""The contract of a treatment: a function from a model to a recipe, or to the reason why it does not apply.

A recipe is three independent choices: a graph edit, a description of the draw for each initialiser it renews, and a
gradient step. It holds no weights and no torch: the measurer and the exporter replay it, so a treatment costs nothing
until it is measured, and what is exported is what was measured.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from analysis.facts import Effect, GradientStep, Layer, Measurement
from analysis.graph.attention import AttentionSite
from analysis.graph.sources import Sources
from analysis.interventions.draws import Draw
from analysis.model import CheckedModel
from analysis.model.weights import Array


@dataclass(frozen=True, slots=True)
class NormalizationSite:
    """An inserted BatchNormalization: where it reads, and the tensors that hold its running statistics."""

    value: str
    mean: str
    variance: str


@dataclass(frozen=True, slots=True)
class UnitVariance:
    """A weight to be scaled until what its layer writes has variance 1 on the sample batch, bias left out."""

    weight: str
    output: str


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a treatment does to a model."""

    model: CheckedModel
    """Edited, or the same where the structure is kept."""
    effect: Effect
    words: str
    """The instruction, as a person would say it."""
    cost: str
    """How much it changes."""
    draws: Mapping[str, Draw] = field(default_factory=dict)
    gradient_step: GradientStep = field(default_factory=GradientStep)
    sites: tuple[NormalizationSite, ...] = ()
    """Running statistics to be taken from the sample batch once the draws are made."""
    unit_variance: tuple[UnitVariance, ...] = ()
    """Weights to be scaled on the sample batch once the draws are made, inputs first."""


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """Why a treatment does nothing here."""

    reason: str


@dataclass(frozen=True, eq=False)
class Context:
    """What a treatment may know besides the model."""

    layers: tuple[Layer, ...]
    sources: Sources
    trunk: tuple[str, ...]
    """Values that every path to the loss passes, inputs first."""
    attention: tuple[AttentionSite, ...]
    batch_size: int
    clip_norm: float
    clip_value: float
    weight_decay: float
    inputs: Mapping[str, Array]
    """The sample batch."""
    shapes: Callable[[], Mapping[str, tuple[int, ...]]]
    """Shapes of the trunk's values and the layers' outputs on the sample batch; takes a forward pass the first time."""
    baseline: Measurement
    """What was measured of the unchanged model."""
