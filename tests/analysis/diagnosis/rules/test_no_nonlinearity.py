import pytest

from analysis.diagnosis.causes import diagnose
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, measurement, probe, run
from tests.analysis.diagnosis.rules.patients import anatomy, evidence, fired, found, severity

INFO, ERROR = Severity.INFO, Severity.ERROR
LINEAR = anatomy(linear_layers=("layer-01", "layer-02", "layer-03"))
ADAM_ALONE = probe(run("sgd", 1.0), run("adam", 0.3))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"probe": FAILS}, ERROR), ({"probe": ADAM_ALONE}, INFO), ({"probe": LEARNS}, INFO), ({}, INFO)],
)
def test_one_linear_map_is_an_error_only_where_training_shows_that_it_does_not_do(
    changes: dict[str, object], expected: Severity
) -> None:
    assert severity("GH307", measurement(**LINEAR, **changes)) is expected


def test_the_layers_are_named_and_explain_that_nothing_is_learnt() -> None:
    patient = measurement(**LINEAR, probe=FAILS)
    finding = found("GH307", patient)
    assert finding.layers == ("layer-01", "layer-02", "layer-03")
    assert evidence(finding) == {"layers_of_one_linear_map": (3, 1, None)}
    assert {each.rule: each.caused_by for each in diagnose(patient)}["GH105"] == ("GH307",)


def test_a_single_layer_is_linear_regression_and_a_network_that_bends_has_none() -> None:
    assert fired("GH307", measurement(**anatomy(linear_layers=("layer-01",)), probe=FAILS)) is None
    assert fired("GH307", measurement(probe=FAILS)) is None
