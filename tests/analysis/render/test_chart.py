import math
from itertools import pairwise

import pytest

from analysis.render._chart import NAME, NARROW, WIDE, Box, Chart, Marker, Series, _step, layout, signed

BAND = (-2.8, 1.8)
LEFT, RIGHT, TOP, BOTTOM, HEIGHT = WIDE.left, WIDE.right, WIDE.top, WIDE.bottom, WIDE.height


def chart(*series: Series, core: tuple[float, float] | None = None, box: Box = WIDE) -> Chart:
    places = [f"layer {place}" for place in range(max(len(each.decades) for each in series))]
    return layout(
        "flow", series, places, band=BAND, band_label="healthy", title="t", description="d", x_label="x", y_label="y",
        labels=[place.split()[1] for place in places], core=core, box=box,
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
    assert [tick.label for tick in made.x_ticks] == ["0"]
    assert made.curves[0].markers[0].x == (LEFT + RIGHT) / 2
    assert made.curves[0].path.endswith("h0")  # a move alone draws nothing


def test_nothing_to_draw_is_an_empty_chart() -> None:
    made = chart(Series("a", ()))
    assert (made.curves[0].path, made.curves[0].markers, made.x_ticks) == ("", (), ())


def test_a_thousand_places_are_all_on_the_curve_with_few_markers_and_ticks() -> None:
    made = chart(Series("a", tuple(-place / 40 for place in range(1000))))
    assert made.curves[0].path.count("L") == 999
    assert len(made.curves[0].markers) < 30
    assert [tick.label for tick in made.x_ticks][:3] == ["0", "67", "134"]
    assert made.x_ticks[-1].label == "999"
    assert len(made.x_ticks) <= 16
    assert len(made.y_ticks) <= 9


def test_a_long_run_of_what_is_lost_is_thinned_but_never_hidden() -> None:
    lost = chart(Series("a", (*[0.0] * 500, -math.inf, *[0.0] * 99, *[-math.inf] * 400))).curves[0].markers
    places = [marker.x for marker in lost if marker.kind == "lost"]
    assert 2 <= len(places) < 30


@pytest.mark.parametrize("count", [*range(1, 30), 99, 100, 101, 999, 12345])
def test_ticks_begin_and_end_with_the_axis_and_do_not_crowd(count: int) -> None:
    ticks = chart(Series("a", (0.0,) * count)).x_ticks
    assert (ticks[0].label, ticks[-1].label) == ("0", str(count - 1))
    gaps = [right.at - left.at for left, right in pairwise(ticks)]
    assert min(gaps, default=99.0) > 25.0


def test_a_ring_marks_a_place() -> None:
    markers = chart(Series("a", (0.0, 0.0), ringed=frozenset({1}))).curves[0].markers
    assert [marker.ringed for marker in markers] == [False, True]


# ------------------------------------------------------------------ worked out by hand: 682 wide, 292 high


def test_words_stand_where_they_were_given() -> None:
    made = layout(
        "flow", [Series("a", (0.0,), note="n", role="own")], ["p"], band=BAND, band_label="healthy", title="title",
        description="said", x_label="across", y_label="up",
        labels=["a label that is far too long"],
    )  # fmt: skip
    words = (made.name, made.title, made.description, made.x_label, made.y_label, made.band_label)
    assert words == ("flow", "title", "said", "across", "up", "healthy")
    assert [tick.label for tick in made.x_ticks] == ["\N{HORIZONTAL ELLIPSIS} far too long"]
    assert [(curve.name, curve.note, curve.role) for curve in made.curves] == [("a", "n", "own")]


def test_a_label_of_fourteen_letters_is_whole_and_of_a_longer_one_the_end_is_shown() -> None:
    made = layout(
        "flow", [Series("a", (0.0, 0.0))], ["p", "q"], band=BAND, band_label="", title="", description="", x_label="",
        y_label="", labels=["x" * 14, f"{'y' * 13}ab"],
    )  # fmt: skip
    assert [tick.label for tick in made.x_ticks] == ["x" * 14, f"\N{HORIZONTAL ELLIPSIS}{'y' * 11}ab"]


def test_the_scale_leaves_a_twenty_fifth_above_and_below_what_is_shown() -> None:
    """From 7.2 below to 2.6 above are 9.8 decades, with room 10.584: 27.59 pixels each, the lowest at -7.592."""
    made = chart(Series("a", (-7.2, -3.1, 0.0)))
    assert made.curves[0].path == "M64 315.2L405 202.1L746 116.5"
    assert made.curves[0].markers == (
        Marker(64.0, 315.2, "layer 0, a: -7.20 decades", "on"),
        Marker(405.0, 202.1, "layer 1, a: -3.10 decades", "on"),
        Marker(746.0, 116.5, "layer 2, a: +0.00 decades", "on"),
    )
    assert [(tick.label, tick.at) for tick in made.y_ticks] == [
        ("\N{MINUS SIGN}6", 282.1), ("\N{MINUS SIGN}4", 226.9), ("\N{MINUS SIGN}2", 171.7), ("0", 116.5), ("+2", 61.4),
    ]  # fmt: skip
    assert (made.band_top, made.band_height, made.band_label_at) == (66.9, 126.9, 84.9)


@pytest.mark.parametrize(
    ("lowest", "height", "above"), [(-100.0, 12.1, 6.0), (-42.8, 27.4, -18.0), (-40.0, 29.2, -18.0)]
)
def test_a_band_too_narrow_for_its_label_has_it_above(lowest: float, height: float, above: float) -> None:
    made = chart(Series("a", (lowest, 0.0)))
    assert made.band_height == height
    assert made.band_top - made.band_label_at == pytest.approx(above)


def test_values_that_cannot_be_drawn_do_not_widen_the_scale() -> None:
    whole = chart(Series("a", (0.0, -1.0)))
    strange = chart(Series("a", (0.0, -1.0)), Series("b", (None, math.inf, math.nan, -math.inf)))
    assert strange.y_ticks == whole.y_ticks


def test_a_curve_goes_on_behind_what_lies_beside_it_and_begins_anew_behind_a_gap() -> None:
    decades = (0.0, 0.0, 9.0, 0.0, None, 0.0, math.inf, 0.0, 0.0)
    path = chart(Series("a", decades, scattered=frozenset({2}))).curves[0].path
    (y,) = {point.split()[1].removesuffix("h0") for run in path[1:].split("M") for point in run.split("L")}
    runs = [[float(point.split()[0]) for point in run.split("L")] for run in path[1:].split("M")]
    assert runs == [[64.0, 149.2, 319.8], [490.2], [660.8, 746.0]]
    assert path.split("M")[2].endswith(f"{y}h0")
    assert path.count("h0") == 1


@pytest.mark.parametrize(("count", "shown"), [(24, 24), (25, 13), (26, 14), (48, 25), (49, 17)])
def test_two_dozen_markers_are_enough_and_the_last_place_has_one(count: int, shown: int) -> None:
    markers = chart(Series("a", (0.0,) * count)).curves[0].markers
    assert len(markers) == shown
    assert (markers[0].x, markers[-1].x) == (LEFT, RIGHT)


def test_the_first_of_another_kind_is_always_marked() -> None:
    """Of 50 places every third one."""
    decades: list[float | None] = [0.0] * 50
    decades[4:9] = [-math.inf] * 5
    decades[10], decades[20], decades[25] = None, math.nan, -math.inf
    markers = chart(Series("a", tuple(decades), scattered=frozenset({13, 14}))).curves[0].markers
    by_kind: dict[str, list[int]] = {}
    for marker in markers:
        by_kind.setdefault(marker.kind, []).append(int(marker.words.split()[1].strip(",")))
    assert by_kind == {
        "on": [0, 3, 9, 12, 15, 18, *range(21, 49, 3), 49],
        "lost": [4, 6, 25],
        "beside": [13, 14],
        "broken": [20],
    }


def test_a_marker_says_what_is_there() -> None:
    words = [marker.words for marker in chart(Series("a", (-math.inf, math.nan, 1.255))).curves[0].markers]
    assert words == ["layer 0, a: no gradient", "layer 1, a: not finite", "layer 2, a: +1.25 decades"]


@pytest.mark.parametrize(
    ("count", "labels"),
    [
        (2, [0, 1]),
        (9, [*range(9)]),
        (16, [*range(16)]),
        (17, [0, 2, 4, 6, 8, 10, 12, 14, 16]),
        (18, [0, 2, 4, 6, 8, 10, 12, 14, 16, 17]),
        (63, [*range(0, 60, 5), 62]),  # 60 would be nearer to the end than half a step
    ],
)
def test_labels_stand_at_every_place_or_at_every_so_many(count: int, labels: list[int]) -> None:
    ticks = chart(Series("a", (0.0,) * count)).x_ticks
    assert [int(tick.label) for tick in ticks] == labels
    assert [tick.at for tick in ticks] == [round(LEFT + (RIGHT - LEFT) * each / (count - 1), 1) for each in labels]
    assert {tick.anchor for tick in ticks} == {"end"}


@pytest.mark.parametrize(
    ("count", "ends"),
    [
        (1, [("0", 179.0, "middle")]),
        (2, [("0", 8.0, "start"), ("1", 350.0, "end")]),
        (1000, [("0", 8.0, "start"), ("999", 350.0, "end")]),
    ],
)
def test_on_a_telephone_the_ends_alone_have_labels_which_stay_inside(
    count: int, ends: list[tuple[str, float, str]]
) -> None:
    made = chart(Series("a", (0.0,) * count), box=NARROW)
    assert [(tick.label, tick.at, tick.anchor) for tick in made.x_ticks] == ends
    assert made.box is NARROW
    assert all(NARROW.top <= tick.at <= NARROW.bottom for tick in made.y_ticks)


def test_a_telephone_shows_the_same_curve() -> None:
    values = Series("a", (-7.2, -3.1, 0.0))
    made = chart(values, box=NARROW)
    assert [decades_at(made, marker.y) for marker in made.curves[0].markers] == pytest.approx(
        [-7.2, -3.1, 0.0], abs=0.05
    )
    assert [marker.words for marker in made.curves[0].markers] == [
        each.words for each in chart(values).curves[0].markers
    ]


def test_a_curve_goes_through_the_output_of_a_block_and_the_layer_inside_lies_beside() -> None:
    made = chart(Series("a", (0.0, -5.0, -9.0, -1.0), scattered=frozenset({1, 2}), through={2: -0.5}))
    (curve,) = made.curves
    xs = [float(point.split()[0]) for point in curve.path[1:].split("L")]
    assert xs == [LEFT, round(LEFT + (RIGHT - LEFT) * 2 / 3, 1), RIGHT]
    assert [decades_at(made, float(point.split()[1])) for point in curve.path[1:].split("L")] == pytest.approx(
        [0.0, -0.5, -1.0], abs=0.03
    )
    end = curve.markers[2]
    assert f"{end.x:g} {end.y:g}" == curve.path.split("L")[1]
    assert [(marker.kind, marker.words) for marker in curve.markers] == [
        ("on", "layer 0, a: +0.00 decades"),
        ("beside", "layer 1, a: -5.00 decades"),
        ("on", "block that ends with layer 2, a: -0.50 decades"),
        ("beside", "layer 2, a: -9.00 decades"),
        ("on", "layer 3, a: -1.00 decades"),
    ]


def test_names_stand_where_curves_begin_and_never_over_each_other() -> None:
    made = chart(
        *(Series(name, (start, 0.0), note=f"of {name}") for name, start in zip("abc", (-7.0, -7.1, 0.0), strict=True))
    )
    names = [each for each in made.names if each is not None]
    assert [(each.text, each.note) for each in names] == [("a", "of a"), ("b", "of b"), ("c", "of c")]
    assert [decades_at(made, each.y) for each in names] == pytest.approx([-7.0, -7.1, 0.0], abs=0.03)
    heights = sorted(each.at for each in names)
    assert min(after - before for before, after in pairwise(heights)) >= NAME
    assert 0 < heights[0] < heights[-1] < HEIGHT
    assert names[2].at == names[2].y
    assert chart(Series("a", (None, None)), Series("b", (None, 0.0))).names[0] is None
    lost = chart(*(Series(str(each), (-math.inf, 0.0)) for each in range(11))).names
    assert [each.at for each in lost if each is not None] == [31.0 + NAME * each for each in range(11)]  # to the edge
    (high,) = chart(Series("a", (9.0, 0.0))).names
    assert high is not None
    assert TOP < high.at == high.y < 2 * NAME


def test_a_name_stands_where_the_block_ends_if_the_curve_begins_beside_it() -> None:
    beside = frozenset({0})
    through, without = (
        chart(Series("a", (-9.0, 0.0), scattered=beside, through=ends)).names for ends in ({0: -0.5}, {})
    )
    assert through[0] is not None
    assert without[0] is not None
    made = chart(Series("a", (-9.0, 0.0), scattered=beside))
    assert [decades_at(made, each.y) for each in (through[0], without[0])] == pytest.approx([-0.5, 0.0], abs=0.03)


def test_the_core_of_the_band_is_where_its_limits_are() -> None:
    made = chart(Series("a", (-7.2, 0.0)), core=(-1.5, 1.5))
    assert made.core_top is not None
    edges = [made.core_top, made.core_top + made.core_height]
    assert [decades_at(made, edge) for edge in edges] == pytest.approx([1.5, -1.5], abs=0.03)
    assert (made.core_top, made.core_height) == (75.2, 82.7)  # 27.59 pixels a decade, 0 at 116.5
    assert made.band_label_at == made.core_top + 18.0
    bare = chart(Series("a", (0.0,)))
    assert (bare.core_top, bare.core_height) == (None, 0.0)


@pytest.mark.parametrize(
    ("extent", "step"),
    [(0.5, 1), (8, 1), (8.1, 2), (16, 2), (16.1, 5), (40, 5), (40.1, 10), (80, 10), (81, 20), (401, 100), (900, 200)],
)
def test_eight_steps_are_enough(extent: float, step: int) -> None:
    assert _step(extent) == step


def test_decades_are_written_with_their_sign() -> None:
    assert [signed(each) for each in (0.0, -0.0, 1.8, -2.5, 3.0)] == ["0", "0", "+1.8", "\N{MINUS SIGN}2.5", "+3"]
