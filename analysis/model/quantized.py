"""Integers that stand for floats: which initialisers are weights in disguise, and which values carry a signal.

QLinearConv (x, s_x, z_x, w: int8, s_w, z_w, ..)          w stands for (w - z_w) s_w
MatMulInteger (a, w: int8) -- Cast -- Mul (s_a s_w)       the scale is found behind the product
QLinearConcat (s_y, z_y, x, s_x, z_x, t: uint8, s_t, z_t)  a class token t, one of any number of triples
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from onnx import NodeProto

if TYPE_CHECKING:
    from analysis.model.checked import CheckedModel


@dataclass(frozen=True, slots=True)
class Quantized:
    """What an integer initialiser stands for: (q - zero point) times the product of its scales."""

    scales: tuple[str, ...]
    """Initialisers; none where nothing says the unit, which is 1 then."""
    zero_point: str
    """An initialiser, or empty for 0."""
    axis: int
    """Where scales and zero points hold more than one number, the axis along which they do; of those with two axes the
    first one, the other being the last."""


@dataclass(frozen=True, slots=True)
class _Slot:
    scales: tuple[int, ...]
    zero_point: int | None
    axis: int
    behind: bool = False
    """Whether the scale is a factor of the product."""


_BIAS: Final = {8: _Slot((1, 4), None, 0)}
SLOTS: Final[Mapping[str, Mapping[int, _Slot]]] = {
    "QLinearConv": {3: _Slot((4,), 5, 0), **_BIAS},
    "QLinearMatMul": {0: _Slot((1,), 2, -2), 3: _Slot((4,), 5, -1)},
    "MatMulInteger": {0: _Slot((), 2, -2, behind=True), 1: _Slot((), 3, -1, behind=True)},
    "ConvInteger": {1: _Slot((), 3, 0, behind=True)},
    "QGemm": {3: _Slot((4,), 5, -1), 6: _Slot((1, 4), None, -1)},
    "MatMulIntegerToFloat": {1: _Slot((3,), 5, -1)},
    "DynamicQuantizeMatMul": {1: _Slot((2,), 3, -1)},
    "QLinearAdd": {0: _Slot((1,), 2, -1), 3: _Slot((4,), 5, -1)},
    "QLinearMul": {0: _Slot((1,), 2, -1), 3: _Slot((4,), 5, -1)},
    "QAttention": {1: _Slot((4,), 7, -1)},
    "DynamicQuantizeLSTM": {1: _Slot((8,), 9, 0), 2: _Slot((10,), 11, 0)},
    "QEmbedLayerNormalization": {table: _Slot((table + 6,), table + 11, -1) for table in range(2, 7)},
    "QLinearConcat": {},
}
"""Inputs that are weights where they are initialisers, with the places of their scales and zero points."""
OUTPUT_UNITS: Final[Mapping[str, tuple[int, int]]] = {
    "QuantizeLinear": (1, 2), "QLinearConv": (6, 7), "QLinearMatMul": (6, 7), "QGemm": (7, 8), "QLinearAdd": (6, 7),
    "QLinearMul": (6, 7), "QLinearWhere": (7, 8), "QLinearConcat": (0, 1),
    **dict.fromkeys(("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "QLinearGlobalAveragePool",
                     "QLinearAveragePool", "QLinearReduceMean"), (3, 4)),
}  # fmt: skip
"""Places of the scale and the zero point of what these write."""
CARRYING: Final = ("QuantizeLinear", "DynamicQuantizeLinear", "QLinear", "QGemm", "MatMulInteger", "ConvInteger")
"""Operators, by the beginning of their names, whose integers stand for the floats that went in."""
LAID_OUT: Final = frozenset(
    {"Gather", "Transpose", "Reshape", "Slice", "Squeeze", "Unsqueeze", "Identity", "Flatten", "Split"}
)
"""Operators that may stand between a stored integer and what dequantises it."""
FAKE_QUANTIZERS: Final = frozenset({"Quant", "IntQuant", "BipolarQuant", "FloatQuant", "Trunc"})
"""QONNX's: floats come out that few bits could hold."""
MOVING: Final = frozenset(
    {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Slice", "Gather", "Split", "Pad", "Expand",
     "Tile", "Concat", "MaxPool", "Relu", "Max", "Min", "Add", "Sub", "Mul", "Where", "Resize", "DepthToSpace",
     "SpaceToDepth", "Cast", "QLinearConcat"}
)  # fmt: skip
"""Operators through which such integers go on as such."""


def quantized_weights(model: "CheckedModel") -> Mapping[str, Quantized]:
    """Integer initialisers of which every reading is a weight of a quantised operator, and the same one."""
    found: dict[str, Quantized] = {}
    for name, readings in model.consumers.items():
        if name not in model.weights or model.weights[name].dtype.kind not in "iu":
            continue
        meanings = {_meaning(model, node, slot) for node, slot in readings}
        only = meanings.pop() if len(meanings) == 1 else None
        if only is not None:
            found[name] = only
    return found


