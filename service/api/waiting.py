"""What routes share about jobs: finding one, and what is answered in place of a report that is not there."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Query

from service.api.context import Context
from service.jobs.job import Job
from service.problems import Problem, problem, refusal
from service.schemas import job_path

RETRY_SECONDS: Final = 2
FailOn = Annotated[
    str | None, Query(description="Gate: info, warning or error, with or without `,inconclusive`", examples=["error"])
]


def find_job(context: Context, job_id: str, where: str = "") -> Job:
    """A job of this tenant. Raises ProblemError: 404."""
    job = context.store.get(job_id)
    if job is None:
        raise refusal("not-found", HTTPStatus.NOT_FOUND, "there is no such analysis", where=where or job_id[:100])
    return job


def stored_problem(job: Job) -> Problem:
    """What a job without a report ended with."""
    if job.error is not None:
        return Problem.model_validate(job.error)
    return problem("job-cancelled", HTTPStatus.GONE, "the analysis was cancelled")


def unfinished(job: Job, status: HTTPStatus) -> Problem:
    """How far a job is that has not ended."""
    detail = f"the analysis is {job.state.value}: {job.stage}, {job.fraction:.0%} done"
    return problem("not-finished", status, detail, hint="ask again after Retry-After seconds")


def come_back(job: Job) -> dict[str, str]:
    """Headers that say when and where to ask again."""
    return {"Retry-After": str(RETRY_SECONDS), "Location": job_path(job.id)}
