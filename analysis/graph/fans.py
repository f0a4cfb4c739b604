"""Fan-in, fan-out and activation gains, once.

Fan-in counts the terms each output of a layer sums up, fan-out the outputs each input goes into; both follow from the
operator's layout, with stride and groups (measured variances confirm them, a test does). Gains keep the second moment
through an activation: 1 / sqrt(E[phi(z)^2]), z ~ N(0, 1), as torch.nn.init.calculate_gain gives them for the names it
knows; the rest by quadrature (He 2015; Klambauer 2017; Hendrycks 2016).
"""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from onnx import NodeProto, helper

GAINS: Final[Mapping[str, float]] = {
    "Relu": math.sqrt(2.0),
    "ThresholdedRelu": math.sqrt(2.0),
    "Relu6": math.sqrt(2.0),
    "LeakyRelu": math.sqrt(2.0 / (1 + 0.01**2)),
    "PRelu": math.sqrt(2.0 / (1 + 0.25**2)),
    "Tanh": 5.0 / 3.0,
    "Sigmoid": 1.0,
    "HardSigmoid": 1.0,
    "Selu": 0.75,
    "Elu": 1.2452,
    "Celu": 1.2452,
    "Gelu": 1.5335,
    "Swish": 1.6765,
    "HardSwish": 1.7367,
    "Mish": 1.4868,
    "Softplus": 1.0419,
    "Softsign": 2.3375,
}
"""Linear and unknown activations: 1."""
MATRIX_PRODUCTS: Final = frozenset(
    {"MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"}
)


class Fans(NamedTuple):
    """Terms summed up by an output, and outputs fed by an input."""

    fan_in: float
    fan_out: float


def gain(activation: str | None) -> float:
    """The factor that keeps the second moment through an activation."""
    return GAINS.get(activation or "", 1.0)


def fans(node: NodeProto, slot: int, shape: tuple[int, ...]) -> Fans | None:
    """Fans of the weight at an input of a node; None where the operator has no such notion."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type in {"Conv", "ConvTranspose", "QLinearConv", "ConvInteger"} and len(shape) > 2:
        return _convolution("ConvTranspose" if node.op_type == "ConvTranspose" else "Conv", shape, attributes)
    if node.op_type in {"Gemm", "QGemm"} and len(shape) == 2:
        slot = 1 if slot else 0  # the weight of QGemm is its fourth input
        outputs_first = (slot == 1) == bool(attributes.get("transB" if slot == 1 else "transA", 0))
        return Fans(shape[1], shape[0]) if outputs_first else Fans(shape[0], shape[1])
    if node.op_type in MATRIX_PRODUCTS and len(shape) > 1:
        return Fans(shape[-1], shape[-2]) if slot == 0 else Fans(shape[-2], shape[-1])
    if node.op_type in {"RNN", "GRU", "LSTM"} and slot in {1, 2}:
        return Fans(shape[2], int(attributes["hidden_size"]))
    return None


def _convolution(op_type: str, shape: tuple[int, ...], attributes: Mapping[str, Any]) -> Fans:
    """Conv [M, C / g, k..], ConvTranspose [C, M / g, k..]; a stride thins out one of the two."""
    group = int(attributes.get("group", 1))
    thinning = math.prod(attributes.get("strides", ()))
    kernel = math.prod(shape[2:])
    per_group = shape[0] / group
    if op_type == "Conv":
        return Fans(shape[1] * kernel, per_group * kernel / thinning)
    return Fans(per_group * kernel / thinning, shape[1] * kernel)
