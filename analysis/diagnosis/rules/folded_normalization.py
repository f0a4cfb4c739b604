"""# GH905 folded-normalization

## What it detects
A convolutional network whose BatchNormalization was probably folded into its weights when it was exported.

## Why it matters
Exporters for inference multiply BatchNormalization into the convolution before it. The graph computes the same, but it
does not train the same: what is analysed is not the network you would train. Sizes of weights say nothing about its
initialisation.

## How it is measured
Convolutions, no normalisation anywhere, and one of three signs: trained weights whose channels differ in norm by more
than a factor of two (folding leaves each channel its own factor); fresh weights with biases of exactly zero; at least
half of the convolutions without a bias, which they leave to the normalisation behind them, or with a weight that
torch's exporter computed (`onnx::Conv_12`). A remark. By the third sign no finding is an error before the network
itself was tried: BatchNormalization is put back in front of the activations, and where plain gradient descent learns
then and not without, this is the cause, a warning, and all that was found of the folded graph are remarks.

## Example
A ResNet-18 exported with torch's default exporter: twenty convolutions with biases, no BatchNormalization.

## When it is wrong
Networks that never had normalisation (VGG, AlexNet) look like this after training, after an initialisation that sets
biases to zero, and where somebody left the biases out. PyTorch's current exporter writes down which tensors the module
had: a file that names no running statistics is never accused.

## Remedies
Export it as it trains: torch.onnx.export(model, args, "model.onnx", dynamo=False,
training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False).

## References
torch.onnx.export, `training` and `do_constant_folding`; Jacob et al. 2018 (folding for quantisation).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import above, over
from analysis.facts import FOLDED_SHARE, Measurement
from analysis.report import Evidence, Severity

SPREAD_LOG10: Final = 0.3  # a factor of two; fresh draws differ by a tenth of that


@rule(
    "GH905", "folded-normalization",
    "Exported for inference: BatchNormalization was probably folded into the convolutions by the exporter.",
    place=Place.INPUT, treatable=False,
    channel_norm_spread=SPREAD_LOG10,
)  # fmt: skip
def folded_normalization(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Convolutions without normalisation: channels of their own size, fresh biases, or what folding leaves behind."""
    anatomy, evidence = measurement.anatomy, dict[str, Evidence]()
    left = measurement.normalized and not measurement.looks_folded
    if left or not measurement.convolutional or anatomy.kept_statistics is False:
        return
    spread, limit = anatomy.channel_norm_spread, limits["channel_norm_spread"]
    if spread is not None and (spread > limit if measurement.trained else anatomy.fresh_biases):
        evidence["channel_norm_spread"] = above(spread, limit)
    if anatomy.folded_share is not None and measurement.looks_folded:
        evidence["folded_share"] = over(anatomy.folded_share, FOLDED_SHARE)
    if evidence:
        layers = tuple(layer.id for layer in measurement.layers if layer.op == "Conv")
        severity = Severity.WARNING if measurement.trains_unfolded else Severity.INFO
        yield Draft(severity=severity, evidence=evidence, layers=layers, affects=())
