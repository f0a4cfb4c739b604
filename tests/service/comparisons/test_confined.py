"""A real child for each comparison: what it is told, and what it may cost."""

import json
import tempfile
from http import HTTPStatus

import pytest

from analysis.comparison.compare import compare
from analysis.report.gate import Gate
from service.comparisons import confined
from service.comparisons.confined import Answer, compare_confined
from service.problems import Problem, ProblemError, refusal
from tests.analysis.comparison.small_reports import excerpt, found, small_report

OLD, NEW = small_report(), small_report("unhealthy", found("GH101", "error", "layer-1", flow=1.0))


def nothing_kept(side: str, job_id: str) -> bytes:
    raise refusal("not-found", HTTPStatus.NOT_FOUND, f"{side} {job_id}")


def ask(body: bytes, report: confined.Report = nothing_kept) -> Answer:
    with tempfile.TemporaryFile() as file:
        file.write(body)
        return compare_confined(file, Gate(), report)


def refused(body: bytes, report: confined.Report = nothing_kept) -> Problem:
    with pytest.raises(ProblemError) as refusal:
        ask(body, report)
    return refusal.value.problem


def test_a_child_compares_what_was_sent_and_what_it_asks_for() -> None:
    asked = []

    def report(side: str, job_id: str) -> bytes:
        asked.append((side, job_id))
        return json.dumps(OLD).encode()

    answer = ask(json.dumps({"old": "an id", "new": NEW}).encode(), report)
    assert asked == [("old", "an id")]
    assert answer == Answer(compare(excerpt(OLD), excerpt(NEW)).to_json(), regression=True, verdict="unhealthy")


def test_a_refusal_of_the_child_arrives_whole() -> None:
    problem = refused(json.dumps({"old": OLD, "new": OLD | {"verdict": "fine"}}).encode())
    assert (problem.status, problem.code, problem.where) == (422, "bad-report", "new.verdict")


def test_an_analysis_that_cannot_be_compared_is_the_answer() -> None:
    problem = refused(json.dumps({"old": "an id", "new": NEW}).encode())
    assert (problem.code, problem.detail) == ("not-found", "old an id")


def test_what_needs_too_much_memory_ends_the_child_alone() -> None:
    many = b"[" + b"{}," * 8_000_000 + b"{}]"  # a dict takes some 64 bytes
    problem = refused(b'{"old": ' + many + b', "new": ' + many + b"}")
    assert (problem.status, problem.code) == (413, "comparison-too-expensive")


def test_what_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "WALL_SECONDS", 0.01)
    problem = refused(json.dumps({"old": OLD, "new": NEW}).encode())
    assert problem.code == "comparison-too-expensive"