def _meaning(model: "CheckedModel", node: NodeProto, slot: int) -> Quantized | None:
    if node.op_type in LAID_OUT and slot == 0:
        return _meaning_behind(model, node)
    place = _slot(node, slot)
    if place is None:
        return None
    given = dict(enumerate(node.input))
    zero_point = "" if place.zero_point is None else given.get(place.zero_point, "")
    scales = _scales_behind(model, node) if place.behind else tuple(given.get(each, "") for each in place.scales)
    axis = -2 if node.op_type == "QGemm" and slot == 3 and _is_transposed(node) else place.axis
    if any(each not in model.weights for each in (*scales, *filter(None, [zero_point]))):
        return None
    return Quantized(scales, zero_point, axis)


def _slot(node: NodeProto, slot: int) -> _Slot | None:
    """Where scale and zero point of a weight are; a QLinearConcat has any number of triples behind its own two."""
    if node.op_type == "QLinearConcat" and slot >= 2 and slot % 3 == 2:
        return _Slot((slot + 1,), slot + 2, -1)
    return SLOTS.get(node.op_type, {}).get(slot)


def _meaning_behind(model: "CheckedModel", node: NodeProto) -> Quantized | None:
    """What a table or a weight that is laid out anew stands for, where all that is read of it is dequantised alike.

    Gather (table: int8, ids) -- DequantizeLinear (s, z)
    """
    found: set[Quantized | None] = set()
    for reader, slot in (each for name in node.output for each in model.consumers.get(name, ())):
        if reader.op_type in LAID_OUT and slot == 0:
            found.add(_meaning_behind(model, reader))
        elif reader.op_type == "DequantizeLinear" and slot == 0:
            scale, zero_point = [*reader.input, ""][1:3]
            single = _is_number(model, scale) and (not zero_point or _is_number(model, zero_point))
            found.add(Quantized((scale,), zero_point, 0) if single else None)
        else:
            return None
    return found.pop() if len(found) == 1 else None


def output_units(model: "CheckedModel") -> Mapping[str, tuple[str, str]]:
    """Quantised value -> the initialisers that are its scale and its zero point (or empty), single numbers both."""
    units: dict[str, tuple[str, str]] = {}
    for node in model.nodes:
        first = next((units[name] for name in node.input if name in units), None)
        if node.op_type in OUTPUT_UNITS:
            scale, zero_point = ([*node.input, *[""] * 9][place] for place in OUTPUT_UNITS[node.op_type])
            if _is_number(model, scale) and (not zero_point or _is_number(model, zero_point)):
                units[node.output[0]] = scale, zero_point
        elif first is not None and node.op_type in MOVING and node.op_type not in {"Cast", "Add", "Sub", "Mul"}:
            units.update(dict.fromkeys(filter(None, node.output[:1]), first))
    return units


def _is_number(model: "CheckedModel", name: str) -> bool:
    return name in model.weights and bool(model.weights[name].size == 1)


def scaled_output(model: "CheckedModel", node: NodeProto) -> str:
    """Where a product of integers is floats again, behind a Cast and a Mul by its scales; else its own output."""
    value = node.output[0]
    for step in ("Cast", "Mul") if node.op_type in {"MatMulInteger", "ConvInteger"} else ():
        readers = [each.node for each in model.consumers.get(value, ())]
        if len(readers) != 1 or readers[0].op_type != step:
            return str(node.output[0])
        value = readers[0].output[0]
    return str(value)


def scaled_product(model: "CheckedModel", scaling: NodeProto) -> NodeProto | None:
    """The product of integers that a Mul makes floats of."""
    cast = model.producers.get(scaling.input[0])
    product = None if cast is None or cast.op_type != "Cast" else model.producers.get(cast.input[0])
    return product if product is not None and product.op_type in {"MatMulInteger", "ConvInteger"} else None


def _is_transposed(node: NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def _scales_behind(model: "CheckedModel", node: NodeProto) -> tuple[str, ...]:
    """The stored factor by which a product of integers is multiplied, itself or in a product of scales."""
    value = node.output[0]
    for _ in range(3):
        readers = [each.node for each in model.consumers.get(value, ()) if each.node.op_type in {"Cast", "Mul"}]
        if len(readers) != 1:
            return ()
        if readers[0].op_type == "Mul":
            factor = next((name for name in readers[0].input if name != value), "")
            producer = model.producers.get(factor)
            names = [factor] if producer is None or producer.op_type != "Mul" else list(producer.input)
            stored = [name for name in names if name in model.weights]
            return (stored[0],) if len(stored) == 1 else ()
        value = readers[0].output[0]
    return ()


def quantized_values(nodes: Iterable[NodeProto], weights: Iterable[str]) -> frozenset[str]:
    """Values of a graph that stand for floats where they are integers; `weights`: initialisers that do."""
    carrying = set(weights)
    for node in nodes:
        if node.op_type.startswith(CARRYING):
            carrying.add(node.output[0])
        elif node.op_type in MOVING and not carrying.isdisjoint(node.input):
            carrying.update(name for name in node.output if name)
    return frozenset(carrying)
