"""The job child on real models, with its confinement left out: a test process has to live on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import NotOnnx
from analysis.report import Report
from service.worker import child
from service.worker.protocol import Assignment, Broken, Done, Reached, Refused
from service.worker.sandbox import Confinement
from tests.gallery import mlp, vectors, xavier

Say = Callable[..., list[Any]]


class Listener:
    """A pipe that writes down what goes in."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def send(self, message: Any) -> None:
        self.heard.append(message)


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """All that a child says of a model."""
    monkeypatch.setattr(child, "confine", lambda _: {"rlimits": "on"})
    (tmp_path / "work").mkdir()
    (tmp_path / "batch").write_bytes(vectors())
    limits = Confinement(tmp_path / "work", 1 << 30, 1000, 1 << 30)

    def run(model: bytes) -> list[Any]:
        (tmp_path / "model").write_bytes(model)
        quick = '{"effort": "quick"}'
        assignment = Assignment(tmp_path / "model", "net.onnx", tmp_path / "batch", quick, 1 << 30, limits)
        listener = Listener()
        child.run(assignment, listener)  # type: ignore[arg-type]
        return listener.heard

    return run


def test_a_report_and_models_are_left_in_the_working_folder(say: Say, tmp_path: Path) -> None:
    *before, done = say(mlp(12, "Sigmoid", xavier(), width=16))
    assert all(isinstance(message, Reached) for message in before)
    assert len({message.stage for message in before}) > 2
    assert done == Done(tmp_path / "work" / "report.json", tmp_path / "work" / "models")
    report = Report.from_json(done.report.read_bytes())
    assert (report.model.name, report.engine.sandbox) == ("net.onnx", {"rlimits": "on"})
    assert {path.name for path in done.models.iterdir()} >= {f"{each.variant}.onnx" for each in report.remedies[:1]}


def test_a_refusal_of_the_library_is_passed_on(say: Say) -> None:
    (refused,) = say(b"no model")
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, NotOnnx)


def test_a_bug_is_named_by_its_kind_alone_and_logged(
    say: Say, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(child, "check_model", lambda _: 1 / 0)
    assert say(b"") == [Broken("ZeroDivisionError")]
    assert "an analysis failed" in caplog.messages
