import pytest

from analysis.facts import AttentionStats
from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, measurement
from tests.analysis.diagnosis.rules.patients import Numbers, evidence, found, severity

WARNING, INFO = Severity.WARNING, Severity.INFO


def attention(entropy: float = 0.9, deviation: float = 1.0) -> dict[str, object]:
    return {"attention": (AttentionStats(node="softmax", entropy_share=entropy, score_std=deviation, keys=12),)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (attention(entropy=0.1), WARNING),
        (attention(deviation=7.0), WARNING),
        ({**attention(entropy=0.1), "probe": LEARNS}, INFO),
        (attention(entropy=0.15, deviation=6.3), None),
        (attention(), None),
        ({}, None),
    ],
)
def test_a_sharp_attention_is_known_by_its_entropy_or_by_its_scores(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH207", measurement(**changes)) is expected


@pytest.mark.parametrize(
    ("entropies", "deviations", "shown"),
    [
        ((0.9, 0.015), (1.0, 6.0), {"entropy_share": (0.015, 0.15, 1)}),
        ((0.9, 0.2), (63.0, 1.0), {"score_std": (63, 6.3, 1)}),
        ((0.9, 0.015), (63.0, 1.0), {"entropy_share": (0.015, 0.15, 1), "score_std": (63, 6.3, 1)}),
    ],
)
def test_the_sharpest_attention_stands_beside_the_limits(
    entropies: tuple[float, ...], deviations: tuple[float, ...], shown: Numbers
) -> None:
    heads = zip(entropies, deviations, strict=True)
    several = tuple(each for entropy, deviation in heads for each in attention(entropy, deviation)["attention"])
    assert evidence(found("GH207", measurement(attention=several))) == shown
