"""A stored report as an answer: JSON or a page, as the client prefers, through the gate, each with its own ETag."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Final

from fastapi.responses import Response

from analysis.gate import Gate
from analysis.render.html import content_security_policy, render_html
from analysis.report import Report
from service.problems import ProblemError, problem

JSON: Final = "application/json"
HTML: Final = "text/html"
OFFERED: Final = (JSON, HTML)
VERDICT_HEADER: Final = "Gradient-Health-Verdict"
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


def answer(content: bytes, report: Report, gate: Gate | None, kind: str = JSON, known: str = "") -> Response:
    """The report, stored as `content`.

    422 where it fails the gate; 304 where `known`, an If-None-Match, names what would be sent.
    """
    failed = gate is not None and gate.fails(report)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if failed else HTTPStatus.OK
    headers = {VERDICT_HEADER: report.verdict.value, "X-Content-Type-Options": "nosniff"}
    if kind == HTML:
        content = render_html(report, served=True).encode()
        headers |= {"Content-Security-Policy": content_security_policy(), "Referrer-Policy": "no-referrer"}
    headers |= {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Cache-Control": "private, no-cache"}
    if not failed and _names(known, headers["ETag"]):
        return Response(None, HTTPStatus.NOT_MODIFIED, headers)
    return Response(content, status, headers, "text/html; charset=utf-8" if kind == HTML else JSON)


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


def _names(known: str, tag: str) -> bool:
    tags = [each.strip().removeprefix("W/") for each in known.split(",")]
    return tag in tags or tags == ["*"]
