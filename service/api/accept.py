"""Which form of a report a client likes best, by its Accept headers."""

import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Final

from service.problems import ProblemError, problem

JSON: Final = "application/json"
HTML: Final = "text/html"
OFFERED: Final = (JSON, HTML)
VARY: Final = {"Vary": "Accept"}
RANGE: Final = re.compile(r"\s*([\w!#$&^.+*-]+)/([\w!#$&^.+*-]+)\s*((?:;.*)?)", re.ASCII)
QUALITY: Final = re.compile(r";\s*q\s*=\s*([^;\s]*)\s*(?:;|$)", re.IGNORECASE)
WEIGHT: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


def preferred(accept: Iterable[str]) -> str:
    """The form that a client's Accept headers like best (RFC 9110, 12.5.1); JSON where they like both alike.

    Raises ProblemError where they refuse both.
    """
    ranges = [each for header in accept for each in _ranges(header)]
    chosen = max(OFFERED, key=lambda offer: _quality(offer, ranges)) if ranges else JSON
    if ranges and not _quality(chosen, ranges):
        detail = f"a report is {' or '.join(OFFERED)}, and this request accepts neither"
        raise ProblemError(problem("not-acceptable", HTTPStatus.NOT_ACCEPTABLE, detail, where="Accept"), VARY)
    return chosen


def _ranges(header: str) -> Iterator[tuple[str, str, float]]:
    """(type, subtype, quality); what is no media range counts for nothing."""
    for each in header.split(","):
        match = RANGE.fullmatch(each)
        if match is None:
            continue
        stated = QUALITY.search(match[3])
        if stated is None or WEIGHT.fullmatch(stated[1]):
            yield match[1].lower(), match[2].lower(), 1.0 if stated is None else float(stated[1])


def _quality(offer: str, ranges: Sequence[tuple[str, str, float]]) -> float:
    """What the most specific range that covers an offer says; 0: not accepted."""
    main, sub = offer.split("/")
    for wanted in ((main, sub), (main, "*"), ("*", "*")):
        qualities = [quality for *named, quality in ranges if tuple(named) == wanted]
        if qualities:
            return max(qualities)
    return 0.0
