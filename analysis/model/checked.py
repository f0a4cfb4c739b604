"""CheckedModel: a valid graph without tensor data, and its tensors by name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, helper

from analysis.errors import InvalidModel
from analysis.model.nodes import STANDARD_DOMAINS, captures
from analysis.model.onnx_tools import inferred_values
from analysis.model.quantized import Quantized, quantized_values, quantized_weights
from analysis.model.weights import MAX_RANK, Weights

if TYPE_CHECKING:
    from analysis.model.signature import Signature

Dimension = int | str | None
"""A fixed size, a named one, or one nothing is known of."""
FLOATS: Final = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.UNDEFINED}
)


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """What the graph declares about an input or output."""

    name: str
    dtype: str
    """numpy's name (`float32`, `int64`, `bfloat16`, `str`), or `sequence`, `optional`, `map`."""
    shape: tuple[Dimension, ...] | None
    """None where even the rank is open."""


class Reading(NamedTuple):
    """One reading of a value: which node, at which input; -1 where a body inside the node captures it."""

    node: NodeProto
    slot: int


@dataclass(frozen=True, eq=False)
class CheckedModel:
    """A valid graph without tensor data, and its tensors by name."""

    proto: ModelProto
    """No initialisers and no Constant nodes; to be treated as immutable."""
    weights: Weights
    inputs: tuple[ValueSpec, ...]
    """In graph order, initialisers excluded."""
    outputs: tuple[ValueSpec, ...]
    sha256: str
    size_bytes: int
    name: str
    source: Path | bytes | None
    """What was uploaded; None for an edited, mended or rewritten model."""
    data_files: Mapping[str, memoryview] = field(default_factory=dict)
    """Contents of the files beside what was uploaded that tensors lie in, by location."""
    constants: frozenset[str] = frozenset()
    """Tensors that were Constant nodes in the file, not initialisers."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Tensors that are no parameters whatever reads them -> why: those of preprocessing nodes, buffers of a module."""
    notes: tuple[str, ...] = ()
    """What was left out of the file, for the report."""
    signature: "Signature | None" = None
    """Which tensors the exported module trains, where the file says so."""
    original: Path | bytes | None = None
    """What was uploaded, where operators were written anew: outputs of the same names are the same."""

    @cached_property
    def nodes(self) -> tuple[NodeProto, ...]:
        """The nodes of the main graph in topological order; kept, so that a node is always the same object."""
        return tuple(self.proto.graph.node)

    @cached_property
    def producers(self) -> Mapping[str, NodeProto]:
        """Which node of the main graph writes a value."""
        return {output: node for node in self.nodes for output in node.output if output}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Reading, ...]]:
        """Which nodes of the main graph read a value, bodies they hold included."""
        return consumers_in(self.nodes)

    @cached_property
    def values(self) -> Mapping[str, ValueInfoProto]:
        """Types and shapes of the values of the main graph, as far as shape inference knows them."""
        return inferred_values(self.proto, self.weights)

    @cached_property
    def quantized(self) -> Mapping[str, Quantized]:
        """Integer initialisers that are weights of quantised operators."""
        return quantized_weights(self)

    @cached_property
    def _quantized_values(self) -> frozenset[str]:
        return quantized_values(self.nodes, self.quantized)

    def is_float(self, value: str) -> bool:
        """Whether a value, a tensor or a sequence of them, can carry a gradient.

        Integers that stand for floats can, straight through what quantises; unknown types are taken for floats.
        """
        if value in self._quantized_values:
            return True
        known = self.values.get(value)
        if known is None:
            return True
        kind = known.type.sequence_type.elem_type if known.type.HasField("sequence_type") else known.type
        return kind.HasField("tensor_type") and kind.tensor_type.elem_type in FLOATS

    def shape(self, value: str) -> tuple[int, ...] | None:
        """The sizes of a value, where all of them are fixed."""
        known = self.values.get(value)
        if known is None or not known.type.tensor_type.HasField("shape"):
            return None
        sizes = tuple(dimension.dim_value for dimension in known.type.tensor_type.shape.dim)
        return sizes if all(size > 0 for size in sizes) else None

    def opset(self, domain: str = "") -> int:
        """The version of an operator set this model imports; 0 where it does not."""
        names = STANDARD_DOMAINS if domain in STANDARD_DOMAINS else (domain,)
        return next((entry.version for entry in self.proto.opset_import if entry.domain in names), 0)

    def edited(self, proto: ModelProto, weights: Weights) -> "CheckedModel":
        """The result of an edit: same interface, other graph or weights."""
        return replace(self, proto=proto, weights=weights, source=None, original=None)


def spec_of(value: ValueInfoProto) -> ValueSpec:
    """What the graph declares about one of its inputs or outputs."""
    kind = value.type.WhichOneof("value")
    if (element := _element_of(value.type)) not in TensorProto.DataType.values():
        raise InvalidModel(f"element type {element} is none of ONNX", where=value.name)
    if kind != "tensor_type":
        return ValueSpec(value.name, (kind or "unknown").removesuffix("_type"), None)
    tensor = value.type.tensor_type
    dtype = "str" if tensor.elem_type == TensorProto.STRING else _dtype_name(tensor.elem_type)
    if not tensor.HasField("shape"):
        return ValueSpec(value.name, dtype, None)
    if len(tensor.shape.dim) > MAX_RANK:
        raise InvalidModel(f"{len(tensor.shape.dim)} dimensions, {MAX_RANK} are allowed", where=value.name)
    shape: list[Dimension] = []
    for dimension in tensor.shape.dim:
        fixed = dimension.HasField("dim_value") and dimension.dim_value > 0
        shape.append(dimension.dim_value if fixed else (dimension.dim_param or None))
    return ValueSpec(value.name, dtype, tuple(shape))


def _element_of(kind: TypeProto) -> int:
    """The element type of a tensor, or of those in a sequence or an optional; 0: none is declared."""
    held = kind.optional_type if kind.HasField("optional_type") else kind.sequence_type
    return _element_of(held.elem_type) if held.HasField("elem_type") else kind.tensor_type.elem_type


def _dtype_name(element: int) -> str:
    try:
        return np.dtype(helper.tensor_dtype_to_np_dtype(element)).name
    except KeyError:
        return "unknown"


def consumers_in(nodes: Iterable[NodeProto]) -> Mapping[str, tuple[Reading, ...]]:
    """Which of these nodes read a value, bodies they hold included."""
    uses: dict[str, list[Reading]] = {}
    for node in nodes:
        for slot, name in enumerate(node.input):
            uses.setdefault(name, []).append(Reading(node, slot))
        for name in sorted(captures(node)):
            uses.setdefault(name, []).append(Reading(node, -1))
    return {name: tuple(found) for name, found in uses.items()}
