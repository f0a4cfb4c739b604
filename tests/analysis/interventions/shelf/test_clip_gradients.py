import pytest

from analysis.facts import ClipKind, Effect
from tests.analysis.experiment.experiments import experiment
from tests.analysis.interventions.builders import applied, composed
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


def test_decay_says_how_much_and_shares_the_structure() -> None:
    recipe, subject = composed("decay", mlp(3, "Relu", he()))
    assert recipe.model is subject.model
    assert recipe.gradient_step.weight_decay == 0.01
    assert "0.01" in recipe.words


def test_clipping_and_decay_go_together() -> None:
    cells = experiment(mlp(3, "Relu", he()))
    found = applied("clip+decay", mlp(3, "Relu", he()))
    assert found.gradient_step.clip is not None
    assert found.gradient_step.weight_decay == 0.01
    assert cells.structures.unchanged.model.sha256 == found.model.sha256
