"""Spans as the SDK hands them to whoever exports them, and as they arrive at a collector of the test's own."""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from service.tracing.exported import CLOSE_SECONDS, SdkTracer
from service.tracing.tracer import Attempt, tracer_of

TRACE, PLACE = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
PARENT = f"00-{TRACE:032x}-{PLACE:016x}-01"
SUBMITTED = datetime(2026, 1, 1, 12, tzinfo=UTC)
CLAIMED = SUBMITTED + timedelta(seconds=4)
START = CLAIMED.timestamp()
SECOND = 1_000_000_000


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> Iterator[SdkTracer]:
    for name in ("OTEL_TRACES_SAMPLER", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    made = SdkTracer(SimpleSpanProcessor(exporter), {"service.name": "tested"})
    yield made
    made.close()


def attempt(**other: Any) -> Attempt:
    usual = {"job_id": "j", "number": 1, "traceparent": PARENT, "submitted": SUBMITTED, "claimed": CLAIMED}
    stages = (("load", START + 1), ("probe", START + 2.5))
    return Attempt(**{**usual, "stages": stages, "outcome": "succeeded", **other})


def named(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def seconds(span: ReadableSpan) -> tuple[float, float]:
    """From the claim on."""
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.start_time - CLAIMED.timestamp() * SECOND) / SECOND, (
        span.end_time - CLAIMED.timestamp() * SECOND
    ) / SECOND


def test_a_request_is_part_of_the_trace_that_its_headers_name(
    tracer: SdkTracer, exporter: InMemorySpanExporter
) -> None:
    request = tracer.request("POST", {"traceparent": PARENT})
    assert request.trace_id == f"{TRACE:032x}"
    version, trace, place, flags = request.traceparent.split("-")
    assert (version, trace, flags) == ("00", f"{TRACE:032x}", "01")
    request.answered("/v1/analyses", 202)
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("POST /v1/analyses", SpanKind.SERVER)
    assert span.parent is not None
    assert (span.parent.span_id, f"{span.context.span_id:016x}") == (PLACE, place)
    assert dict(span.attributes or {}) == {
        "http.request.method": "POST", "http.route": "/v1/analyses", "http.response.status_code": 202,
    }  # fmt: skip
    assert span.status.status_code is StatusCode.UNSET
    assert span.resource.attributes["service.name"] == "tested"


def test_a_request_without_a_trace_begins_one_and_strange_methods_have_one_name(
    tracer: SdkTracer, exporter: InMemorySpanExporter
) -> None:
    for method in ("GET", "BREW"):
        tracer.request(method, {"traceparent": "nonsense"}).answered("none", 500)
    first, second = exporter.get_finished_spans()
    assert first.parent is second.parent is None
    assert first.context.trace_id != second.context.trace_id
    assert second.name == "_OTHER none"
    assert second.status.status_code is StatusCode.ERROR
    assert (second.attributes or {})["error.type"] == "500"


def test_what_was_not_to_be_recorded_is_not(tracer: SdkTracer, exporter: InMemorySpanExporter) -> None:
    unsampled = f"{PARENT[:-2]}00"
    request = tracer.request("POST", {"traceparent": unsampled})
    request.answered("/v1/analyses", 202)
    assert request.traceparent.endswith("-00")
    tracer.attempt(attempt(traceparent=request.traceparent))
    assert exporter.get_finished_spans() == ()


def test_an_attempt_has_its_wait_before_it_and_its_stages_in_it(
    tracer: SdkTracer, exporter: InMemorySpanExporter
) -> None:
    before = time.time()
    tracer.attempt(attempt())
    spans = named(exporter)
    assert set(spans) == {"queued", "analysis", "load", "probe"}
    whole = spans["analysis"]
    for name, parent in (("queued", PLACE), ("analysis", PLACE), ("load", whole.context.span_id)):
        assert spans[name].parent is not None
        assert (spans[name].context.trace_id, spans[name].parent.span_id) == (TRACE, parent)
    assert seconds(spans["queued"]) == pytest.approx((-4, 0), abs=1e-6)
    assert seconds(spans["load"]) == pytest.approx((1, 2.5), abs=1e-6)
    assert seconds(spans["probe"])[0] == pytest.approx(2.5, abs=1e-6)
    assert whole.start_time == pytest.approx(CLAIMED.timestamp() * SECOND, abs=1000)
    assert spans["probe"].end_time == whole.end_time
    assert before * SECOND <= (whole.end_time or 0) <= time.time() * SECOND
    assert dict(whole.attributes or {}) == {
        "gradient_health.job.id": "j", "gradient_health.job.attempt": 1, "gradient_health.job.outcome": "succeeded",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("succeeded", StatusCode.UNSET), ("cancelled", StatusCode.UNSET), ("failed", StatusCode.ERROR),
     ("expired", StatusCode.ERROR), ("retried", StatusCode.ERROR)],
)  # fmt: skip
def test_a_failure_is_marked_as_one(
    tracer: SdkTracer, exporter: InMemorySpanExporter, outcome: str, status: StatusCode
) -> None:
    tracer.attempt(attempt(outcome=outcome))
    assert named(exporter)["analysis"].status.status_code is status


