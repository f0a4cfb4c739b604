"""Weights of a few bits, several to a byte, become the floats that they stand for: a MatMulNBits becomes a MatMul.

    MatMulNBits (a, q: uint8 [N, blocks, bytes], s, z, g, b)      as onnxruntime's quantisers write it
    MatMul (a, w) -- Add (b)        w [K, N] under the name of q: w[k, n] = (q[n, k] - z[n, g(k)]) s[n, g(k)]

A scale s and a zero point z are those of a block of a row; g says which block a number is of, where that is not its
place. Without z it is half of what the bits can hold.

Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper

from analysis.model.nodes import STANDARD_DOMAINS, attributes_of, bodies, label
from analysis.model.weights import Array, Stored, Weights
from analysis.options import Limits

MICROSOFT: Final = "com.microsoft"
PACKED: Final = "MatMulNBits"
BITS: Final = frozenset({2, 4, 8})
"""So many that numbers fill bytes."""
USUAL_BITS: Final = 4
FLOATS: Final = frozenset({"float16", "bfloat16", "float32"})
OLDEST: Final = 7
"""The opset from which Add spreads a bias."""
BIAS: Final = 5


@dataclass(frozen=True, slots=True)
class _Packed:
    """A weight as one node reads it: the names of its tensors, and how they are laid out."""

    weight: str
    scales: str
    zero_points: str
    groups: str
    inputs: int
    outputs: int
    bits: int
    block: int

    @property
    def blocks(self) -> int:
        """In a row; the last one may not be full."""
        return -(-self.inputs // self.block)

    @property
    def tensors(self) -> tuple[str, ...]:
        """Those that are there."""
        return tuple(filter(None, (self.weight, self.scales, self.zero_points, self.groups)))

    @property
    def size(self) -> int:
        """Numbers in all."""
        return self.inputs * self.outputs


def unpack(proto: ModelProto, entries: dict[str, Stored | Array], limits: Limits) -> bool:
    """Write every MatMulNBits of a stored weight as a MatMul, in place; whether there was any.

    Where the floats would take more than `limits.unpacked_bytes` all stay packed, and do not train.
    """
    version = next((entry.version for entry in proto.opset_import if entry.domain in STANDARD_DOMAINS), 0)
    graphs = list(_graphs(proto.graph))
    found = [[_reading(node, entries) for node in graph.node] for graph in graphs]
    weights = list(dict.fromkeys(each for row in found for each in row if each is not None))
    if not weights or version < OLDEST or 4 * sum(each.size for each in weights) > limits.unpacked_bytes:
        return False
    readers = _readers(graphs, found)
    taken = readers.keys() | entries.keys()
    names = {each: each.weight if readers[each.weight] == {each} else _free(each.weight, taken) for each in weights}
    floats = {names[each]: _floats_of(each, entries) for each in weights}
    for graph, row in zip(graphs, found, strict=True):
        both = zip(graph.node, row, strict=True)
        nodes = [made for node, packed in both for made in _written(node, packed, names, taken)]
        del graph.node[:]
        graph.node.extend(nodes)
    for name in {name for each in weights for name in each.tensors if None not in readers[name]}:
        del entries[name]
    entries.update(floats)
    declared = [value for value in proto.graph.value_info if value.name not in floats]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(declared)
    return True


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph behind the bodies in it: nodes are copied with them."""
    for node in graph.node:
        for body in bodies(node):
            yield from _graphs(body)
    yield graph


def _reading(node: NodeProto, entries: Mapping[str, Stored | Array]) -> _Packed | None:
    """The weight that a node reads; None where it is another node, or one that would be refused anyway."""
    if node.op_type != PACKED or node.domain != MICROSOFT:
        return None
    given = attributes_of(node)
    weight, scales, zero_points, groups = [*node.input, *[""] * 5][1:5]
    inputs, outputs, bits, block = (int(given.get(name, 0)) for name in ("K", "N", "bits", "block_size"))
    packed = _Packed(weight, scales, zero_points, groups, inputs, outputs, bits or USUAL_BITS, block)
    stored = weight in entries and scales in entries and all(name in entries for name in packed.tensors)
    return packed if stored and _fits(packed, entries) else None


