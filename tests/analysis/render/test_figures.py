"""The figures of the page, read off the tables beside them."""

import math
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from analysis.facts import ActivationGradient, Measurement, Status, TimeProfile
from analysis.options import parse_options
from analysis.render._figures import Figure, flow_figure, time_figure
from analysis.render._profiles import profile
from analysis.render.html import render_html
from analysis.report import Report, Verdict
from tests.analysis.diagnosis.builders import FAILS, flow, layer, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import trained, trial
from tests.analysis.render.pages import RECURRENT, SHAPES, VANISHING, Element, by_hand, page_of, profiled, rows
from tests.analysis.report.analyses import sick_report


@pytest.fixture(scope="module", params=[by_hand, sick_report], ids=["by hand", "analysed"])
def report(request: pytest.FixtureRequest) -> Report:
    made: Report = request.param()
    return made


@pytest.fixture(scope="module")
def page(report: Report) -> Element:
    return page_of(report)


def test_flow_is_drawn_relative_to_the_logits_and_its_ends_are_the_reported_decades(
    report: Report, page: Element
) -> None:
    table = rows(page, "flow-numbers")
    columns = [each.text for each in page.all("table", id="flow-numbers")[0].all("th", scope="col")][1:]
    best = report.remedies[0]
    assert columns == ["baseline, RMS", "baseline, norm", f"{best.variant}, RMS"]
    ends = [row.value for row in table[0][1:]]
    assert ends[0] == pytest.approx(report.gradient_flow.decades_rms)
    assert ends[2] == pytest.approx(best.after.decades_rms)
    assert [row.value for row in table[-1][1:]] == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)


def test_layers_that_a_treatment_added_have_no_place_on_the_axis(report: Report) -> None:
    (treated,) = [each for each in report.variants if each.id == "relu+batch_norm+he"]
    own = [each for each in treated.layers or () if each.id not in treated.added_layers]
    reference = treated.measurement.logits_gradient_rms if treated.measurement else None
    assert reference is not None
    expected = [math.log10(each.activation_gradient.rms / reference) for each in own if each.activation_gradient]
    assert profile(report, treated).rms == pytest.approx(expected)


def test_the_band_is_that_of_the_thresholds_in_force() -> None:
    assert "healthy: \N{MINUS SIGN}2.8 to +1.8" in page_of(report_of(measurement(stats=profiled(0.1, 0.1, 0.1)))).text
    for key in ("GH101.flow_decades", "vanishing-gradient.flow_decades"):
        options = parse_options({"thresholds": {key: -3.5}})
        page = page_of(report_of(measurement(stats=profiled(0.1, 0.1, 0.1)), options=options))
        assert "healthy: \N{MINUS SIGN}3.5 to +1.8" in page.text


def test_layers_beside_the_trunk_are_points_not_part_of_the_curve() -> None:
    layers = (layer(1), replace(layer(2), on_trunk=False), layer(3))
    text = render_html(report_of(measurement(layers=layers, stats=profiled(0.1, 1e-9, 0.1))))
    (drawing,) = re.findall(r"<svg class=\"plot\".*?</svg>", text, re.DOTALL)
    assert drawing.count('class="beside"') == 1
    assert "Small hollow points" in text


def test_of_an_ill_network_without_remedy_the_best_unproven_are_shown() -> None:
    patient = measurement(flow=VANISHING, probe=FAILS, stats=profiled(1e-8, 1e-4, 0.1))
    tried = [
        trial(name, measurement(flow=flow(rms), stats=profiled(0.1, 0.1, 0.1)))
        for name, rms in (("a", -3.0), ("b", math.nan), ("c", -0.5), ("d", -1.0), ("e", None))
    ]
    text = page_of(report_of(patient, tried))
    (legend,) = text.all("ul", **{"class": "legend"})
    assert [each.text for each in legend.all("bdi")] == ["baseline", "by norm", "c", "d", "a"]
    assert legend.text.count("not proven") == 3
    assert "the treatment that comes nearest to even; none was proven" in text.text
    assert "the best cure" in page_of(by_hand()).text


def test_a_treatment_without_gradients_is_not_in_the_drawing() -> None:
    patient = measurement(flow=VANISHING, probe=FAILS, stats=profiled(1e-8, 1e-4, 0.1))
    page = page_of(report_of(patient, [trial("he", measurement(probe=trained(0.2)))]))
    (legend,) = page.all("ul", **{"class": "legend"})
    assert [each.text for each in legend.all("bdi")] == ["baseline", "by norm"]


