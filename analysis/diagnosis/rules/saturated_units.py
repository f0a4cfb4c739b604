"""# GH202 saturated-units

## What it detects
Sigmoid, tanh and softsign units that work far out where their curve is flat.

## Why it matters
Where the slope is a twentieth of its maximum, so is the gradient, layer after layer: saturation is how large weights
or unscaled inputs make gradients vanish in networks of sigmoids and tanhs.

## How it is measured
Share of activations, over samples, positions and units, with less than 5 % of the largest slope: |z| over 2.2 for
tanh, over 4.4 for sigmoid. Over 30 % of a layer: warning, or a remark where plain gradient descent learns in the
probe, however many they are: units that are not dead leave their flat parts. Over 50 %: error, provided a second
witness agrees: the training probe does not learn, or, where there is no probe, the gradient vanishes beyond doubt, too
(GH101: flow and leverage). Saturation that costs no leverage, or that comes from large inputs (0 to 255 in front of a
tanh), is a warning: most such networks trained.

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

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import below, over
from analysis.diagnosis.readings import amber, has_large_input, is_borderline, least_leverage, settled
from analysis.facts import Measurement
from analysis.facts.zones import VANISHING_DECADES
from analysis.report import Severity

MANY: Final = 0.3
MOST: Final = 0.5  # TheDeepChecker, DeepDiagnosis
LEVERAGE_LOG10: Final = -1.0  # healthy networks stay over -0.1


@rule(
    "GH202", "saturated-units", "Activations of this layer sit where their curve is flat.", place=Place.UNITS,
    of_inputs=True,
    saturated_fraction=MANY, saturated_fraction_error=MOST, flow_decades=VANISHING_DECADES,
    leverage_log10=LEVERAGE_LOG10,
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
    worst = max(judged.values())
    most = worst > limits["saturated_fraction_error"]
    doubtful = has_large_input(measurement) or not _starves(measurement, limits)
    proven = most and settled(measurement, doubtful=doubtful) is Severity.ERROR
    yield Draft(
        severity=Severity.ERROR if proven else amber(measurement),
        evidence={"saturated_fraction": over(worst, limits[f"saturated_fraction{'_error' * proven}"])},
        layers=tuple(judged),
    )


def _starves(measurement: Measurement, limits: Limits) -> bool:
    """Whether the gradient vanishes as well, beyond doubt, by flow and by leverage."""
    flow, leverage = measurement.flow, least_leverage(measurement.flow)
    if flow.decades_rms is None or flow.decades_norm is None or leverage is None:
        return False
    larger = max(flow.decades_rms, flow.decades_norm)
    witnesses = (below(larger, limits["flow_decades"]), below(leverage, limits["leverage_log10"]))
    both = larger < limits["flow_decades"] and leverage < limits["leverage_log10"]
    return both and not is_borderline(witnesses)
