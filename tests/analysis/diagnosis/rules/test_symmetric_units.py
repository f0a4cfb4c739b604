import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, flow, measurement
from tests.analysis.diagnosis.rules.patients import severity, weighted

WARNING, ERROR = Severity.WARNING, Severity.ERROR


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (weighted(duplicate_fraction=1.0), ERROR),
        ({**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=-4.0)}, ERROR),
        ({**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=0.5)}, WARNING),
        ({**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=-4.0, input_rms=20.0)}, WARNING),
        ({**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=0.5), "probe": FAILS}, ERROR),
        (weighted(duplicate_fraction=0.5), WARNING),
        (weighted(duplicate_fraction=0.1), None),
    ],
)
def test_equal_units_are_an_error_unless_random_cotangents_come_through(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH302", measurement(**changes)) is expected
