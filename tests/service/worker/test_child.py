"""The job child on real models, with its confinement left out: a test process has to live on."""

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import onnx
import pytest

from analysis.errors import MissingExternalData, NotOnnx
from analysis.facts import ParityStatus
from analysis.report import Report
from service.worker import child
from service.worker.protocol import MODELS, REPORT, Assignment, Broken, Done, NoRoom, OpenFile, Reached, Refused
from service.worker.sandbox import Confinement
from tests.gallery import mlp, vectors, xavier

Say = Callable[..., list[Any]]


class Listener:
    """A pipe that writes down what goes in."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.descriptor = 0

    def send(self, message: Any) -> None:
        self.heard.append(message)


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Say]:
    """All that a child says of a model."""
    monkeypatch.setattr(child, "confine", lambda *_: {"rlimits": "on"})
    (tmp_path / "work").mkdir()
    limits = Confinement(tmp_path / "work", 1 << 30, 1000, 1 << 30)
    stack = ExitStack()

    def run(model: bytes, data: bytes = b"") -> list[Any]:
        contents, quick = {"model": model, "batch": vectors(), "data": data}, '{"effort": "quick"}'
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
        files = [stack.enter_context((tmp_path / name).open("rb")) for name in contents]
        opened, batch, beside = (OpenFile(file.fileno()) for file in files)
        assignment = Assignment(opened, "net.onnx", batch, {"weights.bin": beside}, quick, 1 << 30, 1, limits)
        listener = Listener()
        child.run(assignment, listener)  # type: ignore[arg-type]
        return listener.heard

    with stack:
        yield run


def test_steps_in_quick_succession_are_told_once_and_every_stage_is(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [0.0]
    monkeypatch.setattr(child.time, "monotonic", lambda: moment[0])
    listener = Listener()
    news = child.News(listener)  # type: ignore[arg-type]
    for at, stage, fraction in (
        (0.0, "a", 0.1),
        (0.05, "a", 0.2),
        (0.06, "b", 0.3),
        (0.12, "b", 0.4),
        (0.17, "b", 0.5),
    ):
        moment[0] = at
        news.tell(stage, fraction)
    assert listener.heard == [Reached("a", 0.1), Reached("b", 0.3), Reached("b", 0.5)]


def test_a_report_and_models_are_left_in_the_working_folder(say: Say, tmp_path: Path) -> None:
    *before, done = say(mlp(12, "Sigmoid", xavier(), width=16))
    assert all(isinstance(message, Reached) for message in before)
    assert len({message.stage for message in before}) > 2
    assert done == Done()
    report = Report.from_json((tmp_path / "work" / REPORT).read_bytes())
    assert (report.model.name, report.engine.sandbox) == ("net.onnx", {"rlimits": "on"})
    assert {path.name for path in (tmp_path / "work" / MODELS).iterdir()} >= {
        f"{each.variant}.onnx" for each in report.remedies[:1]
    }


def outside(location: str) -> tuple[bytes, bytes]:
    """A network whose first weight is said to lie in a file, and the content of that file."""
    proto = onnx.load_from_string(mlp(3, "Relu", xavier(), width=16))
    weight = proto.graph.initializer[0]
    content = onnx.numpy_helper.to_array(weight).tobytes()
    onnx.external_data_helper.set_external_data(weight, location)
    weight.ClearField("raw_data")
    return proto.SerializeToString(), content


def test_weights_are_read_from_the_file_that_was_sent_under_their_name(say: Say, tmp_path: Path) -> None:
    *_, done = say(*outside("weights.bin"))
    assert isinstance(done, Done)
    report = Report.from_json((tmp_path / "work" / REPORT).read_bytes())
    assert report.parity.status is ParityStatus.EQUAL
    shutil.rmtree(tmp_path / "work" / MODELS)
    say(mlp(3, "Relu", xavier(), width=16))
    whole = (tmp_path / "work" / REPORT).read_bytes()
    assert report.layers == Report.from_json(whole).layers


@pytest.mark.parametrize("location", ["model", "batch", "data", "data.bin"])
def test_no_other_file_is_read_though_it_lies_beside_the_model(say: Say, tmp_path: Path, location: str) -> None:
    model, content = outside(location)
    (tmp_path / "data.bin").write_bytes(content)
    (tmp_path / "work" / "data.bin").write_bytes(content)
    (refused,) = say(model, content)
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, MissingExternalData)
    assert "sent were weights.bin" in refused.error.detail


def test_a_refusal_of_the_library_is_passed_on(say: Say) -> None:
    (refused,) = say(b"no model")
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, NotOnnx)


def test_a_bug_is_named_by_its_kind_alone_and_logged(
    say: Say, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(child, "check_model", lambda *_, **__: 1 / 0)
    assert say(b"") == [Broken("ZeroDivisionError")]
    assert "an analysis failed" in caplog.messages


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), NoRoom()),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), NoRoom()),
        (OSError(errno.EIO, "Input/output error"), Broken("OSError")),
        (ValueError(errno.ENOSPC), Broken("ValueError")),
    ],
    ids=["full", "quota", "broken disk", "another error"],
)
def test_a_disk_without_room_is_no_bug(
    say: Say, monkeypatch: pytest.MonkeyPatch, error: Exception, said: NoRoom | Broken
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(child, "analyze", fail)
    assert say(mlp(3, "Relu", xavier(), width=16)) == [said]
