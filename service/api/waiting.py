"""How long a request waits for its job, and what is said of one that has not ended."""

import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final

from anyio.to_thread import run_sync
from fastapi import Query

from service.api.context import Parts
from service.jobs.job import Job
from service.jobs.store import Store
from service.problems import ProblemError, problem, refusal
from service.schemas import job_path
from service.settings import Settings

RETRY_SECONDS: Final = 2
ASYNC: Final = "respond-async"
"""The preference of who wants the job and not its report."""
WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d+)")
Wait = Annotated[float | None, Query(ge=0, description="Seconds to wait for the report before answering")]


def find_job(store: Store, tenant: str, job_id: str, where: str = "") -> Job:
    """A job of this tenant. Raises ProblemError: 404, 410 where it was deleted."""
    job = store.get(job_id, tenant)
    if job is None and "\0" not in job_id and store.was_deleted(job_id, tenant):
        raise refusal("deleted", HTTPStatus.GONE, "the analysis was deleted", where=where or job_id)
    if job is None:
        raise refusal("not-found", HTTPStatus.NOT_FOUND, "there is no such analysis", where=where or job_id[:100])
    return job


def patience(settings: Settings, wait: float | None, prefer: str | None) -> tuple[float, str | None]:
    """Seconds to wait, and the preference that was applied (RFC 7240)."""
    if prefer is not None and ASYNC in prefer:
        return 0.0, ASYNC
    stated = WAIT.search(prefer or "")
    if stated is not None:
        seconds = min(float(stated[1]), settings.max_wait_seconds)
        return seconds, f"wait={math.floor(seconds)}"
    return min(settings.default_wait_seconds if wait is None else wait, settings.max_wait_seconds), None


async def wait_for(parts: Parts, job: Job, seconds: float) -> Job:
    """The job, as soon as it, the patience or the server has ended."""
    if job.state.is_end or parts.drain.begun or seconds <= 0:
        return job
    await parts.ends.wait(job.id, seconds)
    return await run_sync(find_job, parts.store, job.tenant, job.id)


def not_yet(job: Job, *, gated: bool, where: str = "", headers: Mapping[str, str] | None = None) -> ProblemError:
    """What is raised in place of a report that is not there yet: 409, and 503 where a gate waits for its verdict."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if gated else HTTPStatus.CONFLICT
    detail = f"the analysis is {job.state.value}: {job.stage}, {job.fraction:.0%} done"
    told = problem("not-finished", status, detail, where=where, hint="ask again after Retry-After seconds")
    return ProblemError(told, {**(headers or {}), "Retry-After": str(RETRY_SECONDS), "Location": job_path(job.id)})


def busy(detail: str) -> ProblemError:
    """What is raised where there is no room for a request at the moment: 503."""
    told = problem("busy", HTTPStatus.SERVICE_UNAVAILABLE, detail, hint="ask again after Retry-After seconds")
    return ProblemError(told, {"Retry-After": str(RETRY_SECONDS)})
