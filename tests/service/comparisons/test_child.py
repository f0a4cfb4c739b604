"""What a body asks for; the process itself is in test_confined."""

import json

import pytest

from analysis.comparison.compare import compare
from analysis.errors import BadReport
from analysis.report.gate import Gate
from service.comparisons.child import compare_sides
from service.problems import ProblemError
from tests.analysis.comparison.small_reports import excerpt, found, small_report

OLD, NEW = small_report(), small_report("unhealthy", found("GH101", "error", "layer-1", flow=1.0))
KEPT = {"an id": OLD, "another": NEW}


def fetch(side: str, job_id: str) -> bytes:
    return json.dumps(KEPT[job_id]).encode()


@pytest.mark.parametrize(("old", "new"), [(OLD, NEW), ("an id", NEW), (OLD, "another"), ("an id", "another")])
def test_a_side_is_a_report_or_the_id_of_one(old: object, new: object) -> None:
    gate = Gate.parse("warning")
    told = compare_sides(json.dumps({"old": old, "new": new}).encode(), fetch, gate)
    assert told == compare(excerpt(OLD), excerpt(NEW), gate)


def test_what_is_no_json_is_a_bad_request() -> None:
    with pytest.raises(ProblemError, match="not JSON"):
        compare_sides(b"{", fetch, Gate())


@pytest.mark.parametrize("body", [[], {}, {"old": OLD}, {"old": OLD, "new": NEW, "more": 1}, {"old": OLD, "new": 1}])
def test_another_shape_is_a_bad_report(body: object) -> None:
    with pytest.raises(BadReport):
        compare_sides(json.dumps(body).encode(), fetch, Gate())
