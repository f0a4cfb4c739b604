"""Margins in decades, from logarithms that are whole numbers."""

import pytest

from analysis.diagnosis.evidence import above, below, over, under
from analysis.report.parts import Bound


def test_a_margin_is_positive_beyond_the_threshold_and_negative_before_it() -> None:
    assert (below(-4.0, -2.5).margin_decades, below(-1.0, -2.5).margin_decades) == (1.5, -1.5)
    assert (above(4.0, 2.5).margin_decades, above(1.0, 2.5).margin_decades) == (1.5, -1.5)


def test_the_margin_on_a_plain_scale_is_the_logarithm_of_the_ratio() -> None:
    assert over(1000.0, 10.0).margin_decades == pytest.approx(2.0)
    assert over(1.0, 10.0).margin_decades == pytest.approx(-1.0)
    assert over(0.5, 0.05).margin_decades == pytest.approx(1.0)
    assert under(0.001, 0.1).margin_decades == pytest.approx(2.0)
    assert under(1.0, 0.1).margin_decades == pytest.approx(-1.0)


@pytest.mark.parametrize(("value", "threshold"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (1.0, -1.0), (-2.0, -1.0)])
@pytest.mark.parametrize("compare", [over, under])
def test_what_has_no_logarithm_has_no_margin(compare: object, value: float, threshold: float) -> None:
    evidence = compare(value, threshold)  # type: ignore[operator]
    assert evidence.margin_decades is None
    assert (evidence.value, evidence.threshold) == (value, threshold)


@pytest.mark.parametrize("compare", [above, below, over, under])
def test_evidence_keeps_the_value_and_the_threshold_as_they_are(compare: object) -> None:
    evidence = compare(3.0, 7.0)  # type: ignore[operator]
    assert (evidence.value, evidence.threshold) == (3.0, 7.0)


def test_evidence_says_on_which_side_of_the_threshold_health_is() -> None:
    assert [compare(1.0, 2.0).bound for compare in (below, under, above, over)] == [
        Bound.LEAST, Bound.LEAST, Bound.MOST, Bound.MOST,
    ]  # fmt: skip
