"""A comparison as the body of a page: the same words and numbers as at the terminal, side by side."""

import pytest

from analysis.comparison.compare import compare
from analysis.comparison.document import Change, Comparison
from analysis.render.comparison_page import TONES, render_comparison_body
from tests.analysis.comparison.small_reports import WORSE_NEW, WORSE_OLD, excerpt, found, small_report
from tests.analysis.render.pages import Element, parsed, rows


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(excerpt(WORSE_OLD), excerpt(WORSE_NEW))


@pytest.fixture(scope="module")
def page(comparison: Comparison) -> Element:
    return parsed(f"<!doctype html><main>{render_comparison_body(comparison)}</main>")


def test_the_answer_comes_first_and_the_two_stand_side_by_side(page: Element) -> None:
    assert page.all("h1")[0].text == "✕ regression"
    old, new = page.all("li", **{"class": "tile edge-warning"}) + page.all("li", **{"class": "tile edge-error"})
    assert [each.all("h2")[0].text for each in (old, new)] == ["Old", "New"]
    assert "at risk" in old.text
    assert "seed 1" in new.text
    assert "The verdict goes from at_risk to unhealthy; findings: 1 gained, 1 moved, 1 unchanged, 1 lost." in page.text
    assert "Findings may come and go for other reasons than the model: engine.seed 0, now 1." in page.text


def test_findings_are_told_with_what_became_of_them_and_their_evidence_on_both_sides(page: Element) -> None:
    table = [[cell.text for cell in row] for row in rows(page, "finding-changes")]
    assert table == [
        ["GH101 vanishing gradient now layer-1, layer-2", "gained", "none", "error flow 2"],
        ["GH201 dead units names other layers now layer-4", "moved", "warning dead 2", "warning dead 2"],
        ["GH303 scale imbalance", "lost", "warning spread 2", "none"],
    ]
    assert "Unchanged: GH105" in page.text


def test_numbers_remedies_layers_and_differences_are_those_of_the_comparison(page: Element) -> None:
    assert [[cell.text for cell in row] for row in rows(page, "numbers")] == [
        ["Gradient flow, decades (RMS)", "\N{MINUS SIGN}0.5", "\N{MINUS SIGN}3.5"]
    ]
    assert "Only in the new report: he" in page.text
    assert "Only in the old report: relu" in page.text
    assert [row[1].text for row in rows(page, "layer-changes")][-2:] == ["gained", "lost"]
    assert "engine.seed matters" in [row[0].text for row in rows(page, "differences")]


def test_two_that_are_alike_are_no_regression_and_have_empty_tables_left_out() -> None:
    same = compare(excerpt(small_report("healthy")), excerpt(small_report("healthy")))
    page = parsed(f"<!doctype html><main>{render_comparison_body(same)}</main>")
    assert page.all("h1")[0].text == "✓ no regression"
    assert "Neither report has any." in page.text
    assert not page.all("table", id="finding-changes")


def test_names_are_escaped() -> None:
    name = "<script>alert(1)</script>\u202e"
    hostile = small_report("unhealthy", found("GH101", "error", "layer-1", flow=1.0), layers=(name, "b", "c", "d"))
    text = render_comparison_body(compare(excerpt(WORSE_OLD), excerpt(hostile)))
    assert "<script" not in text
    assert "\\u202e" in text


def test_what_became_of_a_finding_has_a_tone() -> None:
    assert set(TONES) == set(Change)
