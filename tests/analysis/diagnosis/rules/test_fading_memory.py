from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.policy import policy
from analysis.options import AnalysisOptions
from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, measurement
from tests.analysis.diagnosis.rules.patients import PROFILE, remembering, severity

WARNING, ERROR, INFO = Severity.WARNING, Severity.ERROR, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (remembering(memory_decades=-4.0), ERROR),
        ({**remembering(memory_decades=-4.0), "probe": LEARNS}, WARNING),
        (remembering(memory_decades=-2.5), WARNING),
        (remembering(), None),
        (remembering(memory_decades=None, growth_decades=-6.0, horizon_steps=8), INFO),
    ],
)
def test_a_memory_that_fades_is_a_warning_and_then_an_error(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH401", measurement(**changes)) is expected


@pytest.mark.parametrize(("direction", "expected"), [("forward", None), ("reverse", Severity.ERROR)])
def test_a_peak_further_back_than_the_informative_step_is_no_fading_memory(
    direction: str, expected: Severity | None
) -> None:
    """What a chain reads last it has not lost, however much the gradient grows behind it."""
    growing = tuple(float(6 - step) for step in range(10))
    chain = replace(
        PROFILE, direction=direction, gradient_log10=growing, informative_step=8, memory_decades=growing[8] - growing[0]
    )
    assert severity("GH401", measurement(through_time=(chain,), recurrent=True)) is expected


def test_a_required_horizon_that_is_not_reached_is_an_error_even_where_the_network_learns() -> None:
    patient = measurement(**remembering(horizon_steps=8, memory_decades=None), probe=LEARNS)
    chosen = policy(AnalysisOptions(required_horizon=20))
    found = {finding.rule: finding.severity for finding in diagnose(patient, chosen)}
    assert found["GH401"] is Severity.ERROR
    assert "GH401" not in {finding.rule for finding in diagnose(patient, policy(AnalysisOptions(required_horizon=5)))}
