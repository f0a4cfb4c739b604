"""The spans of a real service, of an analysis from its request to its last stage, as a collector has them."""

import http.server
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.acceptance.asking import BATCH, HEALTHY
from tests.acceptance.conftest import serving

pytestmark = pytest.mark.server
TRACE, PLACE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Span]]:
    """What arrived at the one that services started meanwhile are told of."""
    arrived: list[Span] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            arrived.extend(span for each in sent.resource_spans for scope in each.scope_spans for span in scope.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield arrived
        server.shutdown()


def test_an_analysis_is_one_trace_from_its_request_to_its_last_stage(tmp_path: Path, collector: list[Span]) -> None:
    with serving(tmp_path) as service:
        files = {"model": HEALTHY, "batch": BATCH}
        headers = {"traceparent": f"00-{TRACE}-{PLACE}-01", "Prefer": "wait=60"}
        answer = service.http.post(f"{service.url}/v1/analyses", files=files, headers=headers)
        assert answer.is_success, answer.text
        for pid in service.processes("forkserver"):
            assert b"OTEL_" not in Path(f"/proc/{pid}/environ").read_bytes() or pid == service.supervisor()
        service.end(signal.SIGTERM)
    spans = {span.name: span for span in collector if span.trace_id.hex() == TRACE}
    request, queued, analysis = (spans.pop(name) for name in ("POST /v1/analyses", "queued", "analysis"))
    assert request.parent_span_id.hex() == PLACE
    assert queued.parent_span_id == analysis.parent_span_id == request.span_id
    assert len(spans) >= 3, "its stages"
    assert {span.parent_span_id for span in spans.values()} == {analysis.span_id}
    moments = [request.start_time_unix_nano, queued.start_time_unix_nano, queued.end_time_unix_nano]
    stages = sorted((span.start_time_unix_nano, span.end_time_unix_nano) for span in spans.values())
    moments += [moment for stage in stages for moment in stage]
    assert moments == sorted(moments)
    assert analysis.end_time_unix_nano >= moments[-1]
