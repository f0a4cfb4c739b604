import pytest

from analysis.facts import ClipKind, Effect
from tests.analysis.interventions.builders import applied
from tests.gallery import he, mlp


@pytest.mark.parametrize(
    ("token", "kind", "limit"),
    [
        ("clip", ClipKind.GLOBAL_NORM, 1.0),
        ("clip_value", ClipKind.VALUE, 0.01),
        ("clip_adaptive", ClipKind.ADAPTIVE, 0.01),
    ],
)
def test_no_graph_and_no_weight_is_touched(token: str, kind: ClipKind, limit: float) -> None:
    recipe = applied(token, mlp(3, "Relu", he()))
    assert not recipe.draws
    assert recipe.effect is Effect.TRAINING_ONLY
    clip = recipe.gradient_step.clip
    assert clip is not None
    assert (clip.kind, clip.max_norm) == (kind, limit)
