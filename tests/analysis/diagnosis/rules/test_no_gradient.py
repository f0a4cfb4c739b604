from dataclasses import replace

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement, stats
from tests.analysis.diagnosis.rules.patients import fired, severity

SILENT = stats(2, weight_gradient=None, leverage_log10=None)


def test_a_weight_without_gradient_is_an_error_on_the_trunk_and_a_warning_in_a_branch() -> None:
    patient = measurement(stats=(stats(1), SILENT, stats(3)))
    assert severity("GH601", patient) is Severity.ERROR
    first, second, third = patient.layers
    branch = replace(patient, layers=(first, replace(second, on_trunk=False), third))
    assert severity("GH601", branch) is Severity.WARNING


def test_a_weight_with_a_reason_to_get_no_gradient_is_not_counted() -> None:
    unused = replace(SILENT, leads_to_loss=False)
    assert fired("GH601", measurement(stats=(stats(1), unused, stats(3)))) is None
    blocked = replace(SILENT, blocked_by="layer-03")
    assert fired("GH601", measurement(stats=(stats(1), blocked, stats(3)))) is None
    converged = replace(SILENT, leverage_log10=0.3)
    assert fired("GH601", measurement(stats=(stats(1), converged, stats(3)))) is None
