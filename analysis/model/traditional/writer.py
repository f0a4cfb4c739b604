"""What a rewriting has at hand: the types that are known, new nodes and tensors, names that are free."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from analysis.model.nodes import attributes_of, label
from analysis.model.weights import Array

DOMAIN: Final = "ai.onnx.ml"
AXES_AS_INPUT: Final = {"ReduceSum": 13, "Unsqueeze": 13, "ReduceMax": 18, "ReduceL1": 18, "ReduceL2": 18}
"""The opset from which these read their axes from an input."""


class NotRewritten(Exception):
    """A node that has to stay as it is."""


class Types:
    """Element types and ranks of values, as far as the graph declares them or rewritings made them."""

    def __init__(self, values: Iterable[ValueInfoProto], tensors: Iterable[TensorProto]) -> None:
        """Read what is declared."""
        self._known: dict[str, tuple[int, int | None]] = {}
        for value in values:
            kind = value.type.tensor_type
            if kind.elem_type:
                self._known[value.name] = kind.elem_type, len(kind.shape.dim) if kind.HasField("shape") else None
        for tensor in tensors:
            self._known[tensor.name] = tensor.data_type, len(tensor.dims)

    def element(self, name: str) -> int:
        """A TensorProto.DataType; UNDEFINED where nothing is known."""
        return self._known.get(name, (TensorProto.UNDEFINED, None))[0]

    def rank(self, name: str) -> int | None:
        """The number of axes, where it is known."""
        return self._known.get(name, (0, None))[1]

    def note(self, name: str, element: int) -> None:
        """A value that was written with this element type."""
        self._known[name] = element, self.rank(name)


class Writer:
    """Writes nodes in place of one node of ai.onnx.ml."""

    def __init__(self, node: NodeProto, types: Types, opset: int, taken: set[str]) -> None:
        """Start with nothing written."""
        self.node = node
        self.types = types
        self.opset = opset
        self.attributes: Mapping[str, Any] = attributes_of(node)
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self.fixed: dict[str, str] = {}
        """Tensors that do not train, and why."""
        self._taken = taken
        self._label = label(node)

    def text(self, name: str, default: str = "") -> str:
        """An attribute that is a string."""
        return bytes(self.attributes.get(name, default.encode())).decode(errors="replace")

    def floats(self, name: str) -> Array:
        """An attribute that is a list of numbers, as float32."""
        return np.asarray(self.attributes.get(name, ()), np.float32)

    def put(self, op: str, inputs: Iterable[str], output: str = "", **attributes: Any) -> str:
        """A node of the standard; the value that it writes."""
        name = output or self._free(f"{self._label}/{op}")
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=self._free_node(op), **attributes))
        return name

    def put_over(self, op: str, value: str, axes: list[int], **attributes: Any) -> str:
        """A node that works along axes, which are an attribute or an input by its version."""
        if self.opset < AXES_AS_INPUT[op]:
            return self.put(op, [value], axes=axes, **attributes)
        return self.put(op, [value, self.constant("axes", np.array(axes, np.int64))], **attributes)

    def cast(self, value: str, to: int, output: str = "") -> str:
        """The value in this element type, by way of a Cast where it may have another."""
        if self.types.element(value) == to and not output:
            return value
        written = self.put("Cast", [value], output, to=to)
        self.types.note(written, to)
        return written

    def parameter(self, what: str, array: Array) -> str:
        """A tensor that trains."""
        name = self._free(f"{self._label}.{what}")
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def constant(self, what: str, array: Array) -> str:
        """A tensor that does not."""
        name = self.parameter(what, array)
        self.fixed[name] = f"{what.replace('_', ' ')} of {self.node.op_type}, which is no layer"
        return name

    def _free(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name

    def _free_node(self, op: str) -> str:
        return self._free(f"{self._label}//{op}").replace("//", "/")


Rewriting = Callable[[Writer], None]
REWRITINGS: Final[dict[str, Rewriting]] = {}


def rewriting(name: str) -> Callable[[Rewriting], Rewriting]:
    """Register what writes an operator of ai.onnx.ml anew, at every version; twice is an error at import."""

    def register(function: Rewriting) -> Rewriting:
        if name in REWRITINGS:
            raise ValueError(f"{name} is registered twice")
        REWRITINGS[name] = function
        return function

    return register


def names_of(graph: GraphProto) -> set[str]:
    """Every name in a graph."""
    names = {value.name for value in (*graph.input, *graph.output, *graph.value_info)}
    names.update(tensor.name for tensor in graph.initializer)
    for node in graph.node:
        names.update((*node.input, *node.output))
    return names
