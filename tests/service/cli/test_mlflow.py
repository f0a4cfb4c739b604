"""The command that logs a report to MLflow."""

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli import app
from service.mlflow.connection import Connection
from tests.analysis.render.pages import by_hand
from tests.service.mlflow.server import Tracking

NOWHERE = "http://127.0.0.1:1"
"""Port 1 is reserved and closed."""


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
    tracking, asked = Tracking(), list[str]()
    tracking.register("team/net", "3", {})

    def connect(url: str) -> Connection:
        asked.append(url)
        return tracking.connection

    monkeypatch.setattr(Connection, "from_environment", connect)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking")
    outcome = run("report.json", "he.onnx", "--experiment", "nets", "--version", "team/net/3")
    assert (outcome.exit_code, outcome.stdout) == (0, "r\n")
    assert asked == ["http://tracking"]
    assert tracking.seen["experiments/create"] == [{"name": "nets"}]
    assert tracking.files["7/r/artifacts/models/he.onnx"] == b"model"
    tags = tracking.versions["team/net", "3"]
    assert (tags["gradient_health.verdict"], tags["gradient_health.run_id"]) == ("unhealthy", "r")
    tracking.root = "s3://bucket"
    refused = run("report.json")
    assert refused.exit_code == 3
    assert refused.stderr.startswith("error: MLflow at http://tracking: artifacts are kept at s3://bucket")


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
