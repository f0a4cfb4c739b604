"""Workflow commands, read as the runner of GitHub Actions reads them."""

import re

import pytest

from analysis.diagnosis.brief import brief_of
from analysis.render._publication import Publication
from analysis.render.github import render_github
from analysis.report import Report, Severity
from tests.analysis.render.pages import HOSTILE, SHAPES, by_hand, poisoned, told_in_full

COMMAND = re.compile(r"::(\w+)(?: (.*?))?::(.*)")
"""What the runner looks for at the beginning of a line (actions/runner, ActionCommand.cs)."""


def read(text: str, *, of_property: bool) -> str:
    for written, meant in (("%0D", "\r"), ("%0A", "\n"), *((("%3A", ":"), ("%2C", ",")) if of_property else ())):
        text = text.replace(written, meant)
    return text.replace("%25", "%")


def commands(report: Report, path: str = "") -> list[tuple[str, dict[str, str], str]]:
    """(command, properties, message) of every line."""
    told = []
    for line in render_github(report, Publication(path=path)).splitlines():
        match = COMMAND.fullmatch(line)
        assert match is not None, line
        properties = dict(each.split("=", 1) for each in match[2].split(","))
        told.append(
            (match[1], {name: read(value, of_property=True) for name, value in properties.items()},
             read(match[3], of_property=False))
        )  # fmt: skip
    return told


@pytest.mark.parametrize("shape", SHAPES)
def test_every_finding_is_an_annotation_and_the_verdict_is_the_last_line(shape: str) -> None:
    report = SHAPES[shape]()
    told = commands(report)
    assert len(told) == len(report.findings) + 1
    assert told[-1][0] == "notice"
    assert told[-1][1]["title"].startswith(f"model.onnx: {report.verdict.value.replace('_', ' ')}")


def test_the_worst_come_first_pinned_to_the_file() -> None:
    report = by_hand()
    told = commands(report, "./models/a,b:c%.onnx")
    meant = {"error": Severity.ERROR, "warning": Severity.WARNING, "notice": Severity.INFO}
    ranks = [meant[command].rank for command, *_ in told[:-1]]
    assert ranks == sorted((each.severity.rank for each in report.findings), reverse=True)
    assert {each["file"] for _, each, _ in told[:-1]} == {"models/a,b:c%.onnx"}
    (words,) = [message for _, each, message in told if each["title"].startswith("GH101 vanishing-gradient")]
    assert words.split("\n")[1].startswith("flow_decades -6 (limit -2.8)")
    assert "layer-01 fc1" in words


def test_every_line_is_a_command_with_words_evidence_and_layers() -> None:
    report = told_in_full()
    remark = report.findings[0].model_copy(update={"severity": Severity.INFO, "evidence": {}, "message": "Short."})
    milder, worst = report.findings[0].model_copy(update={"message": "Mild."}), report.findings[1]
    told = report.model_copy(update={"findings": (remark, milder, worst.model_copy(update={"message": "100 %: a,b"}))})
    *findings, verdict = render_github(told).splitlines()
    assert [each.partition("title=")[2] for each in findings] == [
        "GH101 vanishing-gradient (high)::100 %25: a,b%0Aflow_decades -6 (limit -2.8)%0Alayers: layer-01 fc1",
        "GH105 does-not-learn (low)::Mild.%0Aloss 1 (limit 0.7)",
        "GH105 does-not-learn (low)::Short.",
    ]
    assert [each.partition("title=")[0] for each in findings] == [
        f"::{command} file=model.onnx,line=1," for command in ("error", "warning", "notice")
    ]
    title = "model.onnx%3A unhealthy%3A 1 error%2C 1 warning%2C 1 remark"
    assert verdict == f"::notice title={title}::{brief_of(told).summary.replace('%', '%25')}"


@pytest.mark.parametrize(
    "name",
    [*HOSTILE, "x\n::error::forged", "::set-output name=a::b", "a,file=b.py,line=3", "100%0A::error::x"],
    ids=ascii,
)
def test_no_name_forges_a_command_or_a_property(name: str) -> None:
    report = poisoned(name)
    told = commands(report)
    assert len(told) == len(report.findings) + 1
    assert {tuple(properties) for _, properties, _ in told[:-1]} == {("file", "line", "title")}
    assert all(each["line"] == "1" for _, each, _ in told[:-1])
    assert not set("\u202e\u2066\u200b\u2028\x00\x1b\ud800") & set(render_github(report))
