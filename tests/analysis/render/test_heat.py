"""Strips of colour, read back cell by cell."""

import math
import re
from dataclasses import replace

from analysis.facts import Status
from analysis.render._heat import MOST_CELLS, MOST_STRIPS, Heat, Strip, heat_of
from analysis.report import Report
from tests.analysis.diagnosis.builders import FAILS, flow, layer, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import trained, trial
from tests.analysis.render.pages import by_hand, page_of, profiled, rows


def heat(report: Report) -> Heat:
    found = heat_of(report)
    assert found is not None
    return found


def cells(strip: Strip, count: int) -> list[str]:
    """The shade of every cell."""
    found = ["none"] * count
    for kind, path in strip.paths:
        for begin, end in re.findall(r"M(\d+) 0H(\d+)V1H\d+Z", path):
            found[int(begin) : int(end)] = [kind] * (int(end) - int(begin))
    return found


def test_a_strip_is_the_gradient_of_each_layer_from_the_inputs_on() -> None:
    first, second, *_ = heat(by_hand()).strips
    assert (first.variant.id, cells(first, 3)) == ("baseline", ["ill-2", "ill-1", "ok"])
    assert (second.variant.id, cells(second, 3)) == ("relu+batch_norm+he", ["ok", "ok", "ok"])
    assert first.words == "2 of 3 layers outside of the band"


def test_a_strip_says_how_many_layers_are_ill_whatever_their_illness() -> None:
    """Of even, grey, not measured, lost, broken, vanishing and exploding the last four."""
    count = 7
    layers = tuple(map(layer, range(1, count + 1)))
    gradients = profiled(0.1, 0.001, None, 0.0, math.inf, 1e-6, 1e3)
    mixed = measurement(layers=layers, stats=gradients, flow=flow(-6.0, logits_gradient_rms=0.1), probe=FAILS)
    strip = heat(report_of(mixed, [trial("a", mixed)])).strips[0]
    assert cells(strip, count) == ["ok", "grey", "none", "lost", "broken", "ill-2", "ill-2"]
    assert strip.words == "4 of 7 layers outside of the band"


def test_remedies_come_first_and_what_has_no_layers_of_its_own_is_left_out() -> None:
    patient = measurement(flow=flow(-6.0), probe=FAILS, stats=profiled(1e-7, 1e-4, 0.1))
    even = measurement(stats=profiled(0.1, 0.1, 0.1))
    tried = [trial(name, even) for name in "abc"] + [trial("d", replace(even, probe=trained(0.2)))]
    report = report_of(patient, tried)
    assert [each.variant.id for each in heat(report).strips] == ["baseline", "d", "a", "b", "c"]
    changed = tuple(
        each.model_copy(update={"a": {"same_as": "b"}, "b": {"status": Status.DERIVED}}.get(each.id, {}))
        for each in report.variants
    )
    left = heat(report.model_copy(update={"variants": changed}))
    assert [each.variant.id for each in left.strips] == ["baseline", "d", "c"]
    assert heat_of(report_of(patient)) is None


def test_many_layers_share_cells_and_the_worst_gives_its_colour() -> None:
    count = 1000
    layers = tuple(replace(layer(each), id=f"layer-{each:04d}") for each in range(1, count + 1))
    gradients = [0.1] * count
    gradients[500] = 1e-12
    stats = tuple(replace(each, id=own.id) for each, own in zip(profiled(*gradients), layers, strict=True))
    deep = measurement(layers=layers, stats=stats, flow=flow(-6.0), probe=FAILS)
    found = heat(report_of(deep, [trial(f"v{each:02d}", deep) for each in range(30)]))
    assert (found.cells, found.layers, found.left_out) == (MOST_CELLS, 1000, 31 - MOST_STRIPS)
    shades = cells(found.strips[0], MOST_CELLS)
    assert [place for place, each in enumerate(shades) if each != "ok"] == [60]  # 500 / 1000 of 120
    assert shades[60] == "ill-3"


def test_the_number_beside_a_strip_is_the_flow_of_the_report() -> None:
    report = by_hand()
    table = rows(page_of(report), "heat-table")
    known = {each.id: each.measurement for each in report.variants}
    for name, _, number in table:
        measured = known[name.text]
        assert measured is not None
        assert measured.gradient_flow is not None
        assert number.value == measured.gradient_flow.decades_rms
