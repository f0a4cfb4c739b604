"""Which form of a report a client likes best, by its Accept headers, and whether it takes it compressed."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Final

from analysis.render.formats import FORMATS, Format
from service.problems import ProblemError, problem

OFFERED: Final[Mapping[str, Format]] = {each.essence: each for each in reversed(FORMATS)}
"""By media type; of several formats with the same one the first."""
VARY: Final = {"Vary": "Accept, Accept-Encoding"}
CODING: Final = re.compile(r"\s*(gzip|x-gzip|\*)\s*((?:;.*)?)", re.ASCII | re.IGNORECASE)
RANGE: Final = re.compile(r"\s*([\w!#$&^.+*-]+)/([\w!#$&^.+*-]+)\s*((?:;.*)?)", re.ASCII)
QUALITY: Final = re.compile(r";\s*q\s*=\s*([^;\s]*)\s*(?:;|$)", re.IGNORECASE)
WEIGHT: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


def preferred(accept: Iterable[str]) -> Format:
    """The format that a client's Accept headers like best (RFC 9110, 12.5.1), JSON first where they like several alike.

    Raises ProblemError where they refuse all.
    """
    ranges = [each for header in accept for each in _ranges(header)]
    offered = [each for each in FORMATS if OFFERED[each.essence] is each]
    chosen = max(offered, key=lambda offer: _quality(offer.essence, ranges)) if ranges else FORMATS[0]
    if ranges and not _quality(chosen.essence, ranges):
        detail = f"a report is {' or '.join(each.essence for each in offered)}, and this request accepts none"
        raise ProblemError(problem("not-acceptable", HTTPStatus.NOT_ACCEPTABLE, detail, where="Accept"), VARY)
    return chosen


def takes(essence: str, accept: Iterable[str]) -> bool:
    """Whether Accept headers take a media type; a client that sends none takes anything."""
    ranges = [each for header in accept for each in _ranges(header)]
    return not ranges or _quality(essence, ranges) > 0


def takes_gzip(accept_encoding: Iterable[str]) -> bool:
    """Whether Accept-Encoding headers (RFC 9110, 12.5.3) name gzip, or anything, and do not refuse it."""
    stated: dict[str, float] = {}
    for each in ",".join(accept_encoding).split(","):
        match = CODING.fullmatch(each)
        if match is not None:
            quality = QUALITY.search(match[2])
            weight = 1.0 if quality is None else float(quality[1]) if WEIGHT.fullmatch(quality[1]) else 0.0
            stated[match[1].lower().removeprefix("x-")] = weight
    return stated.get("gzip", stated.get("*", 0.0)) > 0


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
