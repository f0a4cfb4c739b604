import json

import jsonschema
import pytest

from analysis.comparison.compare import compare
from analysis.comparison.document import Change, Comparison, FindingChange, comparison_schema
from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.report import Report
from tests.analysis.comparison.small_reports import excerpt, found, small_report
from tests.gallery import he, mlp, vectors, xavier

QUICK = parse_options({"effort": "quick"})


@pytest.fixture(scope="module")
def reports() -> tuple[Report, Report]:
    return analyze(mlp(3, "Relu", he()), vectors(), QUICK), analyze(mlp(12, "Sigmoid", xavier()), vectors(), QUICK)


def test_a_comparison_is_valid_under_its_own_schema(reports: tuple[Report, Report]) -> None:
    schema = comparison_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for old in reports:
        for new in reports:
            content = compare(old, new).to_json()
            jsonschema.validate(json.loads(content, parse_constant=pytest.fail), schema)
            assert Comparison.model_validate_json(content).to_json() == content


def test_the_schema_is_that_of_a_comparison_and_says_where_it_is_served() -> None:
    schema = comparison_schema()
    assert (schema["title"], schema["$id"]) == ("Comparison", "/v1/schema/comparison")


def test_what_is_not_known_is_left_out_and_lines_are_indented_where_asked() -> None:
    told = compare(excerpt(small_report()), excerpt(small_report("at_risk", found("GH105", "warning"))))
    content = told.to_json()
    assert (b"null" in content, b"\n" in content) == (False, False)
    (gained,) = json.loads(content)["findings"]
    assert not {"old", "decades"} & gained.keys()
    assert told.to_json(indent=2).startswith(b'{\n  "schema_version": ')
    assert json.loads(told.to_json(indent=2)) == json.loads(content)


def test_changes_are_ordered_from_the_worst_to_the_best() -> None:
    assert [change.value for change in Change] == ["gained", "worsened", "moved", "unchanged", "eased", "lost"]
    assert [change.rank for change in Change] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("change", Change)
@pytest.mark.parametrize("sides", ["old", "new", "both"])
def test_a_finding_is_known_where_it_is_in_both_reports_and_no_worse(change: Change, sides: str) -> None:
    finding = excerpt(small_report("at_risk", found("GH105", "warning"))).findings[0]
    told = FindingChange(
        change=change, rule="GH105", name="does-not-learn", regression=False, why="", layers_gained=(), layers_lost=(),
        old=finding if sides in {"old", "both"} else None, new=finding if sides in {"new", "both"} else None,
    )  # fmt: skip
    assert told.is_known is (sides == "both" and change is not Change.WORSENED)
