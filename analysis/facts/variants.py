"""The choices that make a variant of the model."""

from analysis.facts.kinds import Effect, Status, fact
from analysis.facts.steps import GradientStep


@fact
class Structure:
    """Choices that edit the graph."""

    input: str = "kept"
    activation: str = "kept"
    normalization: str = "kept"
    residual: str = "kept"
    attention: str = "kept"


@fact
class ParameterChoice:
    """Choices that redraw weights."""

    initialization: str = "kept"
    branch_ends: str = "kept"
    seed: int | None = None


@fact
class VariantInfo:
    """One cell of the experiment."""

    id: str
    """Tokens joined by `+`: input, activation, normalization, residual, attention, initialization, branch ends, clip,
    decay; or `baseline`."""
    structure: Structure
    parameters: ParameterChoice
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
    cost: str = ""
    """How much it changes."""
    recipe: str = ""
    """What to do, in words."""
    learns: bool | None = None
    """Whether it also learnt from minibatches, under 0.2 of chance in 200 steps; None where it was not asked."""


@fact
class ModelFile:
    """A variant's model, written so that it can be downloaded."""

    href: str
    """Relative to the analysis; a variant with a gradient step has the file of the same without it."""
    sha256: str
