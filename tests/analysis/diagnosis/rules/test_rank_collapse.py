from dataclasses import replace

import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, measurement, stats, with_activation
from tests.analysis.diagnosis.rules.patients import changed, evidence, found, severity

WARNING, INFO = Severity.WARNING, Severity.INFO


def ranked(collapse: float | None, **changes: object) -> dict[str, object]:
    """One direction of 64, samples this different."""
    one = with_activation(1, **{"effective_rank": 1.1, "rank_limit": 64, "collapse_log10": collapse, **changes})
    return {"stats": (one, stats(2), stats(3))}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (ranked(-3.0), WARNING),
        ({**ranked(-3.0), "probe": LEARNS}, INFO),
        ({**ranked(-3.0), **changed(1, on_trunk=False)}, None),
        ({**ranked(-3.0), "batch": replace(measurement().batch, constant_inputs=True)}, None),
        (ranked(-2.0), None),
        (ranked(-1.0), None),
        (ranked(None), None),
        (ranked(-3.0, effective_rank=None), None),
        (ranked(-3.0, effective_rank=2.0, rank_limit=50), None),  # 1 + 2 % of 50
        (ranked(-3.0, effective_rank=1.99, rank_limit=50), WARNING),
        (ranked(-3.0, effective_rank=1.01, rank_limit=None), None),
        ({"stats": (stats(1, activation=None), stats(2), stats(3))}, None),
    ],
)
def test_one_direction_counts_where_samples_are_alike(changes: dict[str, object], expected: Severity | None) -> None:
    assert severity("GH204", measurement(**changes)) is expected


def test_the_least_rank_stands_beside_two_percent_of_what_it_could_be() -> None:
    alike = {"collapse_log10": -3.0, "rank_limit": 50}
    narrow = [with_activation(place, effective_rank=rank, **alike) for place, rank in ((1, 1.5), (2, 1.0), (3, 9.0))]
    finding = found("GH204", measurement(stats=tuple(narrow)))
    assert evidence(finding) == {"effective_rank": (1, 2, 0.301029996)}  # log10(2)
    assert finding.layers == ("layer-01", "layer-02")
