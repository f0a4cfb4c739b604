"""The figures of the page, read off the tables beside them."""

import math
import re
from dataclasses import replace

import pytest

from analysis.options import parse_options
from analysis.render.html import render_html
from analysis.report import Report
from tests.analysis.diagnosis.builders import FAILS, flow, layer, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import trained, trial
from tests.analysis.render.pages import RECURRENT, VANISHING, Element, page_of, profiled, rows
from tests.analysis.report.analyses import sick_report


@pytest.fixture(scope="module")
def report() -> Report:
    return sick_report()


@pytest.fixture(scope="module")
def page(report: Report) -> Element:
    return page_of(report)


def test_flow_is_drawn_relative_to_the_logits_and_its_ends_are_the_reported_decades(
    report: Report, page: Element
) -> None:
    table = rows(page, "flow-numbers")
    columns = [each.text for each in page.all("table", id="flow-numbers")[0].all("th", scope="col")][1:]
    assert columns == ["baseline", *(each.variant for each in report.remedies[:4])]
    by_id = {variant.id: variant for variant in report.variants}
    for column, name in enumerate(columns, 1):
        measured = by_id[name].measurement
        assert measured is not None
        assert measured.gradient_flow is not None
        assert table[0][column].value == pytest.approx(measured.gradient_flow.decades_rms)
        assert table[-1][column].value == pytest.approx(0.0, abs=1e-6)


def test_layers_that_a_treatment_added_have_no_place_on_the_axis(report: Report, page: Element) -> None:
    (treated,) = [each for each in report.variants if each.id == "relu+batch_norm+he"]
    own = [each for each in treated.layers or () if each.id not in treated.added_layers]
    reference = treated.measurement.logits_gradient_rms if treated.measurement else None
    assert reference is not None
    expected = [math.log10(each.activation_gradient.rms / reference) for each in own if each.activation_gradient]
    column = 2 + [each.variant for each in report.remedies].index(treated.id)
    assert [row[column].value for row in rows(page, "flow-numbers")] == pytest.approx(expected)


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
    assert [each.text for each in legend.all("bdi")] == ["baseline", "c", "d", "a"]
    assert legend.text.count("not proven") == 3


def test_a_treatment_without_gradients_is_not_in_the_drawing() -> None:
    patient = measurement(flow=VANISHING, probe=FAILS, stats=profiled(1e-8, 1e-4, 0.1))
    page = page_of(report_of(patient, [trial("he", measurement(probe=trained(0.2)))]))
    (legend,) = page.all("ul", **{"class": "legend"})
    assert [each.text for each in legend.all("bdi")] == ["baseline"]


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
    assert table[1][2].text == "-∞"
    assert table[2][2].text == "\N{EN DASH}"
    assert "through-time" not in render_html(report_of())
