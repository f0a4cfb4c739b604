"""The same network with weights in bytes without a sign, where onnxruntime would lose sums.

On processors without VNNI its kernels add two products of an unsigned byte and a signed one in 16 bits, and saturate:
255 * 127 * 2 is more than 32767. (w + 128) - (z + 128) is w - z, and products of unsigned bytes do not saturate.
Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html (reduce range).
"""

from typing import Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto

from analysis.model import CheckedModel
from analysis.model.quantized import SLOTS
from analysis.model.weights import Array

OFFSET: Final = 128
PRODUCTS: Final = {
    "QLinearConv": (3,), "QLinearMatMul": (3,), "QGemm": (3,), "MatMulInteger": (1,), "ConvInteger": (1,),
    "MatMulIntegerToFloat": (1,), "DynamicQuantizeMatMul": (1,), "DynamicQuantizeLSTM": (1, 2),
}  # fmt: skip
"""Where weights come in; the data do at the first input."""
MEETING_FLOATS: Final = "DynamicQuantize"
"""So begin the names of those that make unsigned bytes of their data themselves."""


def unsaturated(model: CheckedModel) -> CheckedModel:
    """The model with unsigned weights wherever unsigned data meet signed ones; itself where there is no such place."""
    places = [(place, node) for place, node in enumerate(model.nodes) if _may_saturate(model, node)]
    if not places:
        return model
    proto, tensors = ModelProto(), dict[str, Array]()
    proto.CopyFrom(model.proto)
    for place, _ in places:
        _shift(model, proto.graph.node[place], tensors)
    return model.edited(proto, model.weights.updated(tensors))


def _may_saturate(model: CheckedModel, node: NodeProto) -> bool:
    if node.op_type not in PRODUCTS:
        return False
    weights = [node.input[slot] for slot in PRODUCTS[node.op_type]]
    signed = all(weight in model.weights and model.weights[weight].dtype == np.int8 for weight in weights)
    return signed and (node.op_type.startswith(MEETING_FLOATS) or _meets_unsigned(model, node))


def _meets_unsigned(model: CheckedModel, node: NodeProto) -> bool:
    """Told by the zero point of the data, or by their own type; of what onnx does not know only the former is known."""
    zero_point = [*node.input, *[""] * 5][4 if node.op_type == "MatMulIntegerToFloat" else 2]
    if zero_point in model.weights:
        return bool(model.weights[zero_point].dtype == np.uint8)
    known = model.values.get(node.input[0])
    return known is not None and known.type.tensor_type.elem_type == TensorProto.UINT8


def _shift(model: CheckedModel, node: NodeProto, tensors: dict[str, Array]) -> None:
    """Read the weights and their zero points under other names, where all are larger by 128."""
    for slot in PRODUCTS[node.op_type]:
        place = SLOTS[node.op_type][slot].zero_point
        assert place is not None
        node.input.extend([""] * (place + 1 - len(node.input)))
        zero_point = model.weights[node.input[place]] if node.input[place] else np.zeros((), np.int8)
        for each, array in ((slot, model.weights[node.input[slot]]), (place, zero_point)):
            name = f"{node.input[each] or node.output[0]}/unsigned"
            tensors[name] = np.asarray(array.astype(np.int16) + OFFSET, np.uint8)
            node.input[each] = name
