"""An analysis in a process of its own: the real one, and programs in its place."""

import sys
import threading
import time
from pathlib import Path

import pytest

from service.mlflow_webhook.analysis import SECRET, Analysis, AnalysisFailed
from tests.analysis.render.pages import by_hand
from tests.gallery import he, mlp

QUICK = ["--options", '{"effort": "quick"}']


def program(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell script in the place of Python."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


def test_a_model_is_analysed_as_the_command_line_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").write_bytes(mlp(3, "Relu", he(), width=16))
    (tmp_path / "elsewhere" / "service").mkdir(parents=True)  # a package of this name in the folder it is started in
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = Analysis(QUICK, 300.0).run(tmp_path / "model.onnx", None, tmp_path)
    assert done.report.model.name == "model.onnx"
    assert done.report.options["effort"] == "quick"
    (tmp_path / "report.json").unlink()
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(AnalysisFailed, match="the file is not an ONNX model"):
        Analysis(QUICK, 300.0).run(tmp_path / "model.onnx", None, tmp_path)


def test_findings_are_a_report_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kept.json").write_bytes(by_hand().to_json())
    copying = (
        f"cp {tmp_path}/kept.json {tmp_path}/report.json; mkdir {tmp_path}/repaired; : > {tmp_path}/repaired/he.onnx"
    )
    program(tmp_path, f'{copying}; echo "$@" > {tmp_path}/given; env > {tmp_path}/env; exit 1', monkeypatch)
    monkeypatch.setenv(SECRET, "s3cret")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pa55")
    monkeypatch.setenv("GRADIENT_HEALTH_API_KEY", "k3y")
    done = Analysis(["--server", "http://there"], 60.0).run(tmp_path / "model.onnx", tmp_path / "batch.npz", tmp_path)
    assert (done.report, done.models) == (by_hand(), [tmp_path / "repaired" / "he.onnx"])
    given = (tmp_path / "given").read_text()
    assert f"analyze {tmp_path}/model.onnx {tmp_path}/batch.npz --json " in given
    assert given.endswith("--server http://there\n")
    environment = (tmp_path / "env").read_text()
    assert "k3y" in environment, "the service wants it"
    assert "s3cret" not in environment
    assert "pa55" not in environment


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ('echo "error: x: expected shape [N, 3]" >&2; exit 2', r"^x: expected shape \[N, 3\]$"),
        ("kill -9 $$", "^it ended with code -9$"),
        ("exit 0", "^it ended with code 0$"),
    ],
)
def test_what_leaves_no_report_is_told_in_its_own_words(
    script: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, script, monkeypatch)
    with pytest.raises(AnalysisFailed, match=told):
        Analysis([], 60.0).run(tmp_path / "model.onnx", None, tmp_path)


def test_a_report_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, f"echo '{{}}' > {tmp_path}/report.json", monkeypatch)
    with pytest.raises(AnalysisFailed, match="cannot be read"):
        Analysis([], 60.0).run(tmp_path / "model.onnx", None, tmp_path)


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beat = tmp_path / "beat"
    program(tmp_path, f"(while :; do date +%N > {beat}; sleep 0.02; done) & sleep 60", monkeypatch)
    with pytest.raises(AnalysisFailed, match=r"longer than 0\.5 s"):
        Analysis([], 0.5).run(tmp_path / "model.onnx", None, tmp_path)
    last = beat.read_text()
    time.sleep(0.2)
    assert beat.read_text() == last


def test_stopping_ends_what_is_under_way_and_begins_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, f": > {tmp_path}/began; sleep 60", monkeypatch)
    analysis, ends = Analysis([], 60.0), list[BaseException]()

    def run() -> None:
        try:
            analysis.run(tmp_path / "model.onnx", None, tmp_path)
        except AnalysisFailed as error:
            ends.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 10.0
    while not (tmp_path / "began").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    analysis.stop()
    thread.join(10.0)
    assert not thread.is_alive()
    assert len(ends) == 1
    with pytest.raises(AnalysisFailed, match="stops"):
        analysis.run(tmp_path / "model.onnx", None, tmp_path)
