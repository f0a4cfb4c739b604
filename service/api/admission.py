"""Whether there is room for a request: on the disk before its body is read, in the queue before a job is made of it.

And of what a tenant may take, in jobs and in blobs that it sent ahead.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus

from service.api.context import Parts
from service.api.waiting import RETRY_SECONDS, busy
from service.intake.body import disk_full
from service.jobs.blobs import blob_bytes
from service.notify.targets import RefusedError, allowed_hosts, check_target
from service.problems import ProblemError, problem, refusal
from service.settings import Settings


def admit_body(settings: Settings, headers: Mapping[str, str]) -> None:
    """Raises ProblemError: 507 where a body of the announced length would leave too little of the disk."""
    if not settings.has_reserve(int(headers.get("content-length") or 0)):
        raise disk_full()


def admit_callback(settings: Settings, callback: str | None) -> str | None:
    """A URL that is to be told of the end of a job. Raises ProblemError: 400 where nobody is told there."""
    allowed = allowed_hosts(settings)
    if callback is None:
        return None
    try:
        return check_target(callback, allowed)
    except RefusedError as error:
        detail, hint = str(error), "whoever runs this service names the hosts in GRADIENT_HEALTH_WEBHOOK_HOSTS"
        raise refusal("callback-refused", HTTPStatus.BAD_REQUEST, detail, where="callback", hint=hint) from error


def admit_job(parts: Parts, tenant: str) -> None:
    """Raises ProblemError: 429 where too many jobs of this tenant wait already, 503 where too many of all do.

    Asking again for one of them is no new job.
    """
    own = parts.settings.max_queued_jobs_per_tenant
    if own and parts.store.queued(tenant) >= own:
        detail, hint = f"{own} of your analyses are waiting already", "ask again after Retry-After seconds"
        told = problem("quota-exceeded", HTTPStatus.TOO_MANY_REQUESTS, detail, hint=hint)
        raise ProblemError(told, {"Retry-After": str(RETRY_SECONDS)})
    if parts.store.queued() >= parts.settings.max_queued_jobs:
        raise busy(f"{parts.settings.max_queued_jobs} analyses are waiting already")


def admit_blob(parts: Parts, tenant: str, headers: Mapping[str, str]) -> None:
    """Raises ProblemError: 429 where the blobs of this tenant would take more than they may."""
    most = parts.settings.max_blob_bytes_per_tenant
    if most and blob_bytes(parts.store, tenant) + int(headers.get("content-length") or 0) > most:
        raise too_many_blobs(parts.settings)


def too_many_blobs(settings: Settings) -> ProblemError:
    """What is told where the blobs of a tenant take what they may."""
    seconds = math.ceil(settings.orphan_seconds)
    detail, hint = (
        f"your blobs may take {settings.max_blob_bytes_per_tenant} bytes",
        f"what no analysis is about goes after {seconds} s",
    )
    told = problem("quota-exceeded", HTTPStatus.TOO_MANY_REQUESTS, detail, hint=hint)
    return ProblemError(told, {"Retry-After": str(seconds)})
