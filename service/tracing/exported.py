"""Spans as OpenTelemetry's SDK sends them: in the background, in batches, and lost where no collector answers.

Names and attributes follow its conventions for HTTP servers (1.27 and later). No span has a query, a header, a tenant,
or the name of a file.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from analysis.version import VERSION
from service.tracing.tracer import Attempt

NAME: Final = "gradient-health"
CLOSE_SECONDS: Final = 2.0
"""So long a process that ends waits for a collector."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"})
FAILED: Final = frozenset({"failed", "expired", "retried"})
SERVER_ERROR: Final = 500
NANO: Final = 1_000_000_000
W3C: Final = TraceContextTextMapPropagator()


def exporting(environment: Mapping[str, str]) -> "SdkTracer":
    """A tracer to the collector that the environment names, which the SDK reads itself."""
    named = "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "") or environment.get("OTEL_SERVICE_NAME")
    return SdkTracer(BatchSpanProcessor(OTLPSpanExporter()), {} if named else {"service.name": NAME})


class SdkTracer:
    """Spans over a processor of the SDK's."""

    def __init__(self, processor: SpanProcessor, attributes: Mapping[str, str] | None = None) -> None:
        """`attributes`: what else is said of this process."""
        own = {"service.version": VERSION, "service.instance.id": f"{socket.gethostname()}:{os.getpid()}"}
        self._provider = TracerProvider(resource=Resource.create(own | dict(attributes or {})), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(NAME, VERSION)

    def request(self, method: str, headers: Mapping[str, str]) -> "SdkRequest":
        """See `Tracer`."""
        known = method if method in METHODS else "_OTHER"
        parent = W3C.extract(headers)
        span = self._tracer.start_span(known, parent, SpanKind.SERVER, {"http.request.method": known})
        return SdkRequest(span, known)

    def attempt(self, attempt: Attempt) -> None:
        """See `Tracer`."""
        parent = W3C.extract({} if attempt.traceparent is None else {"traceparent": attempt.traceparent})
        end = time.time_ns()
        claimed = min(_nano(attempt.claimed), end)
        about: dict[str, str | int] = {
            "gradient_health.job.id": attempt.job_id,
            "gradient_health.job.attempt": attempt.number,
        }
        if attempt.number == 1:
            waited = self._tracer.start_span(
                "queued", parent, attributes=about, start_time=min(_nano(attempt.submitted), claimed)
            )
            waited.end(claimed)
        outcome: dict[str, str | int] = {"gradient_health.job.outcome": attempt.outcome}
        whole = self._tracer.start_span("analysis", parent, SpanKind.CONSUMER, about | outcome, start_time=claimed)
        if attempt.outcome in FAILED:
            whole.set_status(StatusCode.ERROR)
        self._stages(attempt, set_span_in_context(whole), claimed, end)
        whole.end(end)

    def close(self) -> None:
        """See `Tracer`."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    def _stages(self, attempt: Attempt, whole: Context, first: int, last: int) -> None:
        for name, begun, ended in _spells(attempt, first, last):
            self._tracer.start_span(name, whole, start_time=begun).end(ended)


class SdkRequest:
    """A request that is being answered."""

    def __init__(self, span: Span, method: str) -> None:
        """It has begun."""
        self._span, self._method = span, method

    @property
    def trace_id(self) -> str:
        """See `RequestSpan`."""
        return format_trace_id(self._span.get_span_context().trace_id)

    @property
    def traceparent(self) -> str:
        """See `RequestSpan`."""
        carrier: dict[str, str] = {}
        W3C.inject(carrier, set_span_in_context(self._span))
        return carrier["traceparent"]

    def answered(self, route: str, status: int) -> None:
        """See `RequestSpan`."""
        self._span.update_name(f"{self._method} {route}")
        self._span.set_attributes({"http.route": route, "http.response.status_code": status})
        if status >= SERVER_ERROR:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _spells(attempt: Attempt, first: int, last: int) -> Iterator[tuple[str, int, int]]:
    """Stages with their beginnings and ends, none before the one before it nor outside of the attempt."""
    moments = [first]
    for _, began in attempt.stages:
        moments.append(min(max(int(began * NANO), moments[-1]), last))
    ends = [*moments[2:], last]
    for (name, _), begun, ended in zip(attempt.stages, moments[1:], ends, strict=False):
        yield name, begun, ended


def _nano(moment: datetime) -> int:
    return int(moment.timestamp() * NANO)