def test_a_drawing_survives_gradients_that_are_missing_zero_or_infinite() -> None:
    values = {"0.0": profiled(0.0, 0.1, 0.1), "inf": profiled(math.inf, 0.1, 0.1), "none": profiled(None, 0.1, 0.1)}
    said = {name: page_of(report_of(measurement(stats=each))).text for name, each in values.items()}
    assert "no gradient arrives" in said["0.0"]
    assert "the gradient is not finite" in said["inf"]
    assert "triangle" not in said["none"]


def test_time_is_drawn_relative_to_the_peak_of_each_chain() -> None:
    page = page_of(report_of(RECURRENT))
    table = rows(page, "time-numbers")
    assert [row[1].value for row in table] == [-3.0, -2.0, -1.5, 0.0]
    assert [row[0].text for row in table] == ["step 0", "step 1", "step 2", "step 3"]
    assert table[0][2].value == 0.0
    assert table[1][2].text == "\N{MINUS SIGN}∞"
    assert table[2][2].text == "\N{EN DASH}"
    assert "through-time" not in render_html(report_of())


@pytest.mark.parametrize("shape", SHAPES)
def test_drawings_are_well_formed_and_say_what_they_show(shape: str) -> None:
    for markup in re.findall(r"<svg class=\"plot(?: narrow)?\".*?</svg>", render_html(SHAPES[shape]()), re.DOTALL):
        drawing = ET.fromstring(markup)
        assert drawing.get("role") == "img"
        named = {each.get("id"): each.text for each in drawing if each.tag in {"title", "desc"}}
        assert [bool(named[each]) for each in (drawing.get("aria-labelledby") or "").split()] == [True, True]
        places = re.findall(r" (?:c?[xy]\d?|width|height|points|d)=\"([^\"]+)\"", markup)
        numbers = [float(number) for each in places for number in re.split(r"[MLHhml, -]+", each) if number]
        assert all(map(math.isfinite, numbers))


# ------------------------------------------------------------------ made of plain numbers


ILL = measurement(flow=VANISHING, probe=FAILS, stats=profiled(1e-8, 1e-4, 0.1))


def flow_of(report: Report, **changes: Any) -> Figure:
    figure = flow_figure(report.model_copy(update=changes))
    assert figure is not None
    return figure


def profile_of(report: Report, name: str, **changes: Any) -> list[float | None]:
    """The column of a variant that was changed so."""
    variants = tuple(each.model_copy(update=changes if each.id == name else {}) for each in report.variants)
    (own,) = (each for each in variants if each.id == name)
    return list(profile(report.model_copy(update={"variants": variants}), own).rms)


def drawn(report: Report, **changes: Any) -> tuple[str, ...]:
    """The variants that have a curve."""
    own, by_norm, *others = flow_of(report, **changes).chart.curves
    assert (own.role, by_norm.name, by_norm.role) == ("own", "by norm", "norm")
    assert [each.role for each in others] == ["best", *["faint"] * len(others)][: len(others)]
    return own.name, *(each.name for each in others)


def flowing(rms: float | None, *gradients: float | None, **changes: Any) -> Measurement:
    return measurement(flow=flow(rms), stats=profiled(*(gradients or (0.1, 0.1, 0.1))), **changes)


def test_a_figure_says_what_it_shows() -> None:
    figure = flow_of(by_hand())
    chart = figure.chart
    assert (chart.name, chart.title) == ("flow", "Gradient flow by depth")
    assert (chart.x_label, chart.y_label) == (
        "layers, from the inputs to the logits", "gradient over that at the logits",
    )  # fmt: skip
    assert chart.band_label == "healthy: \N{MINUS SIGN}2.8 to +1.8"
    assert chart.description == (
        "Gradient at each layer relative to the gradient at the logits, on a log scale. "
        "baseline: \N{MINUS SIGN}6.0 decades; by norm: \N{MINUS SIGN}6.0 decades; "
        "relu+batch_norm+he: \N{MINUS SIGN}1.0 decades, loss 0.30 of chance; "
        "relu: \N{MINUS SIGN}2.0 decades, loss 0.50 of chance."
    )
    assert figure.columns == ("baseline, RMS", "baseline, norm", "relu+batch_norm+he, RMS")
    assert drawn(by_hand()) == ("baseline", "relu+batch_norm+he", "relu")
    assert [row[:2] for row in figure.rows] == [("layer-01", "fc1"), ("layer-02", "fc2"), ("layer-03", "fc3")]
    assert figure.rows[1][2] == pytest.approx((-3.0, -3.0, math.log10(2.5)))
    assert chart.curves[0].markers[0].words == "layer-01 fc1, baseline: -6.00 decades"


