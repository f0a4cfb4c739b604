"""Whether spans are sent, by what the environment says; and that nothing is loaded where they are not."""

import json
import logging
import subprocess
import sys

import pytest

from service.tracing.tracer import is_wanted, traceparent, tracer_of, within

COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "mine", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        (COLLECTOR, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4318/v1/metrics"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, True),
        (COLLECTOR | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (COLLECTOR | {"OTEL_TRACES_EXPORTER": "console"}, False),
        (COLLECTOR | {"OTEL_SDK_DISABLED": "TRUE"}, False),
        (COLLECTOR | {"OTEL_SDK_DISABLED": "false"}, True),
    ],
    ids=str,
)
def test_the_environment_says_whether_spans_are_sent(environment: dict[str, str], wanted: bool) -> None:
    assert is_wanted(environment) is wanted
    if not wanted:
        assert tracer_of(environment) is None


def test_another_protocol_is_told_and_sends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert tracer_of(COLLECTOR | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}) is None
    assert "only http/protobuf is spoken" in caplog.text


def test_without_the_extra_it_is_told_and_sends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setitem(sys.modules, "service.tracing.exported", None)
    assert tracer_of(COLLECTOR) is None
    assert "gradient-health[otel]" in caplog.text


@pytest.mark.parametrize("module", ["service.app", "service.worker.supervisor"])
def test_nothing_that_sends_spans_is_loaded_where_none_are_sent(module: str) -> None:
    """FastAPI loads the interface of OpenTelemetry by itself, which does nothing."""
    code = f"import json, sys, {module}; from service.tracing.tracer import tracer_of; tracer_of({{}}); "
    code += "print(json.dumps([name for name in sys.modules if name.startswith('opentelemetry.')]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    parts = {name.split(".")[1] for name in json.loads(done.stdout)}
    assert not parts & {"sdk", "exporter", "proto"}


def test_what_is_submitted_is_part_of_what_is_going_on_here() -> None:
    with within("one"):
        with within("two"):
            assert traceparent() == "two"
        assert traceparent() == "one"
    assert traceparent() is None
