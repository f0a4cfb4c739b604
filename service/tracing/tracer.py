"""Spans of requests and jobs: whether they are sent, and what is told of either. Loads nothing of OpenTelemetry.

OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT    to this collector (OTLP over HTTP)
OTEL_TRACES_EXPORTER                                               otlp: to http://localhost:4318; none: nowhere
OTEL_SDK_DISABLED=true                                             nowhere

POST /v1/analyses         an API node; its place in the trace is in the row of the job
├── queued                from the submission until a worker took it
└── analysis              an attempt, told by its supervisor once it is over
    ├── convert           the stages, at the times that the child told
    └── ...
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from service.startup import MissingExtraError, needing_extra

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN: Final = "http/protobuf"
_parent: ContextVar[str | None] = ContextVar("parent", default=None)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a job that is over. Moments are seconds since 1970."""

    job_id: str
    number: int
    """From 1."""
    traceparent: str | None
    """Of the request that submitted it (W3C Trace Context)."""
    submitted: datetime
    claimed: datetime
    stages: Sequence[tuple[str, float]]
    """Each with the moment at which it began; a child may have told anything."""
    outcome: str


class RequestSpan(Protocol):
    """A request that is being answered."""

    @property
    def trace_id(self) -> str:
        """In hexadecimal."""

    @property
    def traceparent(self) -> str:
        """What goes on with it begins here."""

    def answered(self, route: str, status: int) -> None:
        """Ends it; `route` is a pattern, never a path."""


class Tracer(Protocol):
    """Where spans go."""

    def request(self, method: str, headers: Mapping[str, str]) -> RequestSpan:
        """A request begins; its headers may say what it is part of."""

    def attempt(self, attempt: Attempt) -> None:
        """An attempt at a job is over."""

    def close(self) -> None:
        """What has not been sent is, unless that takes long."""


def tracer_of(environment: Mapping[str, str]) -> Tracer | None:
    """The one that the environment asks for; None: spans are not wanted, or cannot be had, which is logged."""
    if not is_wanted(environment):
        return None
    asked = next((environment[name] for name in PROTOCOLS if environment.get(name)), SPOKEN)
    if asked != SPOKEN:
        log.warning("no spans are sent: %s is asked for, and only %s is spoken here", asked, SPOKEN)
        return None
    try:
        with needing_extra("otel"):
            from service.tracing.exported import exporting  # noqa: PLC0415 - nobody else pays for it
    except MissingExtraError as error:  # many set these variables for all that runs on a machine
        log.warning("no spans are sent: %s", error)
        return None
    return exporting(environment)


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment says where spans go."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = {each.strip() for each in environment.get("OTEL_TRACES_EXPORTER", "").split(",")} - {""}
    return "otlp" in exporters or (not exporters and any(environment.get(name) for name in ENDPOINTS))


def traceparent() -> str | None:
    """What a job that is submitted here is part of."""
    return _parent.get()


@contextmanager
def within(parent: str | None) -> Iterator[None]:
    """What is submitted in this context is part of this."""
    token = _parent.set(parent)
    try:
        yield
    finally:
        _parent.reset(token)
