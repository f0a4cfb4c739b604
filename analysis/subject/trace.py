"""Where a graph counts samples, found by running it on two numbers of samples side by side.

Each node runs as exported, on the `fixed` number of samples, and then on `opened` of them, some of which are the same.
What it writes must be the same but for the samples: one axis of k x fixed entries has k x opened, and the rows of
samples that both have are equal. A node that fails, or writes something else, is given one of its constants anew (see
`analysis.model.opened`) until it does as it should. With one sample a Reshape to [1, 64] may as well be one to [1, 64 x
samples] as to [samples, 64]: the likelier one is tried first, and where the graph cannot go on with it, the other.

The samples come in another order the second time: a network that runs along them, an LSTM that takes them for time, is
found out at its first step.
"""

import itertools
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeGuard

import numpy as np
import torch
from onnx import NodeProto

from analysis.convert.stepwise import Stepwise, Values
from analysis.errors import AnalysisError
from analysis.graph.slots import RECURRENT
from analysis.model.nodes import attributes_of, label
from analysis.model.opened import SIZES, Change, CountedRows, EqualRows, SampleAxis, SizeEntry, first_output
from analysis.model.weights import Array
from analysis.subject.reference import DRAWING
from analysis.subject.same_samples import Sizes, compare, with_shared

STATES: Final = (4, 5, 6)
"""Inputs of recurrent operators that have to have as many rows as there are samples: lengths, and initial states."""
ATTENDING: Final = frozenset({"MatMul", "Einsum", "Softmax", "Attention", "MultiHeadAttention"})
ALONG: Final = ATTENDING | RECURRENT
"""What makes of its first axis one sequence."""
OVER_SAMPLES: Final = frozenset({"BatchNormalization"})
"""What looks at all samples on purpose where a graph was exported for training."""
MOST_COMBINATIONS: Final = 64
SURE: Final = 4
"""Samples from which another reading of what a node writes would be told by its numbers."""
MOST_RUNS: Final = 4
"""Times the number of nodes after which no other way is tried."""
MOST_BYTES: Final = 1 << 30
"""Of values that are kept for other ways."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a graph made of the samples."""

    where: Mapping[str, SampleAxis]
    changes: tuple[Change, ...]
    stuck: NodeProto | None
    """The node that no change makes do as it should; None where the graph ran to its end."""


def standing_against(node: NodeProto) -> str:
    """Why a graph is stuck at a node, in words."""
    where = f"node {label(node)!r} ({node.op_type})"
    if node.op_type in RECURRENT:
        return f"{where} takes the first axis for time steps (batch_first?)"
    if node.op_type in ATTENDING:
        return f"{where} looks along the first axis as along one sequence (batch_first?)"
    return f"{where} is another with another number of samples"


def is_over_samples(node: NodeProto | None) -> TypeGuard[NodeProto]:
    """Whether a graph is stuck, at a node that looks at all samples on purpose."""
    return node is not None and node.op_type in OVER_SAMPLES


@dataclass(frozen=True, slots=True)
class _Choice:
    """One way to run a node on the second number of samples."""

    changes: tuple[Change, ...]
    written: Values
    where: Mapping[str, SampleAxis]


