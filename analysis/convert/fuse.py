"""Decomposed operators, recognised: exporters of older opsets write LayerNorm, GELU, Swish, RMSNorm and Softmax out.

A pattern is a small expression over values; it is matched backwards from the node that writes the result. What is
found changes speed and nothing else: the nodes stay what layers, reports and repaired models know, and run themselves
as soon as somebody looks at a value between them. Only nodes whose results nobody outside the pattern reads are taken
together.

    x -- ReduceMean -- Sub -- Pow (2) -- ReduceMean -- Add (e) -- Sqrt -- Div -- Mul (g) -- Add (b)
      +---------------+   +----------------------------------------------+         LayerNormalization(x, g, b)
    x -- Div (sqrt 2) -- Erf -- Add (1) -- Mul -- Mul (1/2)                         Gelu(x)
      +-----------------------------------+
    x -- Sigmoid -- Mul                                                             Swish(x)
      +------------+
    x -- ReduceMax -- Sub -- Exp -- ReduceSum -- Div                                Softmax(x)
      +--------------+         +----------------+
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from onnx import NodeProto, helper

from analysis.model import CheckedModel

RELATIVE_TOLERANCE: Final = 1e-4
"""Exporters write sqrt(2) as 1.4142135 or 1.4142; the difference stays below parity."""
Found = Mapping[str, str | float]
"""What the names of a pattern stand for: values, and numbers."""


@dataclass(frozen=True)
class Fusion:
    """One operator in place of several nodes; the last of them writes its output."""

    node: NodeProto
    opset: int
    """The version of the standard operator set `node` is written in."""
    replaced: tuple[NodeProto, ...]
    """In graph order."""


def find_fusions(model: CheckedModel) -> list[Fusion]:
    """The decompositions in the main graph, none overlapping."""
    places = {id(node): place for place, node in enumerate(model.nodes)}
    taken: set[int] = set()
    fusions: list[Fusion] = []
    for node in reversed(model.nodes):
        found = None if id(node) in taken else _fusion(model, node)
        if found is not None and taken.isdisjoint(map(id, found.replaced)):
            taken.update(map(id, found.replaced))
            ordered = tuple(sorted(found.replaced, key=lambda each: places[id(each)]))
            fusions.append(Fusion(found.node, found.opset, ordered))
    return fusions[::-1]


def writes_normalization(model: CheckedModel) -> bool:
    """Whether some nodes of the main graph divide by a root mean square, whatever the quotient is scaled by then."""
    return any(
        next(_matches(model, pattern, node.output[0], Match()), None) is not None
        for node in model.nodes
        if node.op_type in {"Div", "Mul"}
        for pattern in QUOTIENTS
    )


def _fusion(model: CheckedModel, root: NodeProto) -> Fusion | None:
    for pattern, build in PATTERNS:
        for match in _matches(model, pattern, root.output[0], Match()):
            node = build(model, match.found) if _closed(model, match, root) else None
            if node is not None:
                node.output.append(root.output[0])
                node.name = root.name
                return Fusion(node, OPSET, tuple(match.nodes.values()))
    return None


def _closed(model: CheckedModel, match: "Match", root: NodeProto) -> bool:
    """Whether nobody outside reads what lies between."""
    outputs = {spec.name for spec in model.outputs}
    between = [name for node in match.nodes.values() if node is not root for name in node.output if name]
    return outputs.isdisjoint(between) and all(
        use.slot >= 0 and id(use.node) in match.nodes for name in between for use in model.consumers.get(name, ())
    )


# ------------------------------------------------------------------ patterns


@dataclass(frozen=True)
class Value:
    """Any value; the same one wherever the name comes again."""

    name: str


@dataclass(frozen=True)
class Number:
    """A constant of one element: this number, or any where it has only a name."""

    value: float | None = None
    name: str = ""


@dataclass(frozen=True)
class Node:
    """An operator on these inputs, in either order where it commutes."""

    op: str
    inputs: tuple["Pattern", ...]
    holds: Callable[[CheckedModel, NodeProto], bool] = lambda _model, _node: True


@dataclass(frozen=True)
class Either:
    """One of several ways to write the same."""

    ways: tuple["Pattern", ...]


Pattern = Value | Number | Node | Either
COMMUTATIVE: Final = frozenset({"Add", "Mul"})


@dataclass(frozen=True)
class Match:
    """What a pattern has bound so far."""

    found: Found = field(default_factory=dict)
    nodes: Mapping[int, NodeProto] = field(default_factory=dict)

    def bind(self, name: str, value: str | float) -> "Match | None":
        """With one more name; None where it already stands for something else."""
        if self.found.get(name, value) != value:
            return None
        return Match({**self.found, name: value}, self.nodes)


def _matches(model: CheckedModel, pattern: Pattern, value: str, match: Match) -> Iterator[Match]:
    """Every way in which a value is an instance of the pattern."""
    if isinstance(pattern, Either):
        for way in pattern.ways:
            yield from _matches(model, way, value, match)
    elif isinstance(pattern, Value):
        bound = match.bind(pattern.name, value)
        if bound:
            yield bound
    elif isinstance(pattern, Number):
        yield from _numbers(model, pattern, value, match)
    else:
        node = model.producers.get(value)
        if node is not None and node.op_type == pattern.op and not node.domain and pattern.holds(model, node):
            yield from _operands(model, pattern, node, Match(match.found, {**match.nodes, id(node): node}))


def _numbers(model: CheckedModel, pattern: Number, value: str, match: Match) -> Iterator[Match]:
    if value not in model.weights or model.weights[value].size != 1:
        return
    number = float(model.weights[value].astype(float).reshape(-1)[0])
    if pattern.value is None:
        bound = match.bind(pattern.name, number)
        if bound:
            yield bound
    elif math.isclose(number, pattern.value, rel_tol=RELATIVE_TOLERANCE):
        yield match


def _operands(model: CheckedModel, pattern: Node, node: NodeProto, match: Match) -> Iterator[Match]:
    names = list(node.input[: len(pattern.inputs)])
    if len(names) < len(pattern.inputs):
        return
    orders = [names, names[::-1]] if pattern.op in COMMUTATIVE and names[0] != names[1] else [names]
    for order in orders:
        matches = [match]
        for operand, name in zip(pattern.inputs, order, strict=True):
            matches = [after for before in matches for after in _matches(model, operand, name, before)]
        yield from matches


def _over_last_axis(model: CheckedModel, node: NodeProto) -> bool:
    """Whether a reduction is along the last axis alone and keeps it."""
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    axes = given.get("axes")
    if axes is None and len(node.input) > 1:
        axes = _stored_axes(model, node.input[1])
    if axes is None or len(axes) != 1 or given.get("keepdims", 1) != 1:
        return False
    return bool(axes[0] in {-1, _rank(model, node.input[0]) - 1})


def _stored_axes(model: CheckedModel, value: str) -> list[int] | None:
    """Axes that are stored; torch's current exporter reshapes them on the way."""
    while value not in model.weights:
        node = model.producers.get(value)
        if node is None or node.op_type != "Reshape":
            return None
        value = node.input[0]
    return [int(axis) for axis in model.weights[value].reshape(-1)]


