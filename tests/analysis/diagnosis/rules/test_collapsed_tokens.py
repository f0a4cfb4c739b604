import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import evidence, found, severity

WARNING, INFO = Severity.WARNING, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(tokens_decades=-14.0)}, WARNING),
        ({"flow": flow(tokens_decades=-14.0), "probe": LEARNS}, INFO),
        ({"flow": flow(tokens_decades=-12.0)}, None),
        ({"flow": flow(tokens_decades=-9.0)}, None),
    ],
)
def test_tokens_that_are_all_alike_are_a_warning(changes: dict[str, object], expected: Severity | None) -> None:
    assert severity("GH205", measurement(**changes)) is expected


def test_the_share_stands_beside_its_limit() -> None:
    finding = found("GH205", measurement(flow=flow(tokens_decades=-14.5)))
    assert evidence(finding) == {"tokens_decades": (-14.5, -12, 2.5)}