def test_without_gradients_of_the_unchanged_model_there_is_no_figure() -> None:
    silent = measurement(flow=VANISHING, probe=FAILS, stats=profiled(None, None, None))
    tried = [trial("he", replace(flowing(-1.0), probe=trained(0.2)))]
    assert flow_figure(report_of(silent)) is None
    assert flow_figure(report_of(silent, tried)) is None
    report = report_of(ILL)
    bare = report.variants[0].model_copy(update={"layers": None})
    assert flow_figure(report.model_copy(update={"variants": (bare,)})) is None
    assert drawn(report_of(measurement(stats=profiled(None, 0.1, None)))) == ("baseline",)


def test_of_a_treated_network_what_lies_beside_the_trunk_is_not_drawn() -> None:
    layers = (layer(1), replace(layer(2), on_trunk=False), layer(3))
    report = report_of(replace(ILL, layers=layers), [trial("he", flowing(-1.0, layers=layers, probe=trained(0.2)))])
    own, _, treated = flow_of(report).chart.curves
    assert [each.kind for each in own.markers] == ["on", "beside", "on"]
    assert [each.kind for each in treated.markers] == ["on", "on"]
    alone = tuple(replace(each, on_trunk=each.id == "layer-01") for each in layers)
    curve, _ = flow_of(report_of(replace(ILL, layers=alone))).chart.curves
    assert [each.kind for each in curve.markers] == ["on"] * 3  # a trunk of one layer is none
    pair = tuple(replace(each, on_trunk=each.id != "layer-03") for each in layers)
    curve, _ = flow_of(report_of(replace(ILL, layers=pair))).chart.curves
    assert [each.kind for each in curve.markers] == ["on", "on", "beside"]


def test_rings_mark_the_layers_of_the_cause_in_the_unchanged_model() -> None:
    report = by_hand()
    first, *others = report.findings
    assert first.rule == "GH101"
    named = (first.model_copy(update={"layers": ("layer-02",)}), *others)
    own, _, *treated = flow_of(report, findings=named).chart.curves
    assert [each.ringed for each in own.markers] == [False, True, False]
    assert not any(each.ringed for curve in treated for each in curve.markers)
    (healthy, *_) = flow_of(report, findings=()).chart.curves
    assert not any(each.ringed for each in healthy.markers)


def test_four_remedies_are_drawn_best_first_and_no_others() -> None:
    tried = [trial(name, replace(flowing(-1.0), probe=trained(end))) for name, end in zip("abcdef", (
        0.5, 0.1, 0.45, 0.2, 0.4, 0.3), strict=True)]  # fmt: skip
    report = report_of(ILL, tried)
    assert drawn(report) == ("baseline", *(each.variant for each in report.remedies[:4]))
    assert len(report.remedies) > 4
    gone = (report.remedies[0].model_copy(update={"variant": "not measured"}), report.remedies[1])
    assert drawn(report, remedies=gone) == ("baseline", report.remedies[1].variant)


def test_the_unproven_that_are_shown_have_the_most_even_flow() -> None:
    """In either direction; of equal ones the first by name; never the unchanged model, nor what was not measured."""
    flows = {"e": 0.5, "b": -0.5, "a": 2.0, "c": math.inf, "d": math.nan, "f": None, "g": -0.25, "h": 0.0}
    report = report_of(ILL, [trial(name, flowing(rms)) for name, rms in flows.items()])
    assert drawn(report) == ("baseline", "h", "g", "b")
    broken = tuple(
        each.model_copy(update={"status": Status.NOT_APPLICABLE} if each.id == "h" else {}) for each in report.variants
    )
    figure = flow_of(report, variants=broken)
    assert drawn(report, variants=broken) == ("baseline", "g", "b", "e")
    assert [each.note for each in figure.chart.curves[2:]] == [
        "\N{MINUS SIGN}0.2 decades, not proven", "\N{MINUS SIGN}0.5 decades, not proven", "+0.5 decades, not proven",
    ]  # fmt: skip
    assert drawn(report, verdict=Verdict.HEALTHY) == ("baseline",)


