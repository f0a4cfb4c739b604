"""# GH205 collapsed-tokens

## What it detects
A transformer in which all tokens of a sample have become the same vector.

## Why it matters
Attention averages. Without a skip path around it, or with branches that drown the skip path, tokens lose what tells
them apart doubly exponentially with depth, and no later layer can bring it back.

## How it is measured
Least share of between-token variance in the mean square over the tensors of the trunk. Under 1e-12: warning, or a
remark where plain gradient descent learns in the probe; 11 of 11 such networks failed under SGD.

## Example
Twelve attention blocks without residual connections: share 1e-20.

## When it is wrong
A model that pools tokens early has only one token afterwards by design; such tensors have no token axis and do not
count.

## Remedies
Residual connections around attention and feed-forward blocks; normalisation before the branch instead of after it.

## References
Dong, Cordonnier and Loukas 2021 (Attention is not all you need: pure attention loses rank doubly exponentially).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import below
from analysis.diagnosis.readings import amber
from analysis.facts import Measurement

TOKENS_DECADES: Final = -12.0


@rule(
    "GH205",
    "collapsed-tokens",
    "All tokens of a sample have become the same.",
    place=Place.SIGNAL,
    of_inputs=True,
    tokens_decades=TOKENS_DECADES,
)
def collapsed_tokens(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """The least between-token share on the trunk."""
    share = measurement.flow.tokens_decades
    if share is not None and share < limits["tokens_decades"]:
        yield Draft(severity=amber(measurement), evidence={"tokens_decades": below(share, limits["tokens_decades"])})
