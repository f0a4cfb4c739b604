from dataclasses import replace

import pytest

from analysis.facts import ProbeKind, Provenance
from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement, probe, run
from tests.analysis.diagnosis.rules.patients import Numbers, changed, evidence, found, owning, severity

WARNING, INFO = Severity.WARNING, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(input_rms=148.0)}, WARNING),
        ({"flow": flow(input_rms=0.001)}, WARNING),
        ({"flow": flow(input_mean_over_std=4.0)}, WARNING),
        ({"flow": flow(input_rms=148.0), "probe": LEARNS}, INFO),
        ({"flow": flow(input_rms=148.0), "probe": probe(replace(run("sgd", 0.4), learning_rate=1e-6))}, WARNING),
        ({"flow": flow(input_rms=148.0), "normalized": True}, None),
        ({"flow": flow(input_rms=148.0), "batch": replace(measurement().batch, constant_inputs=True)}, None),
        ({"flow": flow(input_rms=5.0)}, None),
        ({"flow": flow(input_rms=0.2)}, None),
        ({"flow": flow(input_rms=0.0)}, None),  # a scale that nothing tells of
        ({"flow": flow(input_rms=None)}, None),
        ({"flow": flow(input_mean_over_std=3.0)}, None),
    ],
)
def test_inputs_off_the_unit_scale_are_a_warning_where_nothing_normalises_them(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH305", measurement(**changes)) is expected


def test_the_scale_of_inputs_that_were_made_up_is_a_remark() -> None:
    invented = replace(measurement().batch, provenance=Provenance.SYNTHETIC)
    assert severity("GH305", measurement(flow=flow(input_rms=148.0), batch=invented)) is Severity.INFO


@pytest.mark.parametrize(
    ("entering", "shown"),
    [
        ({"input_rms": 50.0}, {"input_rms": (50, 5, 1)}),
        ({"input_rms": 0.02}, {"input_rms": (0.02, 0.2, 1)}),
        ({"input_mean_over_std": 30.0}, {"input_mean_over_std": (30, 3, 1)}),
        (
            {"input_rms": 50.0, "input_mean_over_std": 30.0},
            {"input_rms": (50, 5, 1), "input_mean_over_std": (30, 3, 1)},
        ),
    ],
)
def test_what_enters_stands_beside_its_limit_and_the_first_layer_is_named(
    entering: dict[str, float], shown: Numbers
) -> None:
    finding = found("GH305", measurement(flow=flow(**entering)))
    assert evidence(finding) == shown
    assert finding.layers == ("layer-01",)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (owning(1, embedding="table"), None),
        (owning(2, embedding="table"), WARNING),
        ({"layers": (replace(measurement().layers[0], parameters={}), *owning(2, embedding="t")["layers"][1:])}, None),
        (changed(1, parameters={}), WARNING),
        ({"layers": (), "stats": ()}, WARNING),
    ],
)
def test_a_network_whose_first_matrix_is_a_table_has_no_scale_of_inputs(
    network: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH305", measurement(flow=flow(input_rms=148.0), **network)) is expected


MARKED = {"input_far_decades": 4.0, "input_rms": 3000.0}
BY_HEART = replace(LEARNS, kind=ProbeKind.MEMORIZING)
OWN = replace(LEARNS, kind=ProbeKind.MEMORIZING, runs=(*LEARNS.runs, replace(run("sgd", 0.3), own=True)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(**MARKED, input_far_share=0.05)}, WARNING),
        ({"flow": flow(**MARKED, input_far_share=0.04)}, INFO),
        ({"flow": flow(**MARKED, input_far_share=0.5), "normalized": True}, WARNING),
        ({"flow": flow(**MARKED, input_far_share=0.5), "probe": BY_HEART}, WARNING),
        ({"flow": flow(**MARKED, input_far_share=0.5), "probe": LEARNS}, INFO),
        ({"flow": flow(**MARKED, input_far_share=0.5), "probe": OWN}, INFO),
        (
            {
                "flow": flow(**MARKED, input_far_share=0.5),
                "batch": replace(measurement().batch, provenance=Provenance.SYNTHETIC),
            },
            INFO,
        ),
    ],
)
def test_marks_among_the_inputs_are_a_warning_unless_something_learns_beside_them(
    changes: dict[str, object], expected: Severity
) -> None:
    finding = found("GH305", measurement(**changes))
    assert finding.severity is expected
    assert evidence(finding) == {"input_far_decades": (4, 3, 1)}
