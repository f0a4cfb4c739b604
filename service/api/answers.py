"""A stored report as a response: through the gate, each form with its own ETag; or the problem in its place."""

import hashlib
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Query
from fastapi.responses import Response

from analysis.render.html import content_security_policy, render_html
from analysis.report import Report
from analysis.report.gate import Gate
from service.api.accept import HTML, JSON
from service.jobs.job import Job, State
from service.objects.blob import Objects
from service.problems import Problem, ProblemError, problem

VERDICT_HEADER: Final = "Gradient-Health-Verdict"
FailOn = Annotated[
    str | None, Query(description="Gate: info, warning or error, with or without `,inconclusive`", examples=["error"])
]


def gate_of(fail_on: str | None) -> Gate | None:
    """What a request asks reports to pass. Raises BadOptions."""
    return None if fail_on is None else Gate.parse(fail_on)


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


def answer_end(objects: Objects, job: Job, gate: Gate | None, kind: str = JSON, known: str = "") -> Response:
    """The report of a job that succeeded, through the gate; raises the problem of any other."""
    content, report = stored_report(objects, job)
    return answer(content, report, gate, kind, known)


def stored_report(objects: Objects, job: Job) -> tuple[bytes, Report]:
    """Of a job that succeeded, with the id of its analysis; raises the problem of any other.

    What is stored follows from the question, so that it can answer many; the id in there does, too.
    """
    if job.state is not State.SUCCEEDED or job.report_sha256 is None:
        raise ProblemError(stored_problem(job))
    report = Report.from_json(objects.get(job.report_sha256)).model_copy(update={"id": job.id})
    return report.to_json(), report


def stored_problem(job: Job) -> Problem:
    """What a job without a report ended with."""
    if job.error is not None:
        return Problem.model_validate(job.error)
    return problem("job-cancelled", HTTPStatus.GONE, "the analysis was cancelled")


def _names(known: str, tag: str) -> bool:
    tags = [each.strip().removeprefix("W/") for each in known.split(",")]
    return tag in tags or tags == ["*"]
