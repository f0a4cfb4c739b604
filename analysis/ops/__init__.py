"""ONNX operators as torch functions: importing the families registers them."""

from analysis.ops import (
    activation,
    arithmetic,
    control_flow,
    convolution,
    logic,
    matmul,
    normalization,
    pooling,
    recurrent,
    reduction,
    shape,
)

__all__ = [
    "activation",
    "arithmetic",
    "control_flow",
    "convolution",
    "logic",
    "matmul",
    "normalization",
    "pooling",
    "recurrent",
    "reduction",
    "shape",
]
