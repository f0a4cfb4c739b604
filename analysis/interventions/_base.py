"""The contract of a treatment: a function from a model to a recipe, or to the reason why it does not apply.

A recipe is three independent choices: a graph edit, a description of the draw for each initialiser it renews, and a
gradient step. It holds no weights and no torch: the measurer and the exporter replay it, so a treatment costs nothing
until it is measured, and what is exported is what was measured.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from analysis.facts import Effect, GradientStep, Layer
from analysis.model import CheckedModel
from analysis.sources import Sources


class Factor(StrEnum):
    """What a treatment chooses; a variant's id names its choices in this order."""

    ACTIVATION = "activation"
    NORMALIZATION = "normalization"
    RESIDUAL = "residual"
    INITIALIZATION = "initialization"
    CLIP = "clip"
    DECAY = "decay"


@dataclass(frozen=True, slots=True)
class Draw:
    """How an initialiser is redrawn: mean + std * noise; with std 0 a constant."""

    std: float = 0.0
    mean: float = 0.0

    def realize(self, name: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
        """The values; two draws of one initialiser and seed share their noise, so they can be compared in pairs."""
        if self.std == 0:
            return np.full(shape, self.mean, np.float32)
        return np.float32(self.mean) + np.float32(self.std) * noise(name, shape, seed)


def noise(name: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
    """N(0, 1), the same for every draw of this initialiser and seed."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.random.default_rng((seed, key)).standard_normal(shape, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class NormalizationSite:
    """An inserted BatchNormalization: where it reads, and the tensors that hold its running statistics."""

    value: str
    mean: str
    variance: str


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


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """Why a treatment does nothing here."""

    reason: str


@dataclass(frozen=True, eq=False)
class Context:
    """What a treatment may know besides the model."""

    layers: tuple[Layer, ...]
    sources: Sources
    batch_size: int
    clip_norm: float


@dataclass(frozen=True, slots=True)
class Treatment:
    """One level of a factor."""

    token: str
    """Its part of a variant's id."""
    factor: Factor
    page: str
    """The docstring of its module: what it does, when it applies, what it costs."""
    apply: Callable[[CheckedModel, Context], Recipe | NotApplicable]