@dataclass(eq=False)
class Tracer:
    """Runs a graph on two numbers of samples."""

    steps: Stepwise
    sizes: Sizes
    static: bool
    """No other axis of an input is open."""
    fixed: Values = field(default_factory=dict)
    opened: Values = field(default_factory=dict)
    where: dict[str, SampleAxis] = field(default_factory=dict)
    differing: set[str] = field(default_factory=set)
    """Values that are another with another number of samples."""
    kept: dict[int, int] = field(default_factory=dict)
    """Bytes of each stretch of memory that values on the fixed number of samples lie in."""

    def run(self, pool: Mapping[str, Array], axes: Mapping[str, int]) -> Trace:
        """Of a pool of samples, by the name of the input; `axes`: where each counts samples.

        Raises AnalysisError where the graph does not run as it was exported, MemoryError where all values there are,
        kept because another way may be tried, would take more than MOST_BYTES.
        """
        self._enter(pool, axes)
        nodes, ways, taken = self.steps.nodes, list[Iterator[_Choice]](), list[tuple[Change, ...]]()
        furthest = 0
        for _ in range(MOST_RUNS * len(nodes)):
            at = len(taken)
            if at == len(nodes):
                break
            if len(ways) == at:
                if first_output(nodes[at]) not in self.fixed:
                    self._keep(self.steps.run(nodes[at], self.fixed))
                ways.append(self._ways(nodes[at]))
            choice = next(ways[at], None)
            if choice is not None:
                self._take_over(choice)
                taken.append(choice.changes)
                if self._sure:
                    ways[at] = iter(())
                    self._forget(at)
                continue
            furthest = max(furthest, at)
            ways.pop()
            if self._sure or not taken:
                break
            taken.pop()
        if len(taken) < len(nodes):
            return Trace(self.where, (), nodes[furthest])
        return Trace(self.where, tuple(change for changes in taken for change in changes), None)

    def _keep(self, written: Values) -> None:
        self.fixed |= written
        for value in written.values():
            if isinstance(value, torch.Tensor):
                storage = value.untyped_storage()
                self.kept[storage.data_ptr()] = storage.nbytes()
        if not self._sure and sum(self.kept.values()) * (1 + self.sizes.opened / self.sizes.fixed) > MOST_BYTES:
            raise MemoryError

    @property
    def _sure(self) -> bool:
        """Whether there are rows enough that what a node writes is right in one way only."""
        return self.sizes.fixed >= SURE

    @cached_property
    def _last_reads(self) -> Mapping[int, Sequence[str]]:
        """By the place of a node: the values that no node after it reads."""
        last = {
            name: at for at, node in enumerate(self.steps.nodes) for name in (*node.output, *self.steps.reads(node))
        }
        names: dict[int, list[str]] = {}
        for name, at in last.items():
            if name not in self.steps.constants:
                names.setdefault(at, []).append(name)
        return names

    def _forget(self, at: int) -> None:
        """Drop what nobody reads any more: no way leads back."""
        for name in self._last_reads.get(at, ()):
            self.fixed.pop(name, None)
            self.opened.pop(name, None)

    def _enter(self, pool: Mapping[str, Array], axes: Mapping[str, int]) -> None:
        self.fixed |= self.steps.constants
        self.opened |= self.steps.constants
        for name, array in pool.items():
            first, second = (
                array if name not in axes else np.take(array, rows, axis=axes[name])
                for rows in (range(self.sizes.fixed), self.sizes.rows)
            )
            self.fixed[name], self.opened[name] = self.steps.tensor(first), self.steps.tensor(second)
            if name in axes:
                self.where[name] = SampleAxis(axes[name])
                self.differing.add(name)

    def _take_over(self, choice: _Choice) -> None:
        for name, value in choice.written.items():
            self.opened[name] = value
            self.where.pop(name, None)
            self.differing.discard(name)
            if value is not self.fixed[name]:
                self.differing.add(name)
        self.where |= choice.where

    # -------------------------------------------------------------- the ways of a node

    def _ways(self, node: NodeProto) -> Iterator[_Choice]:
        """What a node may be given, the likeliest first, each of which writes what it should."""
        if self.differing.isdisjoint(self.steps.reads(node)):
            yield _Choice((), {name: self.fixed[name] for name in node.output if name in self.fixed}, {})
            return
        sized = list(self._sizes(node))
        if sized:
            choices = [choice for change in [None, *sized] if (choice := self._try(node, [change] if change else []))]
            yield from sorted(choices, key=lambda choice: _likeliness(choice, node, self.opened))
        for changes in self._rows(node):
            if sized and not changes:
                continue
            if (choice := self._try(node, changes)) is not None:
                yield choice
                if not changes:
                    return

    def _sizes(self, node: NodeProto) -> Iterator[SizeEntry]:
        """Entries of its constants that may be multiples of the number of samples."""
        for slot in SIZES.get(node.op_type, ()):
            name = node.input[slot] if slot < len(node.input) else ""
            values = self.opened.get(name)
            if values is None or values.dtype is not torch.int64 or values.ndim != 1 or not self._known(name):
                continue
            for index, value in enumerate(values.tolist()):
                if value > 0 and value % self.sizes.fixed == 0:
                    place = self.where.get(node.input[0])
                    keeps = place is not None and place.axis == index
                    keeps &= place is not None and place.factor == value // self.sizes.fixed
                    yield SizeEntry(first_output(node), slot, index, tuple(values.tolist()), keeps)

    def _known(self, name: str) -> bool:
        """Whether a value is the same in every run: a constant, or read off sizes that are fixed."""
        return name not in self.differing or (self.static and torch.equal(self.fixed[name], self.opened[name]))

    def _rows(self, node: NodeProto) -> Iterator[list[Change]]:
        """Rows for every sample in what does not depend on the inputs, the fewest changes first."""
        options = [self._options(node, slot) for slot in range(len(node.input))]
        count = 1
        for each in options:
            count *= len(each)
        combinations: Iterable[tuple[Change | None, ...]] = itertools.islice(itertools.product(*options), 4096)
        ordered = sorted(combinations, key=lambda each: sum(change is not None for change in each))
        for combination in ordered[:MOST_COMBINATIONS]:
            yield [change for change in combination if change is not None]

    def _options(self, node: NodeProto, slot: int) -> list[Change | None]:
        """What may become of one input."""
        name, writes, size = node.input[slot], first_output(node), self.sizes.fixed
        value = self.opened.get(name)
        if not name or name in self.differing or not isinstance(value, torch.Tensor):
            return [None]
        if node.op_type in RECURRENT:
            if slot not in STATES:
                return [None]
            axis = 0 if slot == STATES[0] or attributes_of(node).get("layout") else 1
            return [EqualRows(writes, slot, axis, value.ndim)]
        options: list[Change | None] = [None]
        if slot in SIZES.get(node.op_type, ()):
            return options
        for axis in (axis for axis, length in enumerate(value.shape) if length == size):
            options += [EqualRows(writes, slot, axis, value.ndim)] if _equal_rows(value, axis) else []
            options += [CountedRows(writes, slot, axis, step) for step in _steps(value, axis)]
        return options

    def _try(self, node: NodeProto, changes: Sequence[Change]) -> _Choice | None:
        """What a node writes with these changes, if it is what it should be."""
        changed = {node.input[each.slot]: self._changed(node, each) for each in changes}
        values = ChainMap(changed, self.opened)
        try:
            written = self.steps.run(node, values)
        except AnalysisError:
            return None
        if node.op_type in DRAWING:
            written = {name: with_shared(self.fixed[name], value, self.sizes) for name, value in written.items()}
        found = {name: compare(self.fixed[name], value, self.sizes) for name, value in written.items()}
        if any(each is False for each in found.values()):
            return None
        where = {name: each for name, each in found.items() if isinstance(each, SampleAxis)}
        return _Choice(tuple(changes), written, where)

    def _changed(self, node: NodeProto, change: Change) -> torch.Tensor:
        """The input that a change stands for."""
        value: torch.Tensor = self.opened[node.input[change.slot]]
        count = self.sizes.opened
        if isinstance(change, SizeEntry):
            value = value.clone()
            value[change.index] = value[change.index] // self.sizes.fixed * count
            return value
        repeated = [count if axis == change.axis else -1 for axis in range(value.ndim)]
        rows = value.narrow(change.axis, 0, 1).expand(repeated).contiguous()
        if isinstance(change, EqualRows):
            return rows
        numbers = torch.arange(count).to(value.dtype)
        shape = [-1 if axis == change.axis else 1 for axis in range(value.ndim)]
        return rows + numbers.reshape(shape) * torch.from_numpy(change.step)


