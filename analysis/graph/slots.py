"""Which input of which operator holds a parameter, in which role, and which inputs carry numbers at all."""

from collections.abc import Mapping
from typing import Final

from onnx import NodeProto

RECURRENT: Final = frozenset({"RNN", "GRU", "LSTM", "DynamicQuantizeLSTM"})
_RECURRENT: Final = {1: "weight", 2: "recurrent_weight", 3: "bias", 5: "initial_state"}
_EMBEDDED: Final = {2: "embedding", 3: "embedding", 4: "embedding", 5: "scale", 6: "bias"}
_AFFINE: Final = {1: "scale", 2: "bias"}
_TOKENS: Final = {0: "token", 1: "token", 2: "token"}
ROLES: Final[Mapping[str, Mapping[int, str]]] = {
    "Conv": {0: "token", 1: "weight", 2: "bias"},
    "ConvTranspose": {1: "weight", 2: "bias"},
    "DeformConv": {1: "weight", 3: "bias"},
    "CausalConvWithState": {1: "weight", 2: "bias"},
    "FusedConv": {0: "token", 1: "weight", 2: "bias"},
    "NhwcConv": {0: "token", 1: "weight", 2: "bias"},
    "NhwcFusedConv": {0: "token", 1: "weight", 2: "bias"},
    "Gemm": {0: "weight", 1: "weight", 2: "bias"},
    "FusedGemm": {0: "weight", 1: "weight", 2: "bias"},
    "MatMul": {0: "weight", 1: "weight"},
    "FusedMatMul": {0: "weight", 1: "weight"},
    "TransposeMatMul": {0: "weight", 1: "weight"},
    "QLinearConv": {3: "weight", 8: "bias"},
    "QLinearMatMul": {0: "weight", 3: "weight"},
    "QGemm": {3: "weight", 6: "bias"},
    "QLinearAdd": {0: "offset", 3: "offset"},
    "QLinearMul": {0: "scale", 3: "scale"},
    "MatMulInteger": {0: "weight", 1: "weight"},
    "ConvInteger": {1: "weight"},
    "MatMulIntegerToFloat": {1: "weight", 6: "bias"},
    "DynamicQuantizeMatMul": {1: "weight", 4: "bias"},
    "MatMulNBits": {5: "bias"},
    "MoE": {2: "weight", 3: "bias", 4: "weight", 5: "bias", 6: "weight", 7: "bias"},
    "QMoE": {4: "bias", 7: "bias", 10: "bias"},
    "Attention": _TOKENS,
    "com.microsoft.Attention": {1: "weight", 2: "bias"},
    "QAttention": {1: "weight", 2: "bias"},
    "MultiHeadAttention": {**_TOKENS, 3: "bias"},
    "DecoderMaskedMultiHeadAttention": {**_TOKENS, 10: "bias"},
    "GroupQueryAttention": {**_TOKENS, 11: "bias"},
    "LinearAttention": _TOKENS,
    "FlexAttention": _TOKENS,
    "Gather": {0: "embedding"},
    "GatherND": {0: "embedding"},
    "BatchNormalization": _AFFINE,
    "InstanceNormalization": _AFFINE,
    "GroupNormalization": _AFFINE,
    "GroupNorm": _AFFINE,
    "SkipGroupNorm": {**_AFFINE, 3: "offset", 4: "bias"},
    "LayerNormalization": _AFFINE,
    "RMSNormalization": {1: "scale"},
    "SimplifiedLayerNormalization": {1: "scale"},
    "SkipLayerNormalization": {0: "offset", 1: "offset", 2: "scale", 3: "bias", 4: "bias"},
    "SkipSimplifiedLayerNormalization": {0: "offset", 1: "offset", 2: "scale", 3: "bias"},
    "EmbedLayerNormalization": _EMBEDDED,
    "QEmbedLayerNormalization": _EMBEDDED,
    "BiasGelu": {1: "bias"},
    "FastGelu": {1: "bias"},
    "BiasSplitGelu": {1: "bias"},
    "BiasDropout": {1: "bias", 2: "offset"},
    "PRelu": {1: "slope"},
    "RNN": _RECURRENT,
    "GRU": _RECURRENT,
    "LSTM": {**_RECURRENT, 6: "initial_cell", 7: "peephole"},
    "DynamicQuantizeLSTM": {**_RECURRENT, 6: "initial_cell", 7: "peephole"},
    "Add": {0: "offset", 1: "offset"},
    "Sub": {0: "offset", 1: "offset"},
    "Mul": {0: "scale", 1: "scale"},
    "Div": {0: "scale", 1: "scale"},
    "Pow": {1: "exponent"},
    "Where": {1: "token", 2: "token"},
    "ScatterND": {0: "token", 2: "token"},
    "ScatterElements": {0: "token", 2: "token"},
    "Scatter": {0: "token", 2: "token"},
    "GridSample": {0: "token"},
    "Max": {0: "offset", 1: "offset"},
    "Min": {0: "offset", 1: "offset"},
}
"""Parameter slots by operator, with its domain where a standard one has the same name; every input of Einsum and Concat
counts too."""
EVERY_INPUT: Final[Mapping[str, str]] = {"Einsum": "weight", "Concat": "token", "Sum": "offset"}

