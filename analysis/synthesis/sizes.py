"""Sizes for the axes that a graph leaves open, found by trying.

Axes of one name have one size. What a convolution or a name says is taken; where the graph refuses that, one axis after
the other (height and width of a picture together first) takes each plausible size, and the one with which the graph
comes furthest is kept: a size that a later node refuses was right for the nodes before it.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from analysis.batch.samples import is_batch_name
from analysis.model import CheckedModel
from analysis.model.checked import Dimension, ValueSpec
from analysis.synthesis.draw import Feed
from analysis.synthesis.kinds import Kind, known_channels, signal_axis
from analysis.synthesis.trial import Outcome

SAMPLES: Final = "(samples)"
"""The axis that counts samples, whatever its name."""
STEPS: Final = 16
SIDES: Final = (64, 224, 128, 32, 96, 256, 28, 48, 112, 160, 192, 299, 320, 384, 416, 448, 512, 640)
SMALL_SIDES: Final = tuple(size for size in range(1, 161) if size not in SIDES)
LONG: Final = (1024, 2048, 4096, 16_000)
"""Of signals, which are read in windows of hundreds."""
HEARD: Final = 4096
"""Samples of sound: some windows, not one that is all padding."""
LARGEST: Final = 4096
MOST_WEIGHT_SIZES: Final = 200
SAMPLE_COUNTS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 3, 5, 6, 7, 10, 12, 20, 24, 48, 96, 100, 256)
ROUNDS: Final = 4

Sizes = Mapping[str, int]
"""By name of the axis."""


def names_of(spec: ValueSpec, shape: Sequence[Dimension]) -> tuple[int | str, ...]:
    """A size for each fixed axis and a name for each open one.

    The one that counts samples is called SAMPLES: the first with a name for it, or else the first of all. A signal is
    [batch, samples], too.
    """
    counting = next((place for place, dimension in enumerate(shape) if is_batch_name(dimension, place)), 0)

    def name(place: int, dimension: Dimension) -> int | str:
        if isinstance(dimension, int):
            return dimension
        return SAMPLES if place == counting else dimension or f"{spec.name}[{place}]"

    return tuple(name(place, dimension) for place, dimension in enumerate(shape))


def shape_of(names: Sequence[int | str], sizes: Sizes) -> tuple[int, ...]:
    """Sizes in place of names; a sum such as `past + 1` is the sum of its parts."""
    return tuple(name if isinstance(name, int) else _sum(name, sizes) for name in names)


def open_axes(feeds: Sequence[Feed]) -> tuple[str, ...]:
    """Names of the axes whose size is open, that of the samples apart, each once and in order."""
    found: dict[str, None] = {}
    for feed in feeds:
        for name in names_of(feed.spec, feed.spec.shape or ()):
            if isinstance(name, str):
                found |= dict.fromkeys(part for part in _parts(name) if not part.isdigit())
    found.pop(SAMPLES, None)
    return tuple(found)


def first_sizes(model: CheckedModel, feeds: Sequence[Feed], heard: int = HEARD) -> dict[str, int]:
    """What is tried first; `heard` samples of sound."""
    sizes = {SAMPLES: 1, **dict.fromkeys(open_axes(feeds), STEPS)}
    sizes |= dict.fromkeys(_signals([feed for feed in feeds if feed.kind is Kind.SOUND]) & sizes.keys(), heard)
    for feed in feeds:
        if feed.kind is Kind.PICTURE:
            height, width = _sides(feed)
            sizes |= {name: SIDES[0] for name in (height, width) if isinstance(name, str)}
            channel = names_of(feed.spec, feed.spec.shape or ())[1]
            if isinstance(channel, str) and feed.channels_first:
                sizes[channel] = known_channels(model, feed.spec) or 3
    return sizes


def search(model: CheckedModel, feeds: Sequence[Feed], attempt: Callable[[Sizes], Outcome]) -> tuple[Sizes, Outcome]:
    """Sizes with which the graph runs, or comes furthest, and what became of it.

    Some graphs read one chunk of sound at a time: begun with many, two wrong sizes end at the same node, begun with few
    they are found one after the other.
    """
    sizes, outcome = _search_from(first_sizes(model, feeds), model, feeds, attempt)
    few = first_sizes(model, feeds, STEPS)
    if outcome.ran or few == first_sizes(model, feeds):
        return sizes, outcome
    return _search_from(few, model, feeds, attempt)


def _search_from(
    best: Sizes, model: CheckedModel, feeds: Sequence[Feed], attempt: Callable[[Sizes], Outcome]
) -> tuple[Sizes, Outcome]:
    outcome = attempt(best)
    for _ in range(ROUNDS):
        before = outcome.reached
        for move in _moves(model, feeds):
            if outcome.ran:
                return best, outcome
            changed = {**best, **move}
            if changed == best:
                continue
            found = attempt(changed)
            if found.reached > outcome.reached:
                best, outcome = changed, found
        if outcome.ran or outcome.reached == before:
            break
    return best, outcome


def _moves(model: CheckedModel, feeds: Sequence[Feed]) -> Iterator[Sizes]:
    """Sizes to change: of squares, of one axis at a time, of the samples, of oblongs."""
    pairs = [_sides(feed) for feed in feeds if feed.kind is Kind.PICTURE]
    sides = [tuple(name for name in pair if isinstance(name, str)) for pair in pairs]
    for names in sides:
        yield from (dict.fromkeys(names, size) for size in (*SIDES, *SMALL_SIDES) if names)
    present, signals = _present_sizes(model), _signals(feeds)
    for name in open_axes(feeds):
        is_side = any(name in names for names in sides)
        plausible = (*SIDES, *SMALL_SIDES) if is_side else (*present, *SIDES, *SMALL_SIDES)
        plausible = (*plausible, *LONG) if name in signals else plausible
        yield from ({name: size} for size in dict.fromkeys(plausible))
    yield from ({SAMPLES: count} for count in SAMPLE_COUNTS)
    for names in sides:
        if len(set(names)) == 2:
            yield from (dict(zip(names, oblong, strict=True)) for oblong in itertools.permutations(SIDES, 2))


def _signals(feeds: Sequence[Feed]) -> frozenset[str]:
    """Open axes that count the samples of a signal, with nothing else along it.

    Steps of vectors are none, as attention between 16,000 of them would take gigabytes.
    """
    kinds = {Kind.NUMBERS, Kind.SOUND}
    shapes = [names_of(feed.spec, feed.spec.shape or ()) for feed in feeds if feed.kind in kinds]
    axes = [(shape, signal_axis(shape)) for shape in shapes]
    names = [shape[axis] for shape, axis in axes if axis is not None]
    return frozenset(name for name in names if isinstance(name, str))


def _present_sizes(model: CheckedModel) -> tuple[int, ...]:
    """Sizes of weights, those of the first layers first, and numbers that Reshapes hold."""
    found: dict[int, None] = {}
    for node in model.nodes:
        for name in node.input:
            weight = model.weights.get(name)
            if weight is None:
                continue
            if weight.ndim > 0:
                found |= dict.fromkeys(int(size) for size in weight.shape)
            if node.op_type == "Reshape" and weight.dtype.kind == "i":
                found |= dict.fromkeys(abs(int(size)) for size in weight.reshape(-1))
        if len(found) > MOST_WEIGHT_SIZES:
            break
    return tuple(size for size in found if 0 < size <= LARGEST)


def _sides(feed: Feed) -> tuple[int | str, int | str]:
    names = names_of(feed.spec, feed.spec.shape or ())
    return (names[2], names[3]) if feed.channels_first else (names[1], names[2])


def _parts(name: str) -> list[str]:
    """What a sum adds up; exporters write the length of a mask as one."""
    return [part.strip() for part in name.split("+")]


def _sum(name: str, sizes: Sizes) -> int:
    return sum(int(part) if part.isdigit() else sizes[part] for part in _parts(name))
