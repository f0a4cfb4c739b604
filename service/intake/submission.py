"""What arrived becomes a job: a new one, or the one that the same question already has.

The digest names a question: bytes, options and the version that answers. An idempotency key names one job of a tenant
and is used for one question; a gate rejoins any job for its question that has not failed, so that asking again is
waiting. Where neither finds one, an earlier report of the same tenant may answer: as a job of its own, ended at once.
"""

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Final

from sqlalchemy.exc import IntegrityError

from analysis.version import VERSION
from service.intake.multipart import Upload
from service.jobs.holding import QuotaError, SizeOf, VanishedError
from service.jobs.job import Job, Question, new_id, now
from service.jobs.store import Store
from service.logs import ids
from service.problems import ProblemError, problem, refusal
from service.tracing.tracer import traceparent

RETRY_SECONDS: Final = 1
ENGINE: Final = ("torch", "onnx", "onnxruntime", "numpy")
"""What computes the numbers of a report, besides ourselves."""
REJOIN_SECONDS: Final = 60.0
"""A gate that wants no earlier report still takes the one that its own last request asked for."""
Quota = Callable[[str], None]
"""Raises ProblemError where a tenant may have no further job."""


def unlimited(tenant: str) -> None:
    """Everybody may have as many as they like."""


class Reuse(StrEnum):
    """What became of a look for an earlier report, in the words of Cache-Status (RFC 9211)."""

    HIT = "hit"
    JOINED = "fwd=miss; collapsed"
    """The same question is being answered already."""
    MISS = "fwd=miss"
    REFUSED = "fwd=request"
    """The request wants none."""
    OFF = "fwd=bypass"


@dataclass(frozen=True, slots=True)
class Age:
    """How old a report may be that answers: by the service's setting (0: none is), and by what the request says."""

    allowed: float = 0.0
    wanted: float | None = None

    @property
    def seconds(self) -> float:
        """0: none."""
        return self.allowed if self.wanted is None else min(self.allowed, self.wanted)

    @property
    def without(self) -> Reuse:
        """What is said where none answered."""
        return Reuse.MISS if self.seconds else Reuse.REFUSED if self.allowed else Reuse.OFF


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job that answers, and how it was come by."""

    job: Job
    reuse: Reuse


def submit(
    upload: Upload,
    *,
    store: Store,
    tenant: str,
    key: str | None = None,
    rejoin: bool = False,
    quota: Quota = unlimited,
    most: int = 0,
    labels: Mapping[str, str] = MappingProxyType({}),
    size_of: SizeOf | None = None,
    age: Age = Age(),
    callback: str | None = None,
) -> Submitted:
    """The job for this upload; with `rejoin` any that is under way or succeeded will do.

    A report of this tenant that is not older than `age` answers, as a new job; no quota is asked for that. `most` jobs
    of the tenant may wait (0: any number); what more of them are told is for `quota` to say.
    Raises ProblemError: 422 for a key that was used for another question, what the quota says, and 503 where the same
    content, stored long ago for a job that is gone, was removed at the moment at which it was sent again.
    """
    question = question_of(upload)
    known = _known(question, store, tenant, key, age if rejoin else None)
    if known is not None:
        return Submitted(known, Reuse.HIT if known.state.is_end else Reuse.JOINED)
    job = Job(
        id=new_id(), question=question, created=now(), tenant=tenant, idempotency_key=key, labels=labels,
        callback=callback, trace_id=ids().get("trace_id"), traceparent=traceparent(),
    )  # fmt: skip
    try:
        answered = store.answer(job, timedelta(seconds=age.seconds), size_of) if age.seconds else None
        if answered is not None:
            return Submitted(answered, Reuse.HIT)
        quota(tenant)
        store.submit(job, size_of, most)
    except QuotaError:  # others were a moment faster: now the quota says so, or one of theirs is waiting no more
        return submit(
            upload, store=store, tenant=tenant, key=key, rejoin=rejoin, quota=quota, most=most, labels=labels,
            size_of=size_of, age=age, callback=callback,
        )  # fmt: skip
    except VanishedError as error:
        raise vanished() from error
    except IntegrityError:  # a request with the same key was a moment faster: it is known now
        return submit(
            upload, store=store, tenant=tenant, key=key, rejoin=rejoin, quota=quota, most=most, labels=labels,
            size_of=size_of, age=age, callback=callback,
        )  # fmt: skip
    return Submitted(job, age.without)


@functools.cache
def engine() -> str:
    """The versions on which numbers depend; nothing of it is loaded."""
    return " ".join([VERSION, *map(_installed, ENGINE)])


def _installed(package: str) -> str:
    """Builds for other hardware go by other names."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def question_of(upload: Upload) -> Question:
    """What an upload asks for."""
    model, batch = upload.blobs["model"].sha256, upload.blobs.get("batch")
    options = upload.options.model_dump_json()
    data_files = {name: blob.sha256 for name, blob in sorted(upload.data_files.items())}
    parts = [model, "" if batch is None else batch.sha256, options, engine()]
    parts += [f"{sha256} {name}" for name, sha256 in data_files.items()]
    return Question(
        model_sha256=model,
        model_name=upload.names.get("model") or "model.onnx",
        batch_sha256=None if batch is None else batch.sha256,
        options=options,
        digest=hashlib.sha256("\n".join(parts).encode()).hexdigest(),
        data_files=data_files,
    )


def vanished() -> ProblemError:
    """What is raised where an object was removed between its storing and its holding: 503."""
    detail = "what was sent is not there any more"
    told = problem("busy", HTTPStatus.SERVICE_UNAVAILABLE, detail, hint="send it again")
    return ProblemError(told, {"Retry-After": str(RETRY_SECONDS)})


def _known(question: Question, store: Store, tenant: str, key: str | None, rejoin: Age | None) -> Job | None:
    known = None if key is None else store.by_key(key, tenant)
    if known is not None and known.question.digest != question.digest:
        raise refusal(
            "idempotency-key-reuse",
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "this Idempotency-Key was used for another request",
            where="Idempotency-Key",
            hint="use a new key for a new question",
        )
    if known is not None or rejoin is None:
        return known
    recent = None if rejoin.wanted is None else timedelta(seconds=max(rejoin.wanted, REJOIN_SECONDS))
    return store.rejoinable(question.digest, tenant, recent)
