"""A report on request: in the form that was asked for, as soon as it is there."""

from typing import Annotated, Final, Literal

from anyio.to_thread import run_sync
from fastapi import Query, Request
from fastapi.responses import Response

from analysis.render.formats import BY_NAME, JSON, Format
from service.api.accept import VARY, takes_gzip
from service.api.answers import Form, answer_end, gate_of
from service.api.context import parts_of, tenant_of
from service.api.waiting import find_job, not_yet, wait_for

SUMMARY: Final = BY_NAME["summary"]
View = Annotated[
    Literal["full", "summary"],
    Query(description="`summary`: verdict, recipe, findings, remedies and links as JSON, under 20 kB"),
]


def form_of(request: Request, kind: Format = JSON, view: str = "full", known: str = "") -> Form:
    """How this request wants its report."""
    compressed = takes_gzip(request.headers.getlist("accept-encoding"))
    return Form(SUMMARY if view == "summary" else kind, compressed, known)


async def send_report(request: Request, job_id: str, form: Form, fail_on: str | None, wait: float | None) -> Response:
    """The report of a finished job, through the gate; raises the problem of one that failed or has not finished."""
    parts, gate = parts_of(request), gate_of(fail_on)
    job = await run_sync(find_job, parts.store, tenant_of(request), job_id)
    job = await wait_for(parts, job, min(wait or 0.0, parts.settings.max_wait_seconds))
    if not job.state.is_end:
        raise not_yet(job, gated=gate is not None)
    response = await run_sync(answer_end, parts.objects, job, gate, form)
    response.headers.update(VARY)
    return response
