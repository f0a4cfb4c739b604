"""A job and what may become of it: a frozen record and its transitions.

    queued --claim--> running --succeed / fail / expire / cancel--> an end
                      running --lose--> queued, or failed after the last attempt
                      running --retry--> queued, once, where its process died of a signal
    succeeded, at once: where an earlier report answers

The row is the truth. Every claim raises the fence; whoever reports with an older fence is too late and is refused, so
that an analysis may be computed twice but ends once.
"""

import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final


class State(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_end(self) -> bool:
        """Whether nothing more happens."""
        return self not in {State.QUEUED, State.RUNNING}


MAX_ATTEMPTS: Final = 3
DEFAULT_TENANT: Final = "default"
CURSOR: Final = "^[0-9a-f-]{1,36}$"
"""A place in a list, which is the id of a job: PostgreSQL would refuse to compare one with some other texts."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked for; the digest names it."""

    model_sha256: str
    model_name: str
    batch_sha256: str | None
    options: str
    """Canonical JSON."""
    digest: str
    data_files: Mapping[str, str] = field(default_factory=dict)
    """External data of the model: the name it has there -> sha256."""


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the job table."""

    id: str
    question: Question
    created: datetime
    state: State = State.QUEUED
    tenant: str = DEFAULT_TENANT
    attempt: int = 0
    fence: int = 0
    owner: str | None = None
    lease_until: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    stage: str = "queued"
    fraction: float = 0.0
    idempotency_key: str | None = None
    report_sha256: str | None = None
    error: Mapping[str, Any] | None = None
    """The problem a failed job ended with; of one that is under way, what its first attempt died of."""
    labels: Mapping[str, str] = field(default_factory=dict)
    callback: str | None = None
    """A URL that is told when it has ended."""
    trace_id: str | None = None
    """Of the request that submitted it (W3C Trace Context)."""
    traceparent: str | None = None
    """The place of that request in the trace, if there is one."""


def now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


def new_id() -> str:
    """A UUID of version 7 (RFC 9562): sortable by time."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | secrets.randbits(62)))


def after_loss(job: Job) -> State:
    """What becomes of a job whose worker vanished."""
    return State.QUEUED if job.attempt < MAX_ATTEMPTS else State.FAILED
