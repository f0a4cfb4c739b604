"""How good a prediction is: counts and shares with 95 % intervals."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

Z: Final = 1.959964
"""Of a 95 % interval."""


@dataclass(frozen=True)
class Share:
    """So many of so many, or a mean of such shares."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """`.93 [.88-.96]`; a dash where nothing was counted."""
        if math.isnan(self.value):
            return "-"
        value, low, high = (f"{each:.2f}".removeprefix("0") for each in (self.value, self.low, self.high))
        return f"{value} [{low}-{high}]"


@dataclass(frozen=True)
class Confusion:
    """Positive: the network fails."""

    hits: int = 0
    misses: int = 0
    false_alarms: int = 0
    passes: int = 0

    @property
    def number(self) -> int:
        """Networks."""
        return self.hits + self.misses + self.false_alarms + self.passes

    @property
    def failures(self) -> int:
        """Networks that do fail."""
        return self.hits + self.misses

    @property
    def precision(self) -> Share:
        """Of those called sick, how many fail."""
        return wilson(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> Share:
        """Of those that fail, how many are called sick."""
        return wilson(self.hits, self.failures)

    @property
    def specificity(self) -> Share:
        """Of those that train, how many are let through."""
        return wilson(self.passes, self.passes + self.false_alarms)

    @property
    def balanced_accuracy(self) -> Share:
        """Mean of recall and specificity; interval by Newcombe's method (square-and-add of Wilson's)."""
        recall, specificity = self.recall, self.specificity
        value = (recall.value + specificity.value) / 2
        below = math.hypot(recall.value - recall.low, specificity.value - specificity.low) / 2
        above = math.hypot(recall.high - recall.value, specificity.high - specificity.value) / 2
        return Share(value, value - below, value + above)


def count(outcomes: Iterable[tuple[bool, bool | None]]) -> Confusion:
    """Pairs of what is true and what was said; nothing said is wrong."""
    pairs = [(true, not true if said is None else said) for true, said in outcomes]
    return Confusion(
        pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True)), pairs.count((False, False))
    )


def wilson(successes: int, trials: int) -> Share:
    """A share and its Wilson score interval."""
    if not trials:
        return Share(math.nan, math.nan, math.nan)
    share = successes / trials
    centre = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z * math.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2)) / (1 + Z**2 / trials)
    return Share(share, max(centre - half, 0.0), min(centre + half, 1.0))
