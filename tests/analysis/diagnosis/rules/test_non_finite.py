from analysis.facts import NonFinite
from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement, stats, with_activation
from tests.analysis.diagnosis.rules.patients import fired


def test_non_finite_values_are_an_error() -> None:
    where = NonFinite(stage="forward", node="log", value="l")
    finding = fired(
        "GH106", measurement(non_finite=where, stats=(stats(1), with_activation(2, non_finite=3), stats(3)))
    )
    assert finding is not None
    assert finding.severity is Severity.ERROR
    assert finding.layers == ("layer-02",)
