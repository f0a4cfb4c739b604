"""What is made up anew once the graph runs: positions that are spread, and numbers for which the outputs are finite.

x ~ N(0, 1) -- Log -- nan           taken for positive numbers
mask of ones -- (what to leave out) -- Softmax -- nan       taken for a mask of zeros
mask of ones -- Where (0, x) -- the same for every sample   the same
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from analysis.synthesis.draw import Feed
from analysis.synthesis.ids import largest_taken
from analysis.synthesis.kinds import Kind
from analysis.synthesis.trial import Outcome

FURTHEST_POSITION: Final = 4095
INSTEAD: Final[Mapping[Kind, Sequence[Kind]]] = {
    Kind.NUMBERS: (Kind.POSITIVE, Kind.FRACTION),
    Kind.MASK: (Kind.NO_MASK,),
}
"""What an input may hold instead, the likelier first."""

Feeds = Mapping[str, Feed]
Attempt = Callable[[Feeds], Outcome]
"""Run the graph with these feeds in place of its own."""


def refine(feeds: Feeds, attempt: Attempt) -> dict[str, Feed]:
    """The feeds, made anew where that helps; `attempt` runs the graph at the sizes of the batch."""
    found = {name: _spread(feed, attempt) if feed.kind is Kind.POSITIONS else feed for name, feed in feeds.items()}
    outcome = attempt(found)
    return {**found, **(_unmasked(found, outcome, attempt) if outcome.finite else _finite(found, outcome, attempt))}


def _spread(feed: Feed, attempt: Attempt) -> Feed:
    """Positions as far as the graph takes them."""

    def reach(value: int) -> int | None:
        return value if attempt({feed.spec.name: replace(feed, low=value, high=value)}).ran else None

    taken, refused = 0, 1
    while refused <= FURTHEST_POSITION and reach(refused) is not None:
        taken, refused = refused, 2 * refused + 1
    return replace(feed, low=0, high=largest_taken(reach, taken, min(refused, FURTHEST_POSITION + 1)))


def _finite(feeds: Feeds, outcome: Outcome, attempt: Attempt) -> Feeds:
    """Those feeds that have to hold something else, so that all outputs are finite; none where nothing helps."""
    if not outcome.ran:
        return {}
    return next((changed for changed in _changes(feeds) if attempt({**feeds, **changed}).finite), {})


def _unmasked(feeds: Feeds, outcome: Outcome, attempt: Attempt) -> Feeds:
    """Masks of zeros where those of ones hide all of the samples: an output is the same for each of them."""
    masks = {name: replace(feed, kind=Kind.NO_MASK) for name, feed in feeds.items() if feed.kind is Kind.MASK}
    if not outcome.flat or not masks:
        return {}
    shown = attempt({**feeds, **masks})
    return masks if shown.finite and shown.flat < outcome.flat else {}


def _changes(feeds: Feeds) -> Iterator[Feeds]:
    """One input at a time, then all of a kind together."""
    for name, feed in feeds.items():
        for kind in INSTEAD.get(feed.kind, ()):
            yield {name: replace(feed, kind=kind)}
    for before, kinds in INSTEAD.items():
        for kind in kinds:
            yield {name: replace(feed, kind=kind) for name, feed in feeds.items() if feed.kind is before}