NO_FLOATS_OUT: Final = frozenset({"Shape", "Size", "NonZero", "ArgMax", "ArgMin", "Hardmax", "ConstantOfShape"})
"""Their output carries nothing of the floats that go in."""
DATA_SLOT: Final[Mapping[str, int]] = dict.fromkeys(
    ("Reshape", "Slice", "Gather", "Expand", "Tile", "Unsqueeze", "Squeeze", "Split", "Pad", "Cast", "CastLike",
     "Transpose", "Flatten", "Identity", "DequantizeLinear", "QuantizeLinear", "Quant", "IntQuant", "FloatQuant",
     "BipolarQuant", "Trunc", "Dropout", "Trilu", "ReduceMean",
     "ReduceSum", "ReduceL2", "ReduceMax", "GatherElements", "GatherND", "Resize", "CumSum", "TopK"),
    0,
)  # fmt: skip
"""Operators whose other inputs say where or how much, not what."""
INDEX_SLOTS: Final[Mapping[str, frozenset[int]]] = {
    "com.microsoft.Attention": frozenset({3, 6}),
    "MultiHeadAttention": frozenset({4, 8, 9}),
    "DecoderMaskedMultiHeadAttention": frozenset({3, 7, 8, 9}),
    "GroupQueryAttention": frozenset({5, 6, 9, 16}),
    "QAttention": frozenset({5}),
}
"""Masks, lengths and positions that operators without inferred types write and read."""
LOOP_STATES: Final = 2
"""Where the states of a Loop begin among its inputs, behind the count and the condition."""


def is_float_dtype(name: str) -> bool:
    """Whether a numpy dtype name is a floating type that can carry a gradient."""
    return name in {"float16", "bfloat16", "float32", "float64"}


def data_inputs(node: NodeProto) -> list[str]:
    """Inputs whose numbers reach the output; shapes, axes and indices left out."""
    slot = DATA_SLOT.get(node.op_type)
    if slot is not None:
        return list(node.input[slot : slot + 1])
    indices = INDEX_SLOTS.get(_name(node), frozenset())
    return [name for place, name in enumerate(node.input) if place not in indices]


def role_of(node: NodeProto, slot: int) -> str:
    """The role of a parameter at an input of this operator, or `other`."""
    if node.op_type == "Loop":
        return "initial_state" if slot >= LOOP_STATES else "other"
    if (
        node.op_type == "QLinearConcat"
    ):  # triples of numbers, scale and zero point, behind the scale and zero point of y
        return "token" if slot >= 2 and slot % 3 == 2 else "other"
    return EVERY_INPUT.get(node.op_type) or ROLES.get(_name(node), {}).get(slot, "other")


def _name(node: NodeProto) -> str:
    """The operator, with its domain where that makes it another one than the standard's."""
    name = f"{node.domain}.{node.op_type}"
    return name if name in ROLES else node.op_type
