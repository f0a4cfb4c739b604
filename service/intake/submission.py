"""What arrived becomes a job: a new one, or the one that the same question already has.

The digest names a question: bytes, options and the version that answers. An idempotency key names one job of a tenant
and is used for one question; a gate rejoins any job for its question that has not failed, so that asking again is
waiting.
"""

import hashlib
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from sqlalchemy.exc import IntegrityError

from analysis.version import VERSION
from service.intake.multipart import Upload
from service.jobs.holding import SizeOf, VanishedError
from service.jobs.job import Job, Question, new_id, now
from service.jobs.store import Store
from service.problems import ProblemError, problem, refusal

RETRY_SECONDS: Final = 1
Quota = Callable[[str], None]
"""Raises ProblemError where a tenant may have no further job."""


def unlimited(tenant: str) -> None:
    """Everybody may have as many as they like."""


def submit(
    upload: Upload,
    *,
    store: Store,
    tenant: str,
    key: str | None = None,
    rejoin: bool = False,
    quota: Quota = unlimited,
    labels: Mapping[str, str] = MappingProxyType({}),
    size_of: SizeOf | None = None,
) -> Job:
    """The job for this upload; with `rejoin` any that is under way or succeeded will do.

    Raises ProblemError: 422 for a key that was used for another question, what the quota says, and 503 where the same
    content, stored long ago for a job that is gone, was removed at the moment at which it was sent again.
    """
    question = question_of(upload)
    known = _known(question, store, tenant, key, rejoin=rejoin)
    if known is not None:
        return known
    quota(tenant)
    job = Job(id=new_id(), question=question, created=now(), tenant=tenant, idempotency_key=key, labels=labels)
    try:
        store.submit(job, size_of)
    except VanishedError as error:
        raise _vanished() from error
    except IntegrityError:  # a request with the same key was a moment faster: it is known now
        return submit(
            upload, store=store, tenant=tenant, key=key, rejoin=rejoin, quota=quota, labels=labels, size_of=size_of
        )
    return job


def question_of(upload: Upload) -> Question:
    """What an upload asks for."""
    model, batch = upload.blobs["model"].sha256, upload.blobs.get("batch")
    options = upload.options.model_dump_json()
    data_files = {name: blob.sha256 for name, blob in sorted(upload.data_files.items())}
    parts = [model, "" if batch is None else batch.sha256, options, VERSION]
    parts += [f"{sha256} {name}" for name, sha256 in data_files.items()]
    return Question(
        model_sha256=model,
        model_name=upload.names.get("model") or "model.onnx",
        batch_sha256=None if batch is None else batch.sha256,
        options=options,
        digest=hashlib.sha256("\n".join(parts).encode()).hexdigest(),
        data_files=data_files,
    )


def _vanished() -> ProblemError:
    detail = "what was sent is not there any more"
    told = problem("busy", HTTPStatus.SERVICE_UNAVAILABLE, detail, hint="send it again")
    return ProblemError(told, {"Retry-After": str(RETRY_SECONDS)})


def _known(question: Question, store: Store, tenant: str, key: str | None, *, rejoin: bool) -> Job | None:
    known = None if key is None else store.by_key(key, tenant)
    if known is not None and known.question.digest != question.digest:
        raise refusal(
            "idempotency-key-reuse",
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "this Idempotency-Key was used for another request",
            where="Idempotency-Key",
            hint="use a new key for a new question",
        )
    return known or (store.rejoinable(question.digest, tenant) if rejoin else None)
