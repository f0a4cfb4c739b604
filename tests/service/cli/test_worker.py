"""The command that becomes a supervisor."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli import app


def test_it_becomes_a_supervisor_of_its_own_with_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *how: became.append(how))
    monkeypatch.setenv("GRADIENT_HEALTH_RUNNER", "poll")
    outcome = CliRunner().invoke(app, ["worker", "--data-dir", str(tmp_path), "--slots", "3"])
    assert outcome.exit_code == 0, outcome.output
    ((program, arguments, environment),) = became
    assert (program, arguments) == (sys.executable, [sys.executable, "-m", "service.worker", "alone"])
    told = {name: environment[f"GRADIENT_HEALTH_{name}"] for name in ("DATA_DIR", "JOB_SLOTS", "RUNNER")}
    assert told == {"DATA_DIR": str(tmp_path), "JOB_SLOTS": "3", "RUNNER": "poll"}
    assert environment["OMP_NUM_THREADS"] == "1"
