"""# GH202 saturated-units

## What it detects
Sigmoid, tanh and softsign units that work far out where their curve is flat.

## Why it matters
Where the slope is a twentieth of its maximum, so is the gradient, layer after layer: saturation is how large weights
or unscaled inputs make gradients vanish in networks of sigmoids and tanhs.

## How it is measured
Share of activations, over samples, positions and units, with less than 5 % of the largest slope: |z| over 2.2 for
tanh, over 4.4 for sigmoid. Over 30 % of a layer: warning, or a remark where plain gradient descent learns in the probe.
Over 50 %: error, provided a second witness agrees: the training probe does not learn, or, where there is no probe, the
flow of gradients is far down as well.

## Example
Four tanh layers with weights twenty times Xavier's: 90 % saturated.

## When it is wrong
Gates (LSTM, squeeze-excite, attention) may saturate in good health and are not counted: only activations behind a
layer on their own are. Shallow saturated networks often train; the probe says so.

## Remedies
Xavier initialisation, normalisation before the activation, standardised inputs, ReLU instead.

## References
Glorot and Bengio 2010; Rakitianskaia and Engelbrecht 2015 (measuring saturation).
"""

from collections.abc import Iterator
from typing import Final

from analysis.facts import Measurement
from analysis.report import Severity
from analysis.rules._base import Draft, Limits, amber, learns, over, rule

MANY: Final = 0.3
MOST: Final = 0.5  # TheDeepChecker, DeepDiagnosis
FLOW_DECADES: Final = -2.0  # what counts as far down without a probe


@rule(
    "GH202", "saturated-units", "Activations of this layer sit where their curve is flat.",
    saturated_fraction=MANY, saturated_fraction_error=MOST, flow_decades=FLOW_DECADES,
)  # fmt: skip
def saturated_units(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """One finding for all layers with too many saturated activations; the worst layer is the evidence."""
    if measurement.batch.constant_inputs:
        return
    judged = {
        stats.id: stats.activation.saturated_fraction or 0.0
        for stats in measurement.stats
        if stats.activation is not None and (stats.activation.saturated_fraction or 0.0) > limits["saturated_fraction"]
    }
    if not judged:
        return
    worst, flow = max(judged.values()), measurement.flow.decades_rms
    far_down = flow is not None and flow < limits["flow_decades"]
    most = worst > limits["saturated_fraction_error"]
    proven = most and (not learns(measurement) if measurement.probe is not None else far_down)
    yield Draft(
        severity=Severity.ERROR if proven else Severity.WARNING if most else amber(measurement),
        evidence={"saturated_fraction": over(worst, limits[f"saturated_fraction{'_error' * proven}"])},
        layers=tuple(judged),
    )
