"""Analyses as jobs: listed, cancelled, deleted."""

from http import HTTPStatus
from typing import Annotated, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from service.api.context import Parts, parts_of, tenant_of
from service.api.handlers import ANY_OTHER, PROBLEM
from service.api.labels import labels_of
from service.api.waiting import find_job
from service.jobs.job import CURSOR, Job, State
from service.jobs.store import Wanted
from service.problems import refusal
from service.schemas import JobList, JobView, view

router = APIRouter(prefix="/v1/analyses", tags=["analyses"])
LONGEST_PAGE: Final = 200
Labels = Annotated[dict[str, str], Depends(labels_of)]


@router.get(
    "",
    operation_id="list_analyses",
    summary="Jobs, newest first",
    response_model=JobList,
    responses={400: PROBLEM | {"description": "The query is refused"}, "default": ANY_OTHER},
)
async def list_analyses(
    request: Request,
    labels: Labels,
    state: Annotated[list[State], Query(description="Any of these states")] = [],  # noqa: B006 - FastAPI copies it
    limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=36, pattern=CURSOR, description="`next` of a page")] = None,
) -> JobList:
    """A page; jobs that are submitted meanwhile do not move the pages that follow."""
    store, wanted = parts_of(request).store, Wanted(state, labels)
    jobs = await run_sync(store.page, tenant_of(request), wanted, limit + 1, cursor)
    shown = jobs[:limit]
    return JobList(analyses=[view(job) for job in shown], next=shown[-1].id if len(jobs) > limit else None)


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_analysis",
    summary="End a job that has not ended",
    response_model=JobView,
    responses={
        404: PROBLEM,
        409: PROBLEM | {"description": "It has ended by itself"},
        410: PROBLEM | {"description": "It was deleted"},
        "default": ANY_OTHER,
    },
)
async def cancel_analysis(request: Request, job_id: str) -> JobView:
    """Ends at once, its process within seconds; a second time changes nothing."""
    return view(await run_sync(cancel, parts_of(request), tenant_of(request), job_id))


@router.delete(
    "/{job_id}",
    operation_id="delete_analysis",
    summary="Forget an analysis",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    responses={404: PROBLEM, 410: PROBLEM | {"description": "It was deleted before"}, "default": ANY_OTHER},
)
async def delete_analysis(request: Request, job_id: str) -> Response:
    """In any state: the job and its report are gone, what runs is ended, and its id answers 410."""
    await run_sync(forget, parts_of(request), tenant_of(request), job_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def cancel(parts: Parts, tenant: str, job_id: str) -> Job:
    """End a job of this tenant. Raises ProblemError: 404, 409 where it has ended by itself, 410."""
    parts.store.cancel(find_job(parts.store, tenant, job_id))
    job = find_job(parts.store, tenant, job_id)
    if job.state is not State.CANCELLED:
        raise refusal("already-ended", HTTPStatus.CONFLICT, f"the analysis is {job.state.value}", where=job_id)
    return job


def forget(parts: Parts, tenant: str, job_id: str) -> None:
    """Delete a job of this tenant. Raises ProblemError: 404, 410."""
    job = find_job(parts.store, tenant, job_id)
    if not parts.store.delete(job):
        find_job(parts.store, tenant, job_id)  # raises: somebody was a moment faster
