from dataclasses import replace

import pytest

from analysis.facts import Confidence
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, measurement, stats, with_activation
from tests.analysis.diagnosis.rules.patients import fired, severity


@pytest.mark.parametrize(
    ("dead", "probed", "expected"),
    [
        (0.6, FAILS, Severity.ERROR),
        (0.6, LEARNS, Severity.WARNING),
        (0.6, None, Severity.WARNING),
        (1.0, None, Severity.ERROR),
        (0.3, FAILS, Severity.WARNING),
        (0.15, FAILS, None),
    ],
)
def test_dead_units_need_a_second_witness_for_an_error(dead: float, probed: object, expected: Severity | None) -> None:
    patient = measurement(stats=(stats(1), with_activation(2, dead_fraction=dead), stats(3)), probe=probed)
    assert severity("GH201", patient) is expected


def test_a_dead_branch_is_a_warning_until_a_probe_does_not_learn() -> None:
    sick = (stats(1), with_activation(2, dead_fraction=1.0), stats(3))
    first, second, *others = measurement().layers
    layers = (first, replace(second, on_trunk=False), *others)
    assert severity("GH201", measurement(stats=sick, layers=layers)) is Severity.WARNING
    assert severity("GH201", measurement(stats=sick, layers=layers, probe=FAILS)) is Severity.ERROR


def test_few_observations_make_dead_units_less_sure_and_equal_samples_say_nothing() -> None:
    some = (stats(1), with_activation(2, dead_fraction=1.0, observations=50), stats(3))
    finding = fired("GH201", measurement(stats=some))
    assert finding is not None
    assert finding.confidence is Confidence.MEDIUM
    constant = measurement().batch
    same = measurement(
        stats=some, batch=type(constant)(sha256="", size=50, provenance=constant.provenance, constant_inputs=True)
    )
    assert fired("GH201", same) is None
