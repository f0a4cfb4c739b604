"""A stored report as a response: through the gate, each form with its own ETag; or the problem in its place."""

import gzip
import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Query
from fastapi.responses import Response

from analysis.render.formats import JSON, Format, Publication
from analysis.render.html import content_security_policy
from analysis.report import Report
from analysis.report.gate import Gate
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


@dataclass(frozen=True, slots=True)
class Form:
    """How a client wants a report."""

    kind: Format = JSON
    compressed: bool = False
    known: str = ""
    """An If-None-Match."""


AS_JSON: Final = Form()


def answer(content: bytes, report: Report, gate: Gate | None, form: Form = AS_JSON) -> Response:
    """The report, stored as `content`.

    422 where it fails the gate; 304 where the client already has what would be sent.
    """
    failed = gate is not None and gate.fails(report)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if failed else HTTPStatus.OK
    headers = {VERDICT_HEADER: report.verdict.value, "X-Content-Type-Options": "nosniff"}
    if form.kind is not JSON:
        content = form.kind.render(report, Publication(gate=gate or Gate(), served=True)).encode()
    if form.kind.name == "html":
        headers |= {"Content-Security-Policy": content_security_policy(), "Referrer-Policy": "no-referrer"}
    if form.compressed:
        content = gzip.compress(content, compresslevel=6, mtime=0)
        headers["Content-Encoding"] = "gzip"
    headers |= {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Cache-Control": "private, no-cache"}
    if not failed and _names(form.known, headers["ETag"]):
        return Response(None, HTTPStatus.NOT_MODIFIED, headers)
    return Response(content, status, headers, form.kind.media_type)


def answer_end(objects: Objects, job: Job, gate: Gate | None, form: Form = AS_JSON) -> Response:
    """The report of a job that succeeded, through the gate; raises the problem of any other."""
    content, report = stored_report(objects, job)
    return answer(content, report, gate, form)


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
