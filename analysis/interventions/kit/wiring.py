"""Where the elements of a weight come from: exporters cut and join what a recurrent operator reads.

Torch keeps the four gates of an LSTM in one matrix; the operator wants them in another order, with an axis for the
direction. So its weight is made of Slices, a Concat and an Unsqueeze, and whoever wants the operator to read an
orthogonal gate has to know which element of which initialiser stands there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

from analysis.graph.families import LAYING_OUT
from analysis.graph.sources import Sources
from analysis.interventions.draws import Draw, Floats
from analysis.model import CheckedModel
from analysis.model.weights import Array

Elements = npt.NDArray[np.int64]
MOVING: Final = LAYING_OUT | {"Identity", "Slice", "Concat", "Split", "Gather", "Flatten"}
"""Operators whose outputs are elements of their inputs."""
LARGEST: Final = 20_000_000
"""Elements that are followed."""


@dataclass(frozen=True, eq=False)
class Wiring:
    """What an operator reads, element by element."""

    shape: tuple[int, ...]
    elements: Mapping[str, tuple[Elements, Elements]]
    """Initialiser -> flat places in what the operator reads, and the elements of the initialiser that stand there."""


def wiring(model: CheckedModel, sources: Sources, value: str) -> Wiring | None:
    """How a weight expression is made of its initialisers; None where it does more than move their elements."""
    names = sources.of.get(value)
    if not names:
        return None
    nodes, constants = _expression(model, value)
    if any(node.op_type not in MOVING for node in nodes) or not set(names) <= constants:
        return None
    counts = [model.weights[name].size for name in names]
    if sum(counts) > LARGEST:
        return None
    starts = np.cumsum([0, *counts])
    numbered = {
        name: np.arange(start, start + count).reshape(model.weights[name].shape)
        for name, start, count in zip(names, starts[:-1], counts, strict=True)
    }
    read = _evaluate(model, nodes, {**{name: np.asarray(model.weights[name]) for name in constants}, **numbered}, value)
    flat = read.reshape(-1)
    elements = {}
    for name, start, count in zip(names, starts[:-1], counts, strict=True):
        places = np.flatnonzero((flat >= start) & (flat < start + count))
        elements[name] = places, flat[places] - start
    return Wiring(read.shape, elements)


def _expression(model: CheckedModel, value: str) -> tuple[list[NodeProto], set[str]]:
    """The nodes that make a value, in order, and the tensors they begin with."""
    found: dict[str, NodeProto] = {}
    constants = set[str]()

    def visit(name: str) -> None:
        node = model.producers.get(name)
        if name in model.weights:
            constants.add(name)
        elif node is not None and node.output[0] not in found:
            for each in filter(None, node.input):
                visit(each)
            found[node.output[0]] = node

    visit(value)
    return list(found.values()), constants


def _evaluate(model: CheckedModel, nodes: list[NodeProto], tensors: Mapping[str, Any], value: str) -> Elements:
    """Moving operators move integers as they move weights."""
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - a third of a second that few networks need

    output = helper.make_tensor_value_info(value, TensorProto.INT64, None)
    graph = helper.make_graph(
        nodes, "expression", [], [output], [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    )
    proto = helper.make_model(graph, opset_imports=model.proto.opset_import, ir_version=model.proto.ir_version)
    (read,) = ReferenceEvaluator(proto).run(None, {})
    elements: Elements = np.asarray(read)
    return elements


@dataclass(frozen=True, eq=False)
class Wired:
    """Draws of what operators read, brought back to where it comes from; one operator or several, each its own part."""

    parts: Sequence[tuple[Draw, Wiring]]

    @property
    def random(self) -> bool:
        """As the draws are."""
        return any(drawn.random for drawn, _ in self.parts)

    def realize(self, name: str, present: Array, seed: int) -> Floats:
        """Elements that are not read stay; of one that is read twice the first place counts."""
        values = np.array(present, np.float32).reshape(-1)
        for number, (drawn, wiring) in list(enumerate(self.parts))[::-1]:
            own = f"{name}/{number}" if number else name
            whole = drawn.realize(own, np.broadcast_to(np.float32(0), wiring.shape), seed).reshape(-1)
            places, elements = wiring.elements[name]
            values[elements[::-1]] = whole[places[::-1]]
        return values.reshape(present.shape)
