"""The command that logs a report to MLflow."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from analysis.report import Report
from service.cli import app
from service.mlflow import MlflowError
from tests.analysis.render.pages import by_hand

NOWHERE = "http://127.0.0.1:1"
"""Port 1 is reserved and closed."""


class Recorder:
    """In place of a server."""

    told: list[Any]

    def __init__(self, *where: Any) -> None:
        Recorder.told = [where]

    def log(self, report: Report, experiment: str, files: tuple[Path, ...]) -> str:
        Recorder.told.append((report.id, experiment, list(files)))
        return "run-1"

    def tag_version(self, report: Report, run_id: str, name: str, version: str) -> None:
        if name == "unknown":
            raise MlflowError("404")
        Recorder.told.append((report.verdict.value, run_id, name, version))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    Path("report.json").write_bytes(by_hand().to_json())
    Path("he.onnx").write_bytes(b"model")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["mlflow", *arguments])


def test_the_id_of_the_run_is_printed_and_the_version_is_tagged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.mlflow.Mlflow", Recorder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    outcome = run("report.json", "he.onnx", "--experiment", "nets", "--version", "team/net/3")
    assert (outcome.exit_code, outcome.stdout) == (0, "run-1\n")
    assert Recorder.told == [
        ("http://tracking", ("me", ""), ""), (by_hand().id, "nets", [Path("he.onnx")]),
        ("unhealthy", "run-1", "team/net", "3"),
    ]  # fmt: skip
    refused = run("report.json", "--version", "unknown/1")
    assert (refused.exit_code, refused.stderr) == (3, "error: MLflow at http://tracking: 404\n")


def test_where_no_server_is_one_line_says_so() -> None:
    outcome = run("report.json", "--tracking-uri", NOWHERE)
    assert (outcome.exit_code, outcome.stdout) == (3, "")
    assert outcome.stderr.startswith(f"error: MLflow at {NOWHERE}: ")
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["he.onnx"], ["missing.json"], ["report.json", "--version", "net"]])
def test_bad_input_is_told_as_such(arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    assert "rror" in outcome.stderr