def _rank(model: CheckedModel, value: str) -> int:
    """0 where it is not known."""
    known = model.values.get(value)
    return len(known.type.tensor_type.shape.dim) if known and known.type.tensor_type.HasField("shape") else 0


def _mean(of: Pattern) -> Pattern:
    return Node("ReduceMean", (of,), _over_last_axis)


def _square(of: Pattern) -> Pattern:
    return Either((Node("Pow", (of, Number(2.0))), Node("Mul", (of, of))))


def _over_root_mean_square(of: Pattern) -> Pattern:
    """X / sqrt(mean(x^2) + epsilon), in the ways it is written."""
    shifted = Node("Add", (_mean(_square(of)), Number(name="epsilon")))
    root = Node("Sqrt", (shifted,))
    inverse = Either(
        (Node("Reciprocal", (root,)), Node("Div", (Number(1.0), root)), Node("Pow", (shifted, Number(-0.5))))
    )
    return Either((Node("Div", (of, root)), Node("Mul", (of, inverse))))


def _product(*factors: Pattern) -> Pattern:
    """Three factors, multiplied in any order."""
    first, second, third = factors
    pairs = ((first, second, third), (first, third, second), (second, third, first))
    return Either(tuple(Node("Mul", (Node("Mul", (a, b)), c)) for a, b, c in pairs))