def test_a_variant_with_a_twin_has_the_gradients_of_its_twin() -> None:
    report = report_of(ILL, [trial("a", flowing(-1.0, 1e-3, 1e-2, 0.1)), trial("b", flowing(-1.5, 0.1, 0.1, 0.1))])
    assert profile_of(report, "a") == pytest.approx([-2.0, -1.0, 0.0])
    assert profile_of(report, "a", same_as="b") == pytest.approx([0.0, 0.0, 0.0])
    assert profile_of(report, "a", same_as="gone") == pytest.approx([-2.0, -1.0, 0.0])


def test_layers_that_a_treatment_removed_or_added_leave_the_others_in_place() -> None:
    report = report_of(ILL, [trial("a", flowing(-1.0, 1e-3, 1e-2, 0.1))])
    assert profile_of(report, "a", added_layers=("layer-02",)) == pytest.approx([-2.0, 0.0, None])
    two = report.variants[1].layers
    assert two is not None
    assert profile_of(report, "a", layers=two[1:], removed_layers=("layer-01",)) == pytest.approx([None, -1.0, 0.0])


@pytest.mark.parametrize(
    ("logits", "gradients", "expected"),
    [
        (10.0, (0.1, 1.0, 10.0), (-2.0, -1.0, 0.0)),
        (None, (0.1, 1.0, 100.0), (-3.0, -2.0, 0.0)),  # the last layer that gets one
        (None, (0.1, 1.0, None), (-1.0, 0.0, None)),
        (0.0, (0.1, 1.0, 10.0), (-2.0, -1.0, 0.0)),
        (math.inf, (0.1, 1.0, 10.0), (-2.0, -1.0, 0.0)),
        (1.0, (0.0, math.inf, 1.0), (-math.inf, math.nan, 0.0)),
        (None, (0.0, math.inf, 0.0), (-math.inf, math.nan, -math.inf)),
        (None, (1.0, 0.1, 0.0), (1.0, 0.0, -math.inf)),
        (2.0, (2.0, 20.0, 0.2), (0.0, 1.0, -1.0)),
    ],
)
def test_decades_are_relative_to_the_gradient_at_the_logits(
    logits: float | None, gradients: tuple[float | None, ...], expected: tuple[float | None, ...]
) -> None:
    report = report_of(measurement(stats=profiled(*gradients), flow=flow(0.0, logits_gradient_rms=logits)))
    assert profile_of(report, "baseline") == pytest.approx(list(expected), nan_ok=True)
    unmeasured = report.variants[0].model_copy(update={"measurement": None})
    if logits is None:
        figure = flow_of(report, variants=(unmeasured,))
        assert [row[2][0] for row in figure.rows] == pytest.approx(list(expected), nan_ok=True)
        assert figure.chart.curves[0].note == "flow not measured"


@pytest.mark.parametrize(
    ("rms", "words"),
    [
        (None, "flow not measured"), (math.nan, "not finite"), (-math.inf, "no gradient arrives"),
        (math.inf, "\N{INFINITY} decades"), (-6.04, "\N{MINUS SIGN}6.0 decades"), (0.25, "+0.2 decades"),
    ],
)  # fmt: skip
def test_the_legend_says_how_much_arrives(rms: float | None, words: str) -> None:
    assert flow_of(report_of(flowing(rms))).chart.curves[0].note == words


def test_thresholds_are_those_of_the_options_if_they_are_numbers() -> None:
    report = report_of(flowing(0.0))
    for thresholds, label in (
        ({"GH102.flow_decades": 3, "GH101.flow_decades": "x"}, "healthy: \N{MINUS SIGN}2.8 to +3"),
        ({"exploding-gradient.flow_decades": 2.5, "GH101.other": 1.0}, "healthy: \N{MINUS SIGN}2.8 to +2.5"),
        ([1], "healthy: \N{MINUS SIGN}2.8 to +1.8"),
        (None, "healthy: \N{MINUS SIGN}2.8 to +1.8"),
    ):
        assert flow_of(report, options={"thresholds": thresholds}).chart.band_label == label
    assert flow_of(report, options=None).chart.band_label == "healthy: \N{MINUS SIGN}2.8 to +1.8"
    both = {"thresholds": {"vanishing-gradient.flow_decades": -1.0, "GH101.flow_decades": -2.0}}
    assert flow_of(report, options=both).chart.band_label == "healthy: \N{MINUS SIGN}2 to +1.8"


