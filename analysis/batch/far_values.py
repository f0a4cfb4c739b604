"""Numbers that lie far from all others of their feature: marks of what is missing, such as -9999, and heavy tails.

One of them decides the deviation of its feature, so that standardising leaves of the others what differs in the fourth
digit: 0.3 and 0.4 beside -9999 become 0.0333 and 0.0334. Told by median and median absolute deviation, which they do
not move (Huber 1981, section 5.1); a feature whose middle half is one number is not judged.
"""

from typing import Final, NamedTuple

import numpy as np

from analysis.model.weights import Array

FAR: Final = 1e3
"""Deviations, as the middle half of a feature has them, from its median."""
AWAY: Final = 50.0
"""And in the numbers themselves: what lies within is near enough to the scale of one that layers are made for."""
USUAL: Final = 10.0
"""Deviations within which a number is usual."""
NORMAL: Final = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution."""
FEWEST: Final = 16
MOST_SAMPLES: Final = 4096
MOST_FEATURES: Final = 4096
"""Pictures and sounds have more, and no marks."""


class FarValues(NamedTuple):
    """How far values lie, and where usual ones end."""

    times: float
    """Largest distance from the median, in deviations of the feature."""
    share: float
    """Of the samples, those that have such a value."""
    least: Array
    """Of usual values, a number for each feature with far ones, -inf for others: (1, *features)."""
    most: Array


def far_values(values: Array, samples: int) -> FarValues | None:
    """Of floats (samples, *features); None where there are none, or nobody can say."""
    is_judged = values.dtype.kind == "f" and values.ndim > 1 and len(values) == samples >= FEWEST
    if not is_judged or not 0 < values[0].size <= MOST_FEATURES:
        return None
    if samples > MOST_SAMPLES:
        values = values[np.random.default_rng(0).choice(samples, MOST_SAMPLES, replace=False)]
    some = values.astype(np.float64)
    if not np.isfinite(some).all():
        return None
    middle = np.median(some, axis=0, keepdims=True)
    away = np.abs(some - middle)
    deviation = NORMAL * np.median(away, axis=0, keepdims=True)
    far = (away > FAR * deviation) & (away > AWAY) & (deviation > 0)
    if not far.any():
        return None
    judged = far.any(axis=0, keepdims=True)
    times = (away / np.where(deviation > 0, deviation, np.inf))[far].max()
    within = np.where(judged, USUAL * deviation, np.inf)
    share = far.reshape(len(far), -1).any(axis=1).mean()
    return FarValues(float(times), float(share), middle - within, middle + within)
