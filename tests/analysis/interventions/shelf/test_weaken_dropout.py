import numpy as np
import pytest
import torch
from torch import nn

from analysis.facts import Effect
from analysis.graph.dropout import find_dropout
from tests.analysis.graph.dropping import dropping
from tests.analysis.interventions.builders import applied, outputs, refused
from tests.gallery import export_for_training, npz, seeded

X = npz(x=np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32))


@pytest.mark.parametrize("opset", [10, 13])
def test_every_stronger_dropout_is_set_to_a_tenth_and_weaker_ones_are_left(opset: int) -> None:
    recipe = applied("weak_dropout", dropping(opset, [0.8, 0.05, 0.3]), X)
    assert [ratio for _, ratio in find_dropout(recipe.model)] == pytest.approx([0.1, 0.05, 0.1])
    assert recipe.effect is Effect.PRESERVES_OUTPUT
    assert (recipe.words, recipe.cost) == ("weaken Dropout from 0.8 to 0.1", "2 nodes changed")


def test_the_network_computes_in_use_what_it_did() -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.7), nn.Linear(8, 2)))
    model = export_for_training(module, torch.zeros(2, 3))
    x = np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32)
    expected = module.eval()(torch.from_numpy(x)).detach()
    torch.testing.assert_close(outputs("weak_dropout", model, npz(x=x)), expected)


def test_it_says_where_there_is_nothing_to_weaken() -> None:
    assert "no Dropout" in refused("weak_dropout", dropping(13, [0.1]), X)