X: Final = Value("x")
CENTRED: Final = Node("Sub", (X, _mean(X)))
QUOTIENTS: Final = (_over_root_mean_square(CENTRED), _over_root_mean_square(X))
LAYER_NORM: Final = Node("Add", (Node("Mul", (QUOTIENTS[0], Value("scale"))), Value("bias")))
RMS_NORM: Final = Node("Mul", (QUOTIENTS[1], Value("scale")))
ERF: Final = Node(
    "Erf", (Either((Node("Div", (X, Number(math.sqrt(2)))), Node("Mul", (X, Number(math.sqrt(0.5)))))),)
)  # fmt: skip
GELU: Final = _product(X, Node("Add", (ERF, Number(1.0))), Number(0.5))
CUBE: Final = Either((Node("Pow", (X, Number(3.0))), Node("Mul", (X, Node("Mul", (X, X))))))
TANH: Final = Node(
    "Tanh",
    (Node("Mul", (Node("Add", (X, Node("Mul", (CUBE, Number(0.044715))))), Number(math.sqrt(2 / math.pi)))),),
)
TANH_GELU: Final = _product(X, Node("Add", (TANH, Number(1.0))), Number(0.5))
SWISH: Final = Node("Mul", (X, Node("Sigmoid", (X,))))
EXPONENTIAL: Final = Node("Exp", (Node("Sub", (X, Node("ReduceMax", (X,), _over_last_axis))),))
SOFTMAX: Final = Node("Div", (EXPONENTIAL, Node("ReduceSum", (EXPONENTIAL,), _over_last_axis)))


# ------------------------------------------------------------------ what stands for them

OPSET: Final = 24
"""All of these operators exist in it."""


def _layer_normalization(model: CheckedModel, found: Found) -> NodeProto | None:
    scale, bias = str(found["scale"]), str(found["bias"])
    if not _vectors(model, scale, bias):
        return None
    return helper.make_node("LayerNormalization", [str(found["x"]), scale, bias], [], epsilon=found["epsilon"])


def _rms_normalization(model: CheckedModel, found: Found) -> NodeProto | None:
    scale = str(found["scale"])
    if not _vectors(model, scale):
        return None
    return helper.make_node("RMSNormalization", [str(found["x"]), scale], [], epsilon=found["epsilon"])


def _vectors(model: CheckedModel, *names: str) -> bool:
    """Whether these are weights [D] of one length, as the normalisations take them."""
    shapes = {model.weights[name].shape if name in model.weights else () for name in names}
    return len(shapes) == 1 and all(len(shape) == 1 and shape[0] > 1 for shape in shapes)


def _plain(op: str, **attributes: Any) -> Callable[[CheckedModel, Found], NodeProto | None]:
    return lambda _model, found: helper.make_node(op, [str(found["x"])], [], **attributes)


PATTERNS: Final[tuple[tuple[Pattern, Callable[[CheckedModel, Found], NodeProto | None]], ...]] = (
    (LAYER_NORM, _layer_normalization),
    (GELU, _plain("Gelu")),
    (TANH_GELU, _plain("Gelu", approximate="tanh")),
    (RMS_NORM, _rms_normalization),
    (SWISH, _plain("Swish")),
    (SOFTMAX, _plain("Softmax", axis=-1)),
)