def test_a_later_attempt_has_not_waited_since_the_submission(tracer: SdkTracer, exporter: InMemorySpanExporter) -> None:
    tracer.attempt(attempt(number=2, stages=(), traceparent=None))
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.parent) == ("analysis", None)


def test_what_a_child_tells_of_its_times_stays_inside_of_its_attempt(
    tracer: SdkTracer, exporter: InMemorySpanExporter
) -> None:
    stages = (("early", 0.0), ("late", 253_402_300_799.0), ("back", START + 1))
    tracer.attempt(attempt(stages=stages))
    spans = named(exporter)
    whole = spans["analysis"]
    assert spans["early"].start_time == whole.start_time
    for name in ("early", "late", "back"):
        begun, ended = spans[name].start_time, spans[name].end_time
        assert (whole.start_time or 0) <= (begun or 0) <= (ended or 0) <= (whole.end_time or 0)


def test_a_clock_of_another_node_that_is_ahead_makes_nothing_negative(
    tracer: SdkTracer, exporter: InMemorySpanExporter
) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    tracer.attempt(attempt(submitted=ahead + timedelta(seconds=1), claimed=ahead))
    for span in exporter.get_finished_spans():
        assert (span.start_time or 0) <= (span.end_time or 0) <= time.time_ns()


# ------------------------------------------------------------------ over the line


@contextmanager
def collector(held: threading.Event) -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """Its address, and what arrived; it answers once `held` is set."""
    arrived: list[ExportTraceServiceRequest] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            arrived.append(ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"]))))
            held.wait(20)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", arrived
        finally:
            held.set()
            server.shutdown()
            serving.join()


def sent_to(monkeypatch: pytest.MonkeyPatch, url: str) -> Any:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return tracer_of(environment)


def test_spans_arrive_at_the_collector_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    held.set()
    with collector(held) as (url, arrived):
        tracer = sent_to(monkeypatch, url)
        tracer.request("GET", {}).answered("/v1/limits", 200)
        tracer.close()
    (resource,) = arrived[0].resource_spans
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["GET /v1/limits"]
    said = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert (said["service.name"], said["deployment.environment"]) == ("gradient-health", "test")


@pytest.mark.parametrize("is_there", [False, True])
def test_a_collector_that_is_away_or_hangs_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_there: bool
) -> None:
    held = threading.Event()
    with collector(held) as (url, arrived):
        tracer = sent_to(monkeypatch, url if is_there else "http://127.0.0.1:1")
        before = time.monotonic()
        for _ in range(100):
            tracer.request("GET", {}).answered("/v1/limits", 200)
        assert time.monotonic() - before < CLOSE_SECONDS
        tracer.close()
        assert time.monotonic() - before < 3 * CLOSE_SECONDS
        assert len(arrived) == is_there
    assert "Traceback" not in caplog.text
