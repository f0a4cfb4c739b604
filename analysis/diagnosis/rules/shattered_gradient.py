"""# GH104 shattered-gradient

## What it detects
Gradients of neighbouring inputs that have nothing to do with each other.

## Why it matters
Gradient descent assumes that what helps one input helps its neighbours. In a plain deep ReLU network the correlation
between their gradients halves with every layer until it is white noise, although no norm vanishes or explodes.

## How it is measured
At effort thorough: the cosine between d(v f)/dx at x and at x plus a tenth of the input's standard deviation, averaged
over samples, under 0.1 together with a nonlinearity coefficient over 10: warning, or a remark where plain gradient
descent learns in the probe. A low cosine alone is common in health: eight layers of BatchNormalization have 0.3.

## Example
Thirty layers of BatchNormalization and ReLU without skip paths: cosine -0.01, nonlinearity 220.

## When it is wrong
Inputs that are not continuous (token ids, one-hot rows) have no neighbours; the cosine is not measured there. Plain
ReLU layers without normalisation forget their inputs faster than they shatter: eighty of them with He's weights keep
0.45 at a nonlinearity of 3.

## Remedies
Residual connections, together with normalisation; fewer layers.

## References
Balduzzi et al. 2017 (The Shattered Gradients Problem).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import over
from analysis.diagnosis.readings import amber, nonlinearity
from analysis.facts import Measurement
from analysis.report import Evidence

COSINE: Final = 0.1  # healthy plain networks of 20 layers have 0.45
NONLINEARITY: Final = 10.0


@rule(
    "GH104", "shattered-gradient", "Gradients of neighbouring inputs have nothing to do with each other.",
    place=Place.SIGNAL, of_inputs=True,
    shatter_cosine=COSINE, nonlinearity=NONLINEARITY,
)  # fmt: skip
def shattered_gradient(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """A low cosine in a nonlinear network."""
    cosine, coefficient = measurement.flow.shatter_cosine, nonlinearity(measurement.flow)
    if cosine is None or coefficient is None:
        return
    if cosine < limits["shatter_cosine"] and coefficient > limits["nonlinearity"]:
        yield Draft(
            severity=amber(measurement),
            evidence={
                "shatter_cosine": Evidence(value=cosine, threshold=limits["shatter_cosine"]),
                "nonlinearity_coefficient": over(coefficient, limits["nonlinearity"]),
            },
            affects=("sgd", "adam"),
        )