def _fits(packed: _Packed, entries: Mapping[str, Stored | Array]) -> bool:
    """Whether the tensors are as large as the attributes say."""
    if packed.bits not in BITS or min(packed.inputs, packed.outputs, packed.block) < 1:
        return False
    count = packed.outputs * packed.blocks
    tensors = {name: Weights({name: entries[name]})[name] for name in packed.tensors}
    weight, scales = tensors[packed.weight], tensors[packed.scales]
    zero_points, groups = tensors.get(packed.zero_points), tensors.get(packed.groups)
    zeros = packed.outputs * -(-packed.blocks * packed.bits // 8)
    return bool(
        weight.dtype == np.uint8
        and weight.size == count * packed.block * packed.bits // 8
        and scales.dtype.name in FLOATS
        and scales.size == count
        and (zero_points is None or zero_points.size == (zeros if zero_points.dtype == np.uint8 else count))
        and (groups is None or (groups.size >= packed.inputs and groups.min() >= 0 and groups.max() < packed.blocks))
    )


def _floats_of(packed: _Packed, entries: Mapping[str, Stored | Array]) -> Array:
    """W [K, N] in the type of its scales."""
    read, rows, bits = Weights({name: entries[name] for name in packed.tensors}), packed.outputs, packed.bits
    numbers = _unpacked(read[packed.weight].reshape(rows, -1), bits)[:, : packed.inputs]
    scales = read[packed.scales].reshape(rows, packed.blocks)
    group = np.arange(packed.inputs) // packed.block
    if packed.groups:
        group = read[packed.groups][: packed.inputs]
    zeros: Array = np.full((rows, packed.blocks), 2 ** (bits - 1), np.uint8)
    if packed.zero_points:
        stored = read[packed.zero_points].reshape(rows, -1)
        zeros = _unpacked(stored, bits)[:, : packed.blocks] if stored.dtype == np.uint8 else stored
    floats = (numbers.astype(np.float32) - zeros.astype(np.float32)[:, group]) * scales.astype(np.float32)[:, group]
    return np.ascontiguousarray(floats.T).astype(scales.dtype)


def _unpacked(rows: Array, bits: int) -> Array:
    """The numbers in the bytes of each row, lowest bits first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return (rows[..., None] >> shifts & np.uint8(2**bits - 1)).reshape(len(rows), -1)


def _written(
    node: NodeProto, packed: _Packed | None, names: Mapping[_Packed, str], taken: set[str]
) -> Iterator[NodeProto]:
    if packed is None:
        yield node
        return
    bias = node.input[BIAS] if len(node.input) > BIAS else ""
    product = _free(f"{node.output[0]}_product", taken) if bias else node.output[0]
    yield helper.make_node("MatMul", [node.input[0], names[packed]], [product], name=node.name)
    if bias:
        yield helper.make_node("Add", [product, bias], [node.output[0]], name=f"{label(node)}/bias")


def _readers(graphs: Iterable[GraphProto], found: Iterable[Iterable[_Packed | None]]) -> dict[str, set[_Packed | None]]:
    """Every name -> what it is read for; None: as it is, or written."""
    readers: dict[str, set[_Packed | None]] = {}
    for graph, row in zip(graphs, found, strict=True):
        for value in (*graph.input, *graph.output):
            readers.setdefault(value.name, set()).add(None)
        for node, packed in zip(graph.node, row, strict=True):
            for name in (*node.input, *node.output):
                inside = packed is not None and name in packed.tensors
                readers.setdefault(name, set()).add(packed if inside else None)
    return readers


def _free(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    taken.add(f"{name}_{number}")
    return f"{name}_{number}"
