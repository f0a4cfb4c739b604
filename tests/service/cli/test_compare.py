"""Comparing two files as a pipeline sees it: exit code, one line on stderr, a file written whole or not at all."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from analysis.comparison.document import Comparison
from service.cli import app
from tests.analysis.comparison.small_reports import found, small_report

README = Path(__file__).parents[3] / "README.md"
HEALTHY, SICK = small_report(), small_report("unhealthy", found("GH101", "error", "layer-1", flow=1.0))
RISK = small_report("at_risk", found("GH303", "warning", spread=1.0))
RISKIER = small_report("at_risk", found("GH303", "warning", spread=2.0))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with reports in it, and a terminal of known width."""
    for name, report in {"healthy": HEALTHY, "sick": SICK, "risk": RISK, "riskier": RISKIER}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> Result:
    outcome = CliRunner().invoke(app, ["compare", *arguments])
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exception
    return outcome


def refused(*arguments: str) -> str:
    """The one line that is said."""
    outcome = run(*arguments)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: ")
    assert outcome.stderr.count("\n") == 1
    return outcome.stderr


@pytest.mark.parametrize(
    ("old", "new", "more", "code"),
    [
        ("healthy", "healthy", [], 0),
        ("healthy", "sick", [], 1),
        ("sick", "healthy", [], 0),
        ("sick", "sick", [], 0),
        ("healthy", "risk", [], 1),  # a worse verdict
        ("risk", "riskier", [], 0),
        ("risk", "riskier", ["--fail-on", "warning"], 1),
        ("riskier", "risk", ["--fail-on", "info"], 0),
    ],
)
def test_a_regression_exits_with_1_and_anything_else_with_0(old: str, new: str, more: list[str], code: int) -> None:
    outcome = run(f"{old}.json", f"{new}.json", *more)
    assert (outcome.exit_code, outcome.stderr) == (code, "")
    assert (": REGRESSION\n" in outcome.stdout) is bool(code)


def test_the_summary_says_what_was_gained() -> None:
    assert "  gained    error   GH101 vanishing-gradient\n" in run("healthy.json", "sick.json").stdout


def test_the_comparison_is_written_whole(tmp_path: Path) -> None:
    assert run("healthy.json", "sick.json", "--json", "comparison.json").exit_code == 1
    written = Comparison.model_validate_json((tmp_path / "comparison.json").read_bytes())
    assert written.regression
    assert [each.rule for each in written.findings] == ["GH101"]
    assert list(tmp_path.glob("*.part")) == []


def test_a_comparison_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    message = refused("healthy.json", "sick.json", "--json", "nowhere/comparison.json")
    assert "nowhere/comparison.json: cannot be written: No such file or directory" in message
    assert list(tmp_path.rglob("*.part")) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", ["bad.json: schema_version: ", "verdict: field required"]),
        ("hello", ["bad.json: not JSON", "analyze --json writes a report"]),
        ("[]", ["bad.json: a report is a JSON object"]),
        (json.dumps(HEALTHY | {"verdict": "fine"}), ["bad.json: verdict: ", "'healthy'", "given 'fine'"]),
        (json.dumps(HEALTHY | {"schema_version": "7.1"}), ["bad.json: schema_version: ", "7.1", "newer"]),
    ],
    ids=["empty", "text", "list", "verdict", "version"],
)
def test_what_is_no_report_exits_with_2_and_names_file_and_field(
    tmp_path: Path, content: str, words: list[str]
) -> None:
    (tmp_path / "bad.json").write_text(content)
    for arguments in (["bad.json", "sick.json"], ["sick.json", "bad.json"]):
        message = refused(*arguments)
        for word in words:
            assert word in message


@pytest.mark.parametrize("fail_on", ["critical", "", "error,warning"])
def test_what_is_no_gate_is_refused(fail_on: str) -> None:
    assert "fail_on: " in refused("healthy.json", "sick.json", "--fail-on", fail_on)


@pytest.mark.parametrize("arguments", [[], ["healthy.json"], ["missing.json", "sick.json"], ["sick.json", "."]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "Usage:" in outcome.stderr


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", deny)
    assert refused("healthy.json", "sick.json") == "error: healthy.json: cannot be read: Permission denied\n"


def test_the_line_of_the_readme_runs(tmp_path: Path) -> None:
    """With files of these names."""
    (line,) = re.findall(r"^\$ gradient-health (compare .*)$", README.read_text(), re.MULTILINE)
    (tmp_path / "old.json").write_text(json.dumps(HEALTHY))
    (tmp_path / "new.json").write_text(json.dumps(SICK))
    outcome = run(*shlex.split(line)[1:])
    assert outcome.exit_code == 1
    assert Comparison.model_validate_json((tmp_path / "comparison.json").read_bytes()).regression


def test_help_names_every_option() -> None:
    outcome = run("--help")
    assert outcome.exit_code == 0
    for name in ("old", "new", "--json", "--fail-on"):
        assert name in outcome.stdout.lower()
