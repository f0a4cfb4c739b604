"""The choices that make a variant of the model."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from analysis.facts.kinds import Effect, Status, fact
from analysis.facts.steps import GradientStep

KEPT: Final = "kept"
"""The level of a factor that a variant leaves as it is in the unchanged model."""


class Factor(StrEnum):
    """What a treatment chooses; a variant's id names its choices in this order."""

    INPUT = "input"
    TIME = "time"
    ARITHMETIC = "arithmetic"
    ACTIVATION = "activation"
    NORMALIZATION = "normalization"
    RESIDUAL = "residual"
    ATTENTION = "attention"
    DROPOUT = "dropout"
    OUTPUT = "output"
    INITIALIZATION = "initialization"
    BRANCH_ENDS = "branch_ends"
    CLIP = "clip"
    DECAY = "decay"


STEP_FACTORS: Final = frozenset({Factor.CLIP, Factor.DECAY})
"""Those that choose a gradient step: they change nothing before training."""

Choices = Mapping[Factor, str]
"""The level of every factor that is not kept, in the order of the factors."""


@fact
class VariantInfo:
    """One cell of the experiment."""

    id: str
    """Tokens of the treatments joined by `+`, in the order of the factors; or `baseline`."""
    plain: str
    """The id of the same network without its gradient step."""
    choices: Choices
    seed: int | None = None
    """Of the first draw; None where nothing is drawn."""
    gradient_step: GradientStep
    status: Status
    effect: Effect | None = None
    same_as: str | None = None
    reason: str | None = None
    """Why it is not applicable or left out."""
    replicates: int = 1
    """Seeds drawn."""
    destructive: bool = False
    """Redraws weights that look trained."""
    redrawn: int = 0
    """Weights that get other values."""
    cost: str = ""
    """How much it changes."""
    recipe: str = ""
    """What to do, in words."""
    learns: bool | None = None
    """Whether it also learnt from minibatches, under 0.2 of chance in 200 steps; None where it was not asked."""

    @property
    def has_step(self) -> bool:
        """Whether it clips or decays."""
        return self.id != self.plain


@fact
class ModelFile:
    """A variant's model, written so that it can be downloaded."""

    href: str
    """Relative to the analysis; a variant with a gradient step has the file of the same without it."""
    sha256: str
