"""Shades by hand: limits of the verdict are -2.8 and 1.8, green within 1.5."""

import math
from pathlib import Path

import pytest

import analysis.render
from analysis.render._shades import SHADES, shade, worst_of

STYLE = (Path(analysis.render.__file__).parent / "templates" / "report.css").read_text()


@pytest.mark.parametrize(
    ("decades", "expected"),
    [
        (None, "none"), (-math.inf, "lost"), (math.inf, "broken"), (math.nan, "broken"), (0.0, "ok"), (-1.5, "ok"),
        (1.5, "ok"), (-1.6, "grey"), (-2.8, "grey"), (1.8, "grey"), (-2.9, "ill-1"), (1.9, "ill-1"), (-4.7, "ill-1"),
        (-4.9, "ill-2"), (3.9, "ill-2"), (-7.7, "ill-2"), (-7.9, "ill-3"), (6.9, "ill-3"),
    ],
)  # fmt: skip
def test_a_shade_follows_from_the_limits_of_the_verdict(decades: float | None, expected: str) -> None:
    assert shade(decades) == expected
    assert expected in SHADES


def test_every_shade_is_in_the_style_sheet() -> None:
    for each in SHADES:
        assert f".shade-{each}" in STYLE
        assert each == "none" or f".fill-{each}" in STYLE


def test_of_several_places_the_furthest_from_even_counts() -> None:
    assert worst_of([None, -1.0, 2.0, -3.0]) == -3.0
    assert worst_of([-1.0, -math.inf]) == -math.inf
    assert worst_of([None]) is None
    assert worst_of([]) is None
    broken = worst_of([math.nan, -9.0, None])
    assert broken is not None
    assert math.isnan(broken)
