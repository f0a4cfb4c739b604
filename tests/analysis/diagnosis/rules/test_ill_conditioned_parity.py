import pytest

from analysis.facts import Anatomy, Parity, ParityStatus
from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, measurement
from tests.analysis.diagnosis.rules.patients import Numbers, evidence, found, severity

WARNING, INFO = Severity.WARNING, Severity.INFO


def differing(own_relative_error: float) -> Parity:
    """Torch differs from onnxruntime by a tenth, and its float32 from its float64 by this."""
    return Parity(
        reference="",
        status=ParityStatus.ILL_CONDITIONED,
        max_relative_error=0.1,
        own_relative_error=own_relative_error,
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"parity": Parity(reference="", status=ParityStatus.ILL_CONDITIONED, max_relative_error=0.1)}, WARNING),
        ({"parity": Parity(reference="", status=ParityStatus.ILL_CONDITIONED), "probe": LEARNS}, INFO),
        ({"parity": Parity(reference="", status=ParityStatus.EQUAL, max_relative_error=0.1)}, None),
        ({"parity": Parity(reference="", status=ParityStatus.UNAVAILABLE)}, None),
        ({"parity": differing(own_relative_error=1e-4)}, None),
        ({"parity": differing(own_relative_error=1.1e-4)}, WARNING),
        ({"parity": differing(own_relative_error=0.1), "anatomy": Anatomy(straight_through=("/Quantize",))}, INFO),
        ({"parity": None}, None),
    ],
)
def test_rounding_that_changes_the_outputs_is_a_warning(changes: dict[str, object], expected: Severity | None) -> None:
    assert severity("GH908", measurement(**changes)) is expected


@pytest.mark.parametrize(("error", "shown"), [(0.1, {"max_relative_error": (0.1, 1e-4, 3)}), (None, {})])
def test_the_error_stands_beside_what_counts_as_equal(error: float | None, shown: Numbers) -> None:
    parity = Parity(reference="", status=ParityStatus.ILL_CONDITIONED, max_relative_error=error)
    assert evidence(found("GH908", measurement(parity=parity))) == shown
