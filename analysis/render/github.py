"""Report -> workflow commands of GitHub Actions: an annotation on the model's file for each finding, then the verdict.

GitHub shows ten errors and ten warnings a step, so that the worst come first. The summary of a job is the format `md`.
Commands: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from collections.abc import Mapping
from typing import Final

from analysis.diagnosis.brief import brief_of
from analysis.render._excerpts import evidence_words, layer_names, some_layers, worst_first
from analysis.render._publication import PLAINLY, Publication
from analysis.render._visible import visible
from analysis.report import Finding, Report, Severity

COMMANDS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render_github(report: Report, publication: Publication = PLAINLY) -> str:
    """One command a line."""
    file, brief = publication.file(report).removeprefix("./"), brief_of(report)
    lines = [_annotation(finding, file, report) for finding in worst_first(report.findings)]
    lines.append(_command("notice", {"title": f"{report.model.name}: {brief.verdict}"}, brief.summary))
    return "\n".join(lines) + "\n"


def _annotation(finding: Finding, file: str, report: Report) -> str:
    where = {"file": file, "line": "1", "title": f"{finding.rule} {finding.name} ({finding.confidence.value})"}
    parts = (
        finding.message,
        evidence_words(report, finding),
        f"layers: {some_layers(finding.layers, layer_names(report))}" if finding.layers else "",
    )
    return _command(COMMANDS[finding.severity], where, "\n".join(filter(None, parts)))


def _command(command: str, properties: Mapping[str, str], message: str) -> str:
    said = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{command} {said}::{_message(message)}"


def _message(text: str) -> str:
    """On one line, so that nothing in it can begin a command; our own line ends survive as %0A."""
    lines = (visible(line).replace("%", "%25") for line in text.split("\n"))
    return "%0A".join(lines)


def _property(text: str) -> str:
    return visible(text).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
