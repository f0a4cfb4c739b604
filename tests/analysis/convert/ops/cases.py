"""A case: one operator on one set of inputs, at every version of the operator it is valid for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from onnx import ModelProto, ValueInfoProto, defs, helper, numpy_helper, parser, shape_inference

from analysis.model.onnx_tools import RUNTIME_OWN

RANDOM = np.random.default_rng(20261123)
STANDARD = 20
"""The version of the standard operators beside those of another domain."""
IR_BY_OPSET = ((25, 13), (23, 11), (21, 10), (19, 9), (15, 8), (12, 7), (9, 4), (1, 3))


@dataclass(frozen=True)
class Case:
    """Inputs by position (None: omitted), attributes, and the since-versions [since, until) it is written for."""

    op: str
    inputs: Sequence[np.ndarray | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    since: int = 1
    until: int = 1_000_000
    outputs: int = 1
    constant: tuple[int, ...] = ()
    """Inputs that are initialisers, as exporters write shapes and axes."""
    differentiable: bool = True
    """Whether float64 gradcheck applies: smooth around these inputs."""
    returns: tuple[str, ...] = ()
    """Output types, where opset 1 does not say and they differ from the first input's."""
    name: str = ""
    tolerance: float = 1e-5
    domain: str = ""
    captured: int = 0
    """How many of the last inputs are read by the bodies only."""
    refused: bool = False
    """onnxruntime refuses it although the operator page allows it: onnx's reference is asked."""
    formula: Callable[..., Any] | None = None
    """The outputs by numpy, where neither onnxruntime nor onnx's reference computes what the operator page says."""
    text: str = ""
    """Nodes in ONNX's text form instead of the one node: from x0 .. to y0 .. by way of sequences and optionals."""

    def versions(self) -> Iterator[int]:
        """Since-versions of the operator's schema within the range; of a domain onnx has no schemas of there is one."""
        known = _since_versions(self.domain, self.op)
        yield from (version for version in known if self.since <= version < self.until)

    def label(self, version: int) -> str:
        return "-".join(filter(None, (self.op, str(version), self.name)))

    def model(self, opset: int) -> ModelProto:
        """A model of this one node, in this version of its domain; float inputs stay graph inputs."""
        names = [f"x{place}" if array is not None else "" for place, array in enumerate(self.inputs)]
        results = [f"y{place}" for place in range(self.outputs)]
        reads = names[: len(names) - self.captured]
        nodes = [helper.make_node(self.op, reads, results, name="node", domain=self.domain, **self.attributes)]
        if self.text:
            nodes = parser.parse_graph(f"case () => () {{ {self.text} }}").node
        values, initializers = [], []
        for place, array in enumerate(self.inputs):
            if array is None:
                continue
            if place in self.constant:
                initializers.append(numpy_helper.from_array(array, names[place]))
            else:
                element = helper.np_dtype_to_tensor_dtype(array.dtype)
                values.append(helper.make_tensor_value_info(names[place], element, array.shape))
        outputs = [ValueInfoProto(name=name) for name in results]
        graph = helper.make_graph(nodes, "case", values, outputs, initializers)
        versions = {"": STANDARD, self.domain: opset}
        ir_version = next(ir for first, ir in IR_BY_OPSET if versions[""] >= first)
        imports = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
        model = helper.make_model(graph, opset_imports=imports, ir_version=max(ir_version, 4))
        return self._typed(shape_inference.infer_shapes(model))

    def _typed(self, model: ModelProto) -> ModelProto:
        """Operators of opset 1 infer no types: their outputs have the type of the first input, or the stated one."""
        first = next((array.dtype for array in self.inputs if array is not None), None)
        for place, output in enumerate(model.graph.output):
            if not output.type.tensor_type.elem_type:
                dtype = np.dtype(self.returns[place]) if self.returns else first
                output.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(dtype)
        return model

    def feed(self) -> dict[str, np.ndarray]:
        """Graph inputs by name."""
        return {
            f"x{place}": array
            for place, array in enumerate(self.inputs)
            if array is not None and place not in self.constant
        }


@cache
def _since_versions(domain: str, op: str) -> list[int]:
    schemas = [schema for schema in defs.get_all_schemas_with_history() if schema.domain == domain]
    if not schemas:
        return [1]
    own = {1} if domain == "" and op in RUNTIME_OWN else set()
    return sorted(own.union(schema.since_version for schema in schemas if schema.name == op))


def floats(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Seeded uniform float32, nowhere within 0.05 of zero, so that kinks at 0 are not hit."""
    values = RANDOM.uniform(low, high, shape).astype(np.float32)
    return np.where(np.abs(values) < 0.05, np.float32(0.05) + values, values).astype(np.float32)


def scalar(value: float, dtype: type = np.float32) -> np.ndarray:
    """A tensor without axes."""
    return np.array(value, dtype)


def ints(*values: int) -> np.ndarray:
    """A one-dimensional int64 tensor."""
    return np.array(values, np.int64)
