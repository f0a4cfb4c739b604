"""An exception that nobody expected, as a pipeline sees it: a code of its own, and what to do about it."""

import errno
import sys
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from service.cli import app
from service.cli._exits import ExitCode


def run(error: BaseException, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Result:
    """The command analyze, whose analysis raises this."""

    def broken(*_: object) -> None:
        raise error

    model = tmp_path / "model.onnx"
    model.write_bytes(b"model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules["service.cli.analyze"], "_report", broken)
    return CliRunner().invoke(app, ["analyze", str(model)])


@pytest.mark.parametrize("error", [RuntimeError("expected scalar type Float"), KeyError("layer"), OSError(5, "I/O")])
def test_an_unexpected_exception_has_a_code_of_its_own_its_traceback_and_a_way_to_report_it(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outcome = run(error, monkeypatch, tmp_path)
    assert outcome.exit_code == ExitCode.BUG == 4
    assert outcome.stdout == ""
    assert "Traceback" in outcome.stderr
    assert "in broken" in outcome.stderr
    *_, last = outcome.stderr.splitlines()
    assert last.startswith(f"error: {type(error).__name__}: this is a bug of gradient-health")
    assert "please report it" in last


def test_ctrl_c_is_told_in_a_word_and_ends_as_a_shell_expects(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outcome = run(KeyboardInterrupt(), monkeypatch, tmp_path)
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize(("error", "code"), [(typer.BadParameter("no"), 2), (typer.Exit(3), 3), (typer.Abort(), 1)])
def test_what_ends_a_command_by_design_is_no_bug(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outcome = run(error, monkeypatch, tmp_path)
    assert outcome.exit_code == code
    assert "bug" not in outcome.stderr


@pytest.mark.parametrize("named", [("repaired/he.onnx",), ()])
def test_a_disk_without_room_is_no_bug(named: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outcome = run(OSError(errno.ENOSPC, "No space left on device", *named), monkeypatch, tmp_path)
    assert outcome.exit_code == ExitCode.BAD_INPUT
    told = named[0] if named else "the output"
    assert outcome.stderr == f"error: {told} cannot be written: No space left on device\n"


def test_other_commands_say_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(_: Path) -> None:
        raise ZeroDivisionError

    report = tmp_path / "report.json"
    report.write_text("{}")
    monkeypatch.setattr(sys.modules["service.cli.compare"], "read_report", broken)
    assert CliRunner().invoke(app, ["compare", str(report), str(report)]).exit_code == ExitCode.BUG
