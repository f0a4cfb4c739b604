import pytest

from analysis.facts import AttentionStats
from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import severity

WARNING = Severity.WARNING


def attention(entropy: float = 0.9, deviation: float = 1.0) -> dict[str, object]:
    return {"attention": (AttentionStats(node="softmax", entropy_share=entropy, score_std=deviation, keys=12),)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (attention(entropy=0.1), WARNING),
        (attention(deviation=7.0), WARNING),
        (attention(), None),
    ],
)
def test_a_sharp_attention_is_known_by_its_entropy_or_by_its_scores(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH207", measurement(**changes)) is expected
