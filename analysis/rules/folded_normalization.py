"""# GH905 folded-normalization

## What it detects
A convolutional network whose BatchNormalization was probably folded into its weights when it was exported.

## Why it matters
Exporters for inference multiply BatchNormalization into the convolution before it. The graph computes the same, but it
does not train the same: what is analysed is not the network you would train. Sizes of weights say nothing about its
initialisation.

## How it is measured
Convolutions with biases and no normalisation anywhere; and either trained weights whose channels differ in norm by
more than a factor of two (folding leaves each channel its own factor), or fresh weights with biases of exactly zero:
a remark.

## Example
A ResNet-18 exported with torch's default exporter: twenty convolutions with biases, no BatchNormalization.

## When it is wrong
Networks that never had normalisation (VGG, AlexNet) look like this after training, and after an initialisation that
sets biases to zero.

## Remedies
Export in training mode without constant folding, so that BatchNormalization stays what it is.

## References
torch.onnx.export, `training` and `do_constant_folding`; Jacob et al. 2018 (folding for quantisation).
"""

from collections.abc import Iterator
from typing import Final

from analysis.facts import Measurement
from analysis.report import Severity
from analysis.rules._base import Draft, Limits, above, rule

SPREAD_LOG10: Final = 0.3  # a factor of two; fresh draws differ by a tenth of that


@rule(
    "GH905", "folded-normalization", "BatchNormalization was probably folded into the convolutions by the exporter.",
    channel_norm_spread=SPREAD_LOG10,
)  # fmt: skip
def folded_normalization(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Biased convolutions without normalisation, channels of their own size."""
    spread = measurement.anatomy.channel_norm_spread
    if spread is None or measurement.normalized or not measurement.convolutional:
        return
    folded = spread > limits["channel_norm_spread"] if measurement.trained else measurement.anatomy.fresh_biases
    if folded:
        yield Draft(
            severity=Severity.INFO,
            evidence={"channel_norm_spread": above(spread, limits["channel_norm_spread"])},
            layers=tuple(layer.id for layer in measurement.layers if layer.op == "Conv" and "bias" in layer.parameters),
            affects=(),
        )
