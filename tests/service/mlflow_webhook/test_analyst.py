"""What is done with a version, and what the registry says of it meanwhile."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from analysis.report import Report
from service.mlflow.versions import Version
from service.mlflow_webhook.analysis import AnalysisFailed
from service.mlflow_webhook.analyst import STATE, Analyst, Order
from tests.analysis.render.pages import by_hand
from tests.service.mlflow.server import Tracking
from tests.service.mlflow_webhook.requests import Instant

ORDER = Order("gradients", None, 1 << 20)
PATIENCE = 60.0


@contextmanager
def working(tracking: Tracking, analysis: Instant, order: Order = ORDER) -> Iterator[Analyst]:
    analyst = Analyst(tracking.connection, analysis, order, pause=0.01)
    analyst.start()
    try:
        yield analyst
    finally:
        analyst.stop()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ask(analyst: Analyst, version: Version) -> None:
    if analyst.expect(version):
        analyst.take(version)


def state(tracking: Tracking, name: str = "net", number: str = "1") -> str:
    return tracking.versions[name, number].get(STATE, "")


def test_a_version_gets_the_verdict_and_a_run_with_everything(tmp_path: Path) -> None:
    tracking, analysis = Tracking(), Instant()
    tracking.register("net", "1", {"model.onnx": b"model", "batch.npz": b"batch"})
    with working(tracking, analysis) as analyst:
        ask(analyst, Version("net", "1"))
        until(lambda: not analyst.waiting)
    assert analysis.given == [{"model": b"model", "batch": b"batch"}]
    tags = tracking.versions["net", "1"]
    assert (tags[STATE], tags["gradient_health.verdict"], tags["gradient_health.run_id"]) == ("done", "unhealthy", "r")
    assert Report.from_json(tracking.files["7/r/artifacts/report.json"]) == by_hand()
    assert tracking.files["7/r/artifacts/models/relu+he.onnx"] == b"repaired"
    assert tracking.seen["runs/create"][0]["run_name"] == "net/1"
    told = [each["value"] for each in tracking.seen["model-versions/set-tag"] if each["key"] == STATE]
    assert told == ["queued", "running", "done"]


def test_a_batch_for_all_takes_the_place_of_the_one_beside_the_model(tmp_path: Path) -> None:
    tracking, analysis = Tracking(), Instant()
    tracking.register("net", "1", {"model.onnx": b"model", "batch.npz": b"batch"})
    (tmp_path / "own.npz").write_bytes(b"own")
    with working(tracking, analysis, Order("gradients", tmp_path / "own.npz", 1 << 20)) as analyst:
        ask(analyst, Version("net", "1"))
        until(lambda: not analyst.waiting)
    assert analysis.given[0]["batch"] == b"own"


@pytest.mark.parametrize(
    ("files", "broken", "told"),
    [
        ({"model.pkl": b""}, None, "no model"),
        ({"model.onnx": b""}, AnalysisFailed("x: expected shape [N, 3]"), "failed: x: expected shape [N, 3]"),
        (
            {"a.onnx": b"", "b.onnx": b""},
            None,
            "failed: net/1 has several models and none is model.onnx: a.onnx, b.onnx",
        ),
        ({"model.onnx": b""}, ZeroDivisionError(), "failed: a bug of gradient-health (ZeroDivisionError)"),
    ],
)
def test_how_it_ended_is_told_and_the_next_one_is_analysed(
    files: dict[str, bytes], broken: Exception | None, told: str
) -> None:
    tracking, analysis = Tracking(), Instant()
    analysis.broken = broken
    tracking.register("net", "1", files)
    tracking.register("net", "2", {"model.onnx": b""})
    with working(tracking, analysis) as analyst:
        ask(analyst, Version("net", "1"))
        until(lambda: not analyst.waiting)
        analysis.broken = None
        ask(analyst, Version("net", "2"))
        until(lambda: not analyst.waiting)
    assert (state(tracking), state(tracking, number="2")) == (told, "done")


def test_a_version_is_analysed_once_whoever_asks_and_anew_when_its_tag_says_so() -> None:
    tracking, analysis = Tracking(), Instant()
    tracking.register("net", "1", {"model.onnx": b"model"})
    analysis.may.clear()
    with working(tracking, analysis) as analyst:
        for _ in range(3):
            ask(analyst, Version("net", "1"))
        assert analyst.waiting == 1
        analysis.may.set()
        until(lambda: not analyst.waiting)
        ask(analyst, Version("net", "1"))
        assert analyst.waiting == 0
        assert len(analysis.given) == 1
        tracking.versions["net", "1"][STATE] = "queued"
        until(lambda: len(analysis.given) == 2 and state(tracking) == "done")


def test_what_is_broken_off_is_taken_up_by_the_next_receiver(caplog: pytest.LogCaptureFixture) -> None:
    tracking, stopped, analysis = Tracking(), Instant(), Instant()
    for number in ("1", "2"):
        tracking.register("net", number, {"model.onnx": b"model"})
    stopped.may.clear()
    with working(tracking, stopped) as analyst:
        ask(analyst, Version("net", "1"))
        ask(analyst, Version("net", "2"))
        until(lambda: stopped.given)
        assert not analyst.has_room() or analyst.waiting == 2
    assert not analyst.has_room()
    assert (state(tracking), state(tracking, number="2")) == ("running", "queued")
    assert "left for the next start: net/1, net/2" in caplog.text
    with working(tracking, analysis) as analyst:
        until(lambda: state(tracking) == state(tracking, number="2") == "done")
    assert len(analysis.given) == 2


def test_an_outage_of_the_registry_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    tracking, analysis = Tracking(), Instant()
    tracking.register("net", "1", {"model.onnx": b"model"})
    with working(tracking, analysis) as analyst, caplog.at_level(logging.WARNING):
        until(analyst._thread.is_alive)
        tracking.outages = 6
        ask(analyst, Version("net", "1"))
        until(lambda: state(tracking) == "done")
    assert "503 starting" in caplog.text


def test_an_outage_that_lasts_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    tracking, analysis = Tracking(), Instant()
    tracking.register("net", "1", {"model.onnx": b"model"})
    with working(tracking, analysis) as analyst:
        tracking.outages = 1 << 30
        ask(analyst, Version("net", "1"))
        until(lambda: not analyst.waiting)
    assert "net/1: failed: " in caplog.text
    assert not analysis.given


def test_a_version_that_is_not_there_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    with working(Tracking(), Instant()) as analyst:
        ask(analyst, Version("example_model", "1"))
        assert analyst.waiting == 0
    assert "example_model/1: not analysed: " in caplog.text
