"""Which layer of one report is which of another, although exporters rename nodes and ids count from the front.

From the surest sign to the weakest, each layer once:

    id          in reports of the same model: ids are places in topological order, and shift when a layer is inserted
    name        node and weights are called the same, then the weights alone, then the node alone; equal structure
    structure   equal operator kind and parameter shapes, in order: first behind the same matched layer, then anywhere
    name        the same once more for layers whose shapes have changed

Structure comes before names with other shapes: in a Sequential, names are places too. A layer put in front of the
others moves every name by one, and what is the same is told by structure:

    old   0.weight [64, 32]   2.weight [64, 64]   4.weight [10, 64]
                    +--------------+    +---------------+   +---------------+
                                   |                    |                   |
    new   0.weight [32, 32]   2.weight [64, 32]   4.weight [64, 64]   6.weight [10, 64]
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Final

from analysis.comparison.excerpt import LayerExcerpt
from analysis.facts import is_matrix

KINDS: Final = {"MatMul": "Gemm", "FusedMatMul": "Gemm", "FusedGemm": "Gemm", "FusedConv": "Conv"}
"""Operators that exporters take for one another; any other is its own kind."""
NUMBERED: Final = "onnx::"  # torch's old exporter calls a weight that it transposed onnx::MatMul_17: a place, no name
MOST_CELLS: Final = 1_000_000  # of the table of an alignment, a fraction of a second


class MatchedBy(StrEnum):
    """By which sign."""

    ID = "id"
    NAME = "name"
    STRUCTURE = "structure"


@dataclass(frozen=True, slots=True)
class Match:
    """The same layer in two reports."""

    old: LayerExcerpt
    new: LayerExcerpt
    by: MatchedBy
    resized: bool
    """Its parameters have other shapes."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What a layer is known by."""

    id: str
    node: Hashable | None
    """The name of the node, with its kind."""
    weights: Hashable | None
    """The names of the weights: exporters keep them more often than those of nodes."""
    structure: Hashable
    """Operator kind and parameter shapes."""


Key = Callable[[Signs], Hashable | None]
"""None where a layer lacks the sign."""
Found = dict[int, tuple[int, MatchedBy]]
"""Place in the old report to place in the new one."""
NAMES: Final[tuple[Key, ...]] = (
    lambda signs: (signs.node, signs.weights) if signs.node and signs.weights else None,
    lambda signs: signs.weights,
    lambda signs: signs.node,
)


def match_layers(
    old: Sequence[LayerExcerpt], new: Sequence[LayerExcerpt], *, same_model: bool = False
) -> tuple[Match, ...]:
    """Layers that are in both, in the order of the old report."""
    found: Found = {}
    here, there = [signs_of(layer) for layer in old], [signs_of(layer) for layer in new]
    if same_model:
        _match_unique(found, here, there, _with_structure(lambda signs: (signs.id, signs.node)), MatchedBy.ID)
    for key in NAMES:
        _match_unique(found, here, there, _with_structure(key), MatchedBy.NAME)
    _match_in_order(found, here, there, within=True)
    _match_in_order(found, here, there, within=False)
    for key in NAMES:
        _match_unique(found, here, there, key, MatchedBy.NAME)
    return tuple(
        Match(old[i], new[j], by, resized=here[i].structure != there[j].structure)
        for i, (j, by) in sorted(found.items())
    )


# ------------------------------------------------------------------ signs


def signs_of(layer: LayerExcerpt) -> Signs:
    """Without what exporters choose: Gemm or MatMul and Add, transposition, axes of size 1, numbers as names."""
    kind = KINDS.get(layer.op, layer.op)
    weights, shapes = [], []
    for role, tensor in sorted(layer.parameters.items()):
        matrix = is_matrix(role)
        if matrix and tensor.initializer and not tensor.initializer.startswith(NUMBERED):
            weights.append((role, tensor.initializer))
        axes = tensor.shape if matrix else tuple(size for size in tensor.shape if size != 1)
        shapes.append((role, tuple(sorted(axes)) if kind == "Gemm" else axes))
    return Signs(
        id=layer.id,
        node=(kind, layer.name) if layer.name else None,
        weights=(kind, *weights) if weights else None,
        structure=(kind, *shapes),
    )


def _with_structure(key: Key) -> Key:
    return lambda signs: None if (name := key(signs)) is None else (name, signs.structure)


# ------------------------------------------------------------------ ways of matching


def _match_unique(found: Found, old: Sequence[Signs], new: Sequence[Signs], key: Key, by: MatchedBy) -> None:
    """Those that a key singles out on both sides."""
    left_old, left_new = _left(found, old, new)
    here, there = _unique(old, key), _unique(new, key)
    free = {there[name]: name for name in there.keys() & here.keys()}
    partners = {here[free[j]]: j for j in left_new if j in free}
    found.update({i: (partners[i], by) for i in left_old if i in partners})


def _unique(layers: Sequence[Signs], key: Key) -> Mapping[Hashable, int]:
    """The place of every name that only one layer has."""
    names = [key(layer) for layer in layers]
    counts = Counter(names)
    return {name: place for place, name in enumerate(names) if name is not None and counts[name] == 1}


def _match_in_order(found: Found, old: Sequence[Signs], new: Sequence[Signs], *, within: bool) -> None:
    """Those of equal structure, in order; `within`: only behind the same layer that is matched already."""
    left_old, left_new = _left(found, old, new)
    numbers = {j: i + 1 for i, (j, _) in found.items()}
    behind_old = _behind({i: i + 1 for i in found}, len(old)) if within else [0] * len(old)
    behind_new = _behind(numbers, len(new)) if within else [0] * len(new)
    here = [(behind_old[i], old[i].structure) for i in left_old]
    there = [(behind_new[j], new[j].structure) for j in left_new]
    for i, j in _aligned(here, there):
        found[left_old[i]] = (left_new[j], MatchedBy.STRUCTURE)


def _left(found: Found, old: Sequence[Signs], new: Sequence[Signs]) -> tuple[list[int], list[int]]:
    """Places that have no partner yet."""
    taken = {j for j, _ in found.values()}
    return [i for i in range(len(old)) if i not in found], [j for j in range(len(new)) if j not in taken]


def _behind(numbers: Mapping[int, int], count: int) -> list[int]:
    """For each place, the number of the last matched place up to it, or 0."""
    last, behind = 0, []
    for place in range(count):
        last = numbers.get(place, last)
        behind.append(last)
    return behind


def _aligned(old: Sequence[Hashable], new: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Places of equal items, in order; equal ends are taken first, so that like sequences cost linear time."""
    shorter = min(len(old), len(new))
    head = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    tail = next((at for at in range(shorter - head) if old[-1 - at] != new[-1 - at]), shorter - head)
    yield from ((at, at) for at in range(head))
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(middle_old) * len(middle_new) <= MOST_CELLS:
        blocks = SequenceMatcher(None, middle_old, middle_new, autojunk=False).get_matching_blocks()
        yield from ((head + a + at, head + b + at) for a, b, size in blocks for at in range(size))
    else:
        numbered = {item: at for at, item in enumerate(_numbered(middle_new))}
        pairs = ((at, numbered.get(item)) for at, item in enumerate(_numbered(middle_old)))
        yield from ((head + a, head + b) for a, b in pairs if b is not None)
    yield from ((len(old) - 1 - at, len(new) - 1 - at) for at in range(tail))


def _numbered(items: Sequence[Hashable]) -> Iterator[tuple[Hashable, int]]:
    """Each with how many like it came before."""
    counts: Counter[Hashable] = Counter()
    for item in items:
        yield item, counts[item]
        counts[item] += 1
