import math
from itertools import pairwise

import pytest

from analysis.render._chart import BOTTOM, LEFT, RIGHT, TOP, Chart, Series, layout

BAND = (-2.8, 1.8)


def chart(*series: Series, first: int = 1) -> Chart:
    places = [f"layer {place}" for place in range(max(len(each.decades) for each in series))]
    return layout(
        "flow", series, places, band=BAND, band_label="healthy", title="t", description="d", x_label="x", y_label="y",
        first=first,
    )  # fmt: skip


def decades_at(made: Chart, y: float) -> float:
    """Read off the drawing by two of its ticks."""
    (top, high), *_, (low_at, low) = sorted(
        (tick.at, float(tick.label.replace("\N{MINUS SIGN}", "-"))) for tick in made.y_ticks
    )
    return high + (y - top) * (low - high) / (low_at - top)


def test_a_point_is_drawn_where_the_scale_says() -> None:
    made = chart(Series("a", (-7.2, -3.1, 0.0)))
    read = [decades_at(made, marker.y) for marker in made.curves[0].markers]
    assert read == pytest.approx([-7.2, -3.1, 0.0], abs=0.03)
    assert [marker.x for marker in made.curves[0].markers] == [LEFT, round((LEFT + RIGHT) / 2, 1), RIGHT]


def test_the_band_is_where_its_limits_are() -> None:
    made = chart(Series("a", (-7.2, 0.0)))
    edges = [made.band_top, made.band_top + made.band_height]
    assert [decades_at(made, edge) for edge in edges] == pytest.approx([1.8, -2.8], abs=0.03)


def test_the_band_is_always_in_the_picture() -> None:
    made = chart(Series("a", (0.0, 0.0)))
    assert TOP < made.band_top < made.band_top + made.band_height < BOTTOM


def test_what_is_missing_breaks_a_curve_and_what_lies_beside_does_not() -> None:
    assert chart(Series("a", (0.0, None, 0.0))).curves[0].path.count("M") == 2
    beside = chart(Series("a", (0.0, -1.0, 0.0), scattered=frozenset({1}))).curves[0]
    assert beside.path.count("M") == 1
    assert [marker.kind for marker in beside.markers] == ["on", "beside", "on"]


def test_what_is_not_finite_is_marked_at_the_edges() -> None:
    markers = chart(Series("a", (-math.inf, math.inf, math.nan, 0.0))).curves[0].markers
    assert [(marker.kind, marker.y) for marker in markers[:3]] == [("lost", BOTTOM), ("broken", TOP), ("broken", TOP)]
    assert "no gradient" in markers[0].words
    assert "not finite" in markers[1].words


def test_one_place_lies_in_the_middle() -> None:
    made = chart(Series("a", (0.0,)))
    assert [tick.label for tick in made.x_ticks] == ["1"]
    assert made.curves[0].markers[0].x == (LEFT + RIGHT) / 2
    assert made.curves[0].path.endswith("h0")  # a move alone draws nothing


def test_nothing_to_draw_is_an_empty_chart() -> None:
    made = chart(Series("a", ()))
    assert (made.curves[0].path, made.curves[0].markers, made.x_ticks) == ("", (), ())


def test_a_thousand_places_are_all_on_the_curve_with_few_markers_and_ticks() -> None:
    made = chart(Series("a", tuple(-place / 40 for place in range(1000))))
    assert made.curves[0].path.count("L") == 999
    assert len(made.curves[0].markers) < 30
    assert [tick.label for tick in made.x_ticks] == ["1", "200", "400", "600", "800", "1000"]
    assert len(made.y_ticks) <= 9


def test_a_long_run_of_what_is_lost_is_thinned_but_never_hidden() -> None:
    lost = chart(Series("a", (*[0.0] * 500, -math.inf, *[0.0] * 99, *[-math.inf] * 400))).curves[0].markers
    places = [marker.x for marker in lost if marker.kind == "lost"]
    assert 2 <= len(places) < 30


@pytest.mark.parametrize("count", [*range(1, 30), 99, 100, 101, 999, 12345])
def test_ticks_begin_and_end_with_the_axis_and_do_not_crowd(count: int) -> None:
    ticks = chart(Series("a", (0.0,) * count)).x_ticks
    assert (ticks[0].label, ticks[-1].label) == ("1", str(count))
    gaps = [right.at - left.at for left, right in pairwise(ticks)]
    assert min(gaps, default=99.0) > 25.0


def test_time_is_counted_from_zero() -> None:
    assert [tick.label for tick in chart(Series("a", (0.0, 0.0, 0.0)), first=0).x_ticks] == ["0", "1", "2"]


def test_a_ring_marks_a_place() -> None:
    markers = chart(Series("a", (0.0, 0.0), ringed=frozenset({1}))).curves[0].markers
    assert [marker.ringed for marker in markers] == [False, True]
