"""Weights of a few bits, several to a byte, become the floats that they stand for: a MatMulNBits becomes a MatMul.

    MatMulNBits (a, q: uint8 [N, blocks, bytes], s, z, g, b)      as onnxruntime's quantisers write it
    MatMul (a, w) -- Add (b)        w [K, N] under the name of q: w[k, n] = (q[n, k] - z[n, g(k)]) s[n, g(k)]

A scale s and a zero point z are those of a block of a row; g says which block a number is of, where that is not its
place. Without z it is half of what the bits can hold.

    MatMulBnb4 (a, q: uint8 [N K / 2], s)                         as onnxruntime writes bitsandbytes' FP4 and NF4
    MatMul (a, w)                   w[k, n] = table[q[n K + k]] s[(n K + k) / block]: blocks run on from row to row

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
BNB4: Final = "MatMulBnb4"
BITS: Final = frozenset({2, 4, 8})
"""So many that numbers fill bytes."""
USUAL_BITS: Final = 4
FLOATS: Final = frozenset({"float16", "bfloat16", "float32"})
OLDEST: Final = 7
"""The opset from which Add spreads a bias."""
BIAS: Final = 5
_FP4: Final = (0.0, 5.208333333e-03, 2 / 3, 1.0, 1 / 3, 0.5, 1 / 6, 0.25)
BNB4_TABLES: Final[Mapping[int, tuple[float, ...]]] = {
    0: (*_FP4, *(-value for value in _FP4)),
    1: (-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
        -0.18477343022833234, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
        0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
}  # fmt: skip
"""What the codes of bitsandbytes stand for: FP4 and NF4."""


@dataclass(frozen=True, slots=True)
class _Bnb4:
    """A weight of codes as one node reads it: the names of its tensors, and how they are laid out."""

    weight: str
    scales: str
    inputs: int
    outputs: int
    block: int
    table: int

    @property
    def tensors(self) -> tuple[str, ...]:
        return self.weight, self.scales

    @property
    def size(self) -> int:
        """Numbers in all."""
        return self.inputs * self.outputs

    def fits(self, entries: Mapping[str, Stored | Array]) -> bool:
        """Whether the tensors are as large as the attributes say."""
        if self.table not in BNB4_TABLES or min(self.inputs, self.outputs, self.block) < 1:
            return False
        weight, scales = (Weights({name: entries[name]})[name] for name in self.tensors)
        return bool(
            weight.dtype == np.uint8
            and weight.size == -(-self.size // 2)
            and scales.dtype.name in FLOATS
            and scales.size == -(-self.size // self.block)
        )

    def floats(self, entries: Mapping[str, Stored | Array]) -> Array:
        """W [K, N] in the type of its scales; of the codes in a byte the one in the high bits comes first."""
        packed, scales = (Weights({name: entries[name]})[name].reshape(-1) for name in self.tensors)
        codes = np.stack((packed >> 4, packed & 15), -1).reshape(-1)[: self.size]
        table = np.array(BNB4_TABLES[self.table], np.float32)
        numbers = table[codes] * scales.astype(np.float32)[np.arange(self.size) // self.block]
        return np.ascontiguousarray(numbers.reshape(self.outputs, self.inputs).T).astype(scales.dtype)


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

    def fits(self, entries: Mapping[str, Stored | Array]) -> bool:
        """Whether the tensors are as large as the attributes say."""
        if self.bits not in BITS or min(self.inputs, self.outputs, self.block) < 1:
            return False
        count = self.outputs * self.blocks
        tensors = {name: Weights({name: entries[name]})[name] for name in self.tensors}
        weight, scales = tensors[self.weight], tensors[self.scales]
        zero_points, groups = tensors.get(self.zero_points), tensors.get(self.groups)
        zeros = self.outputs * -(-self.blocks * self.bits // 8)
        return bool(
            weight.dtype == np.uint8
            and weight.size == count * self.block * self.bits // 8
            and scales.dtype.name in FLOATS
            and scales.size == count
            and (zero_points is None or zero_points.size == (zeros if zero_points.dtype == np.uint8 else count))
            and (groups is None or (groups.size >= self.inputs and groups.min() >= 0 and groups.max() < self.blocks))
        )

    def floats(self, entries: Mapping[str, Stored | Array]) -> Array:
        """W [K, N] in the type of its scales."""
        read, rows, bits = Weights({name: entries[name] for name in self.tensors}), self.outputs, self.bits
        numbers = _unpacked(read[self.weight].reshape(rows, -1), bits)[:, : self.inputs]
        scales = read[self.scales].reshape(rows, self.blocks)
        group = np.arange(self.inputs) // self.block
        if self.groups:
            group = read[self.groups][: self.inputs]
        zeros: Array = np.full((rows, self.blocks), 2 ** (bits - 1), np.uint8)
        if self.zero_points:
            stored = read[self.zero_points].reshape(rows, -1)
            zeros = _unpacked(stored, bits)[:, : self.blocks] if stored.dtype == np.uint8 else stored
        floats = (numbers.astype(np.float32) - zeros.astype(np.float32)[:, group]) * scales.astype(np.float32)[:, group]
        return np.ascontiguousarray(floats.T).astype(scales.dtype)


Packed = _Packed | _Bnb4


def unpack(proto: ModelProto, entries: dict[str, Stored | Array], limits: Limits) -> bool:
    """Write every MatMulNBits and MatMulBnb4 of a stored weight as a MatMul, in place; whether there was any.

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
    floats = {names[each]: each.floats(entries) for each in weights}
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


def _reading(node: NodeProto, entries: Mapping[str, Stored | Array]) -> Packed | None:
    """The weight that a node reads; None where it is another node, or one that would be refused anyway."""
    if node.op_type not in {PACKED, BNB4} or node.domain != MICROSOFT:
        return None
    given = attributes_of(node)
    weight, scales, zero_points, groups = [*node.input, *[""] * 5][1:5]
    inputs, outputs, bits, block = (int(given.get(name, 0)) for name in ("K", "N", "bits", "block_size"))
    packed: Packed
    if node.op_type == PACKED:
        packed = _Packed(weight, scales, zero_points, groups, inputs, outputs, bits or USUAL_BITS, block)
    elif given.get("transB", 1):
        packed = _Bnb4(weight, scales, inputs, outputs, block, int(given.get("quant_type", -1)))
    else:
        return None
    stored = weight in entries and scales in entries and all(name in entries for name in packed.tensors)
    return packed if stored and packed.fits(entries) else None


def _unpacked(rows: Array, bits: int) -> Array:
    """The numbers in the bytes of each row, lowest bits first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return (rows[..., None] >> shifts & np.uint8(2**bits - 1)).reshape(len(rows), -1)


def _written(
    node: NodeProto, packed: Packed | None, names: Mapping[Packed, str], taken: set[str]
) -> Iterator[NodeProto]:
    if packed is None:
        yield node
        return
    bias = node.input[BIAS] if len(node.input) > BIAS else ""
    product = _free(f"{node.output[0]}_product", taken) if bias else node.output[0]
    yield helper.make_node("MatMul", [node.input[0], names[packed]], [product], name=node.name)
    if bias:
        yield helper.make_node("Add", [product, bias], [node.output[0]], name=f"{label(node)}/bias")


def _readers(graphs: Iterable[GraphProto], found: Iterable[Iterable[Packed | None]]) -> dict[str, set[Packed | None]]:
    """Every name -> what it is read for; None: as it is, or written."""
    readers: dict[str, set[Packed | None]] = {}
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
