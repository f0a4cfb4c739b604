"""The range of ids, found by looking at the index of the table while they grow.

ids -> Add (offset) -> Mul (mask) -> Gather (table of n rows)
       `--------- arithmetic ------'  index, 0 .. n - 1 wanted
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from analysis.synthesis.draw import Feed
from analysis.synthesis.tables import Table
from analysis.synthesis.trial import Outcome

MOST_DOUBLINGS: Final = 6
UNKNOWN_ROWS: Final = 2

Attempt = Callable[[Feed, Sequence[str]], Outcome]
"""Run the graph with this feed in place of its own, and watch values."""


def spread(feed: Feed, tables: Sequence[Table], attempt: Attempt) -> Feed:
    """The feed with the largest range of ids that the graph takes and that reaches further into its table.

    Ids start at 0, or at 1 where the graph refuses 0; behind the padding, where a row of the table is that. A feed of
    zeros is one that the graph has taken.
    """
    watched, rows = [table.index for table in tables], _rows(tables)

    def reach(value: int) -> int | None:
        """Largest index that ids of this value come to; None where the graph refuses them."""
        outcome = attempt(replace(feed, low=value, high=value), watched)
        return max(outcome.largest.values(), default=0) if outcome.ran else None

    low = 0 if feed.high == 0 else next((value for value in (0, 1) if reach(value) is not None), None)
    if low is None:
        return feed
    high = max(rows - 1, low)
    reached = reach(high)
    if reached is None:
        return _behind_padding(replace(feed, low=low, high=largest_taken(reach, low, high)), tables)
    for _ in range(MOST_DOUBLINGS):
        further = reach(2 * high + 1) if reached < rows - 1 else None
        if further is None:
            high = largest_taken(reach, high, 2 * high + 1) if reached < rows - 1 else high
            break
        if further <= reached:
            break
        high, reached = 2 * high + 1, further
    return _behind_padding(replace(feed, low=low, high=high), tables)


def over_rows(feed: Feed, tables: Sequence[Table]) -> Feed:
    """The feed with all ids of the smallest table, where they are its index."""
    return _behind_padding(replace(feed, low=0, high=max(_rows(tables) - 1, 0)), tables)


def _rows(tables: Sequence[Table]) -> int:
    return min((table.rows for table in tables if table.rows), default=UNKNOWN_ROWS)


def _behind_padding(feed: Feed, tables: Sequence[Table]) -> Feed:
    padded = max((table.padded for table in tables), default=0)
    return replace(feed, low=padded) if feed.low < padded < feed.high else feed


def largest_taken(reach: Callable[[int], int | None], taken: int, refused: int) -> int:
    """The largest value that the graph takes, by halving between one that it takes and one that it refuses."""
    while refused - taken > 1:
        middle = (taken + refused) // 2
        if reach(middle) is None:
            refused = middle
        else:
            taken = middle
    return taken