def test_the_core_of_the_band_is_what_is_green_and_inside_of_the_limits() -> None:
    report = report_of(flowing(0.0))
    chart = flow_of(report).chart
    assert chart.core_height / chart.band_height == pytest.approx(
        3.0 / 4.6, abs=0.01
    )  # from -1.5 to 1.5 of -2.8 to 1.8
    tight = flow_of(report, options={"thresholds": {"GH101.flow_decades": -1.0, "GH102.flow_decades": 1.2}}).chart
    assert (tight.core_top, tight.core_height) == (tight.band_top, tight.band_height)


def test_the_curve_of_a_treated_network_goes_through_its_blocks_as_well() -> None:
    layers = (layer(1), replace(layer(2), on_trunk=False), layer(3))
    first, inside, last = profiled(1e-3, 1e-9, 0.1)
    block = replace(inside, block_gradient=ActivationGradient(rms=1e-2, norm=0.5))
    treated = measurement(layers=layers, stats=(first, block, last), flow=flow(-1.0), probe=trained(0.2))
    report = report_of(replace(ILL, layers=layers), [trial("he", treated)])
    assert [each.path.count("L") for each in flow_of(report).chart.curves] == [1, 1, 2]


def test_a_block_whose_layers_lie_beside_the_trunk_is_a_point_of_the_curve() -> None:
    layers = (layer(1), replace(layer(2), on_trunk=False), layer(3))
    first, inside, last = profiled(1e-3, 1e-9, 0.1)
    inside = replace(inside, block_gradient=ActivationGradient(rms=1e-2, norm=0.5))
    report = report_of(measurement(layers=layers, stats=(first, inside, last)))
    own, by_norm = flow_of(report).chart.curves
    assert [each.words for each in own.markers][1:3] == [
        "block that ends with layer-02 fc2, baseline: -1.00 decades", "layer-02 fc2, baseline: -8.00 decades",
    ]  # fmt: skip
    assert own.path.count("L") == by_norm.path.count("L") == 2


# ------------------------------------------------------------------ through time


def chain(*decades: float, node: str = "/rnn", direction: str = "forward") -> TimeProfile:
    return TimeProfile(node=node, direction=direction, gradient_log10=decades)


def test_a_figure_of_time_says_what_it_shows() -> None:
    figure = time_figure([chain(-1.0, -3.0, -2.0), chain(4.0, 5.0, node="/lstm", direction="reverse")])
    assert figure is not None
    assert figure.columns == ("/rnn (forward)", "/lstm (reverse)")
    assert figure.rows == (
        ("step 0", "", (0.0, -1.0)), ("step 1", "", (-2.0, 0.0)), ("step 2", "", (-1.0, None)),
    )  # fmt: skip
    chart = figure.chart
    assert (chart.name, chart.title, chart.band_label) == ("time", "Gradient through time", "over 1 % of the peak")
    assert (chart.x_label, chart.y_label) == ("time step", "gradient over the peak of the chain")
    assert chart.description == ("Gradient at the states of 2 recurrent chains by time step, relative to its peak.")
    assert [tick.label for tick in chart.x_ticks] == ["0", "1", "2"]
    zero, two = (next(tick.at for tick in chart.y_ticks if tick.label.endswith(each)) for each in ("0", "2"))
    assert (chart.band_top, chart.band_height) == (zero, pytest.approx(two - zero, abs=0.11))
    assert chart.curves[1].markers[0].words == "step 0, /lstm (reverse): -1.00 decades"


def test_chains_without_any_gradient_are_not_drawn_and_five_are() -> None:
    assert time_figure([]) is None
    assert time_figure([chain(-math.inf, math.nan)]) is None
    figure = time_figure([chain(math.inf, -1.0, -4.0, node="b"), chain(-math.inf, -math.inf, node="a")])
    assert figure is not None
    assert figure.columns == ("b (forward)",)
    assert [row[2] for row in figure.rows] == [(math.inf,), (0.0,), (-3.0,)]
    many = time_figure([chain(float(number), node=str(number)) for number in range(7)])
    assert many is not None
    assert many.columns == tuple(f"{number} (forward)" for number in range(5))
