"""How ill a variant looks before any training: one number out of those that are out of range."""

import math
from typing import Final

from analysis.facts import Measurement

HOPELESS: Final = 100.0


def static8(measurement: Measurement) -> float:
    """How ill a variant looks before any training; 0 is perfect (`diagnosis` composite, smaller is better)."""
    if measurement.non_finite is not None:
        return HOPELESS
    flow = measurement.flow
    rms, norm = flow.decades_rms or 0.0, flow.decades_norm or 0.0
    dead = max((each.activation.dead_fraction or 0.0 for each in measurement.stats if each.activation), default=0.0)
    entropy = min((each.entropy_share for each in measurement.attention), default=1.0)
    return (
        _excess(-max(rms, norm) - 1)
        + _excess(min(rms, norm) - 0.5)
        + _excess(-memory(measurement) - 1)
        + _excess(_growth(measurement) - 1)
        + 2 * _excess(_log10(_over_chance(measurement)) - 0.2)
        + _excess(-(flow.collapse_decades or 0.0) - 1)
        + 3 * _excess(dead - 0.5)
        + 3 * _excess(0.4 - entropy)
        + _excess(-(flow.tokens_decades or 0.0) / 4 - 1)
        + _excess(-_log10(_median_update_ratio(measurement)) - 2)
    )


def memory(measurement: Measurement) -> float:
    """Decades at the informative step, bottom layer; 0 where nothing recurs or nobody knows."""
    known = [each.memory_decades for each in measurement.through_time[:1] if each.memory_decades is not None]
    return known[0] if known else 0.0


def _growth(measurement: Measurement) -> float:
    return max((each.growth_decades or 0.0 for each in measurement.through_time), default=0.0)


def _over_chance(measurement: Measurement) -> float:
    chance = measurement.loss.chance
    return measurement.loss.value / chance if chance else 1.0


def _median_update_ratio(measurement: Measurement) -> float:
    ratios = sorted(each.update_ratio for each in measurement.stats if each.update_ratio is not None)
    return ratios[len(ratios) // 2] if ratios else 1.0


def _excess(value: float) -> float:
    return max(0.0, value) if not math.isnan(value) else HOPELESS


def _log10(value: float) -> float:
    return math.log10(value) if value > 0 else -HOPELESS
