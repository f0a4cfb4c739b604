"""A report that was kept, in another format, as a pipeline asks for it."""

from pathlib import Path

import pytest
from click.testing import Result
from junitparser import JUnitXml
from typer.testing import CliRunner

from analysis.render.formats import FORMATS, Format, Publication
from analysis.render.text import render_text
from service.cli import app
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import by_hand

SICK = by_hand()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sick.json").write_bytes(SICK.to_json())
    Path("healthy.json").write_bytes(report_of().to_json())


def run(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["report", *arguments], input=given)


@pytest.mark.parametrize("form", FORMATS, ids=lambda each: each.name)
def test_every_format_is_printed_as_it_is(form: Format) -> None:
    outcome = run("sick.json", "--format", form.name)
    assert outcome.exit_code == 0
    assert outcome.stdout == form.render(SICK, Publication())


def test_without_a_format_the_summary_is_printed() -> None:
    assert run("sick.json").stdout == render_text(SICK)


def test_files_are_written_and_nothing_is_printed_besides() -> None:
    outcome = run("sick.json", "-f", "junit=junit.xml", "-f", "md", "-o", "summary.md", "--path", "models/net.onnx")
    assert (outcome.exit_code, outcome.stdout) == (0, "")
    (suite,) = JUnitXml.fromfile("junit.xml")
    assert {case._elem.get("file") for case in suite} == {"models/net.onnx"}
    assert Path("summary.md").read_text().startswith("## 🔴")


def test_a_report_may_come_from_a_pipe() -> None:
    assert run("-", "-f", "md", given=SICK.to_json()).stdout == run("sick.json", "-f", "md").stdout


@pytest.mark.parametrize(
    ("report", "gate", "code"),
    [("sick.json", "error", 1), ("healthy.json", "info", 0), ("sick.json", "no gate", 2), ("sick.json", None, 0)],
)
def test_a_gate_is_opt_in(report: str, gate: str | None, code: int) -> None:
    assert run(report, *([] if gate is None else ["--fail-on", gate])).exit_code == code


def test_the_gate_is_that_of_the_test_cases() -> None:
    (everything,) = JUnitXml.fromstring(run("sick.json", "-f", "junit", "--fail-on", "info").stdout.encode())
    assert everything.failures == len({each.rule for each in SICK.findings})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file"),
        (b"{", "Invalid JSON"),
        (b"{}", "schema_version: Field required"),
        (b'"\xff"', "Invalid JSON"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(content: bytes | None, told: str) -> None:
    if content is not None:
        Path("other.json").write_bytes(content)
    outcome = run("other.json")
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: other.json: ")
    assert outcome.stderr.count("\n") == 1
    assert told in outcome.stderr


def test_the_version_is_told() -> None:
    outcome = CliRunner().invoke(app, ["--version"])
    assert (outcome.exit_code, outcome.stdout.split()[0]) == (0, "gradient-health")


@pytest.mark.parametrize("command", ["", "analyze", "report", "compare", "serve", "rules", "interventions"])
def test_help_is_plain_and_fits_a_terminal(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    outcome = CliRunner().invoke(app, [*command.split(), "-h"])
    assert outcome.exit_code == 0
    assert all(len(line) <= 80 for line in outcome.stdout.splitlines())
    assert "\x1b" not in outcome.stdout
    assert "<bool>" not in outcome.stdout