def _likeliness(choice: _Choice, node: NodeProto, values: Values) -> tuple[bool, bool, int, bool]:
    """Least first: a sample axis by itself, the leftmost; then one merged into another, but hardly into the last."""
    place = choice.where.get(first_output(node))
    if place is None:
        return True, True, 0, bool(choice.changes)
    alone = place.factor == 1
    last = place.axis == choice.written[first_output(node)].ndim - 1
    return not alone, not alone and last, place.axis if alone else -place.axis, bool(choice.changes)


def _equal_rows(value: torch.Tensor, axis: int) -> bool:
    return bool((value == value.narrow(axis, 0, 1)).all())


def _steps(value: torch.Tensor, axis: int) -> list[Array]:
    """What is added from row to row of integers that count; of a single row: 1, in all columns or in one."""
    if value.dtype not in {torch.int64, torch.int32}:
        return []
    first = value.narrow(axis, 0, 1)
    if value.shape[axis] > 1:
        step = value.narrow(axis, 1, 1) - first
        shape = [-1 if place == axis else 1 for place in range(value.ndim)]
        counted = first + torch.arange(value.shape[axis]).reshape(shape) * step
        return [step.numpy()] if bool((counted == value).all()) and bool(step.any()) else []
    columns = value.shape[-1] if axis != value.ndim - 1 else 1
    ones = [torch.ones_like(first)]
    if 1 < columns <= 3:
        ones = [torch.zeros_like(first).index_fill_(-1, torch.tensor([place]), 1) for place in range(columns)]
    return [each.numpy() for each in ones]
