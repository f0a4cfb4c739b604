"""Numbers beside the thresholds that they crossed."""

import math

from analysis.report import Evidence
from analysis.report.parts import Bound


def below(value: float, threshold: float) -> Evidence:
    """Evidence in decades: how far a value lies under a threshold."""
    return Evidence(value=value, threshold=threshold, bound=Bound.LEAST, margin_decades=threshold - value)


def above(value: float, threshold: float) -> Evidence:
    """Evidence in decades: how far a value lies over a threshold."""
    return Evidence(value=value, threshold=threshold, bound=Bound.MOST, margin_decades=value - threshold)


def over(value: float, threshold: float) -> Evidence:
    """Evidence on a plain scale: the margin is the ratio's logarithm."""
    margin = math.log10(value / threshold) if value > 0 and threshold > 0 else None
    return Evidence(value=value, threshold=threshold, bound=Bound.MOST, margin_decades=margin)


def under(value: float, threshold: float) -> Evidence:
    """Evidence on a plain scale: how far a value lies under a threshold, the ratio's logarithm."""
    margin = math.log10(threshold / value) if value > 0 and threshold > 0 else None
    return Evidence(value=value, threshold=threshold, bound=Bound.LEAST, margin_decades=margin)
