"""The map of networks whose shape is known."""

import math
from dataclasses import replace

from analysis.facts import ActivationGradient
from analysis.render._map import MOST_OPEN, Map, map_of
from analysis.report import Report
from tests.analysis.diagnosis.builders import FAILS, flow, layer, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import by_hand, page_of, profiled

END = ActivationGradient(rms=0.1, norm=1.0)


def residual() -> Report:
    """stem, a block of two layers, a block of one, head."""
    layers = tuple(replace(layer(each), on_trunk=each in {1, 5}) for each in range(1, 6))
    stats = [*profiled(0.1, 1e-9, 0.1, 0.1, 0.1)]
    stats[2], stats[3] = replace(stats[2], block_gradient=END), replace(stats[3], block_gradient=END)
    return report_of(measurement(layers=layers, stats=tuple(stats)))


def drawn(report: Report, most: int = 99) -> Map:
    found = map_of(report, most)
    assert found is not None
    return found


def test_blocks_are_frames_that_end_where_the_skip_path_comes_back() -> None:
    found = drawn(residual())
    shape = [([stop.layer.id for stop in each.stops], each.beside, each.closed) for each in found.stretches]
    assert shape == [
        (["layer-01"], False, False),
        (["layer-02", "layer-03"], True, True),
        (["layer-04"], True, True),
        (["layer-05"], False, False),
    ]


def test_a_plain_network_is_one_stretch_coloured_by_what_reaches_each_layer() -> None:
    (stretch,) = drawn(by_hand()).stretches
    assert [stop.shade for stop in stretch.stops] == ["ill-2", "ill-1", "ok"]
    assert [stop.decades for stop in stretch.stops] == [-6.0, -3.0, 0.0]


def test_layers_that_the_cause_names_are_marked() -> None:
    report = by_hand()
    assert report.cause is not None
    named = report.model_copy(update={"cause": report.cause.model_copy(update={"layers": ("layer-02",)})})
    (stretch,) = drawn(named).stretches
    assert [stop.named for stop in stretch.stops] == [False, True, False]
    (clean,) = drawn(report.model_copy(update={"cause": None})).stretches
    assert not any(stop.named for stop in clean.stops)


def test_a_long_map_is_folded_and_cut() -> None:
    count = MOST_OPEN + 1
    layers = tuple(replace(layer(each), id=f"layer-{each:04d}") for each in range(1, count + 1))
    stats = tuple(replace(each, id=own.id) for each, own in zip(profiled(*[0.1] * count), layers, strict=True))
    report = report_of(measurement(layers=layers, stats=stats))
    assert drawn(report).folded
    assert sum(len(each.stops) for each in drawn(report, 10).stretches) == 10
    assert not drawn(residual()).folded
    assert not drawn(report.model_copy(update={"layers": layers[:MOST_OPEN]})).folded


def test_without_gradients_there_is_no_map_and_findings_lead_to_the_table() -> None:
    silent = report_of(measurement(stats=profiled(None, None, None), flow=flow(-math.inf), probe=FAILS))
    assert map_of(silent, 99) is None
    assert not page_of(silent).all("section", id="network")


def test_each_layer_on_the_map_leads_to_its_row() -> None:
    page = page_of(by_hand())
    (section,) = page.all("section", id="network")
    (box,) = section.all("div", **{"class": "map"})
    assert [(each.attributes["id"], each.attributes["href"]) for each in box.all("a")] == [
        (f"map:layer-0{each}", f"#layer:layer-0{each}") for each in (1, 2, 3)
    ]
