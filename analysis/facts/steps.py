"""What an optimiser makes of a gradient before it moves the weights: clipping and decay."""

from dataclasses import replace
from enum import StrEnum
from typing import Final

from analysis.facts.kinds import fact

LEAST_UNIT_NORM: Final = 1e-3
"""Of a unit's weights in adaptive clipping, so that zeros can leave (Brock et al. 2021, equation 3)."""
TINY_NORM: Final = 1e-6
"""Of a unit's gradient there, so that nothing is divided by zero."""


class ClipKind(StrEnum):
    """What a clip bounds: the joint norm, each element, or each unit in proportion to its weights."""

    GLOBAL_NORM = "global_norm"
    VALUE = "value"
    ADAPTIVE = "adaptive"


@fact
class Clip:
    """Gradient clipping."""

    kind: ClipKind
    max_norm: float
    """The bound: of the norm, of an element's magnitude, or of a unit's gradient over its weights."""
    active: bool | None = None
    """Whether the measured gradient is over the limit."""


@fact
class GradientStep:
    """What an optimiser would see of the gradient; clip first, then decay."""

    clip: Clip | None = None
    weight_decay: float = 0.0

    def over(self, scale: float) -> "GradientStep":
        """The same for gradients that were divided by this."""
        clip = None if self.clip is None else replace(self.clip, max_norm=self.clip.max_norm / scale)
        return GradientStep(clip=clip, weight_decay=self.weight_decay / scale)
