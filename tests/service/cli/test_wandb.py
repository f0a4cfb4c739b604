"""The command that logs a report to W&B."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from analysis.errors import BadOptions
from analysis.report import Report
from service.cli import app
from tests.analysis.render.pages import by_hand

UsageError = type("UsageError", (Exception,), {"__module__": "wandb.errors"})


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PROJECT", "DIR"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    Path("report.json").write_bytes(by_hand().to_json())
    Path("he.onnx").write_bytes(b"model")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["wandb", *arguments])


def test_the_id_of_the_run_is_printed_and_it_is_offline_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    def log(report: Report, project: str, files: Sequence[Path], folder: Path, *, offline: bool) -> str:
        told.append((report.id, project, list(files), folder, offline))
        return "run-1"

    monkeypatch.setattr("service.wandb.log", log)
    assert (run("report.json").exit_code, run("report.json").stdout) == (0, "run-1\n")
    run("report.json", "he.onnx", "--project", "nets", "--dir", "runs", "--online")
    assert told[1:] == [
        (by_hand().id, "gradient-health", [], Path(), True),
        (by_hand().id, "nets", [Path("he.onnx")], Path("runs"), False),
    ]


@pytest.mark.parametrize(
    ("error", "code"), [(BadOptions("wandb is not installed"), 2), (UsageError("api_key not configured"), 3)]
)
def test_what_is_missing_or_refused_is_said_and_has_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def log(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr("service.wandb.log", log)
    outcome = run("report.json")
    assert outcome.exit_code == code
    assert str(error) in outcome.stderr


def test_a_fault_of_our_own_is_none_of_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def log(*_: object, **__: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("service.wandb.log", log)
    assert run("report.json").exit_code == 4
