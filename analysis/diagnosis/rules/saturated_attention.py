"""# GH207 saturated-attention

## What it detects
Attention that looks at one key only: its Softmax is saturated.

## Why it matters
A saturated Softmax passes no gradient to queries and keys, so what is attended to is decided by chance and stays. It
happens when queries and keys are too large for the division by the square root of their width.

## How it is measured
Mean entropy of a query's weights over log of the keys it may see, under 0.15; or the standard deviation of its scores
over those keys, over 6.3. Either: warning, or a remark where plain gradient descent learns in the probe. Masked keys do
not count, nor queries that may see one key only. Uniform attention means nothing.

## Example
Scores multiplied by 50: entropy 0.02 of log T.

## When it is wrong
A trained network may attend sharply for good reasons.

## Remedies
A temperature on the scores, smaller query and key weights, normalised queries and keys; branches that start at zero.

## References
Zhai et al. 2023 (attention entropy collapse); Dehghani et al. 2023 (normalised queries and keys).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import over, under
from analysis.diagnosis.readings import amber
from analysis.facts import Measurement

ENTROPY_SHARE: Final = 0.15
SCORE_STD: Final = 6.3


@rule(
    "GH207", "saturated-attention", "Attention looks at one key only and passes no gradient to queries and keys.",
    place=Place.UNITS, of_inputs=True,
    entropy_share=ENTROPY_SHARE, score_std=SCORE_STD,
)  # fmt: skip
def saturated_attention(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """The sharpest attention of the network."""
    if not measurement.attention:
        return
    entropy = min(each.entropy_share for each in measurement.attention)
    deviation = max(each.score_std for each in measurement.attention)
    evidence = {}
    if entropy < limits["entropy_share"]:
        evidence["entropy_share"] = under(entropy, limits["entropy_share"])
    if deviation > limits["score_std"]:
        evidence["score_std"] = over(deviation, limits["score_std"])
    if evidence:
        yield Draft(severity=amber(measurement), evidence=evidence)
