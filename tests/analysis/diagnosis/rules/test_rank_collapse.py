import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement, stats, with_activation
from tests.analysis.diagnosis.rules.patients import severity

WARNING = Severity.WARNING


def ranked(collapse: float) -> dict[str, object]:
    """One direction of 64, samples this different."""
    one = with_activation(1, effective_rank=1.1, rank_limit=64, collapse_log10=collapse)
    return {"stats": (one, stats(2), stats(3))}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (ranked(-3.0), WARNING),
        (ranked(-1.0), None),
    ],
)
def test_one_direction_counts_where_samples_are_alike(changes: dict[str, object], expected: Severity | None) -> None:
    assert severity("GH204", measurement(**changes)) is expected
