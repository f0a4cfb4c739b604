import torch

from tests.analysis.interventions.builders import applied, operators, refused
from tests.gallery import ResidualNetwork, export, images, mlp, seeded, xavier


def test_every_batch_norm_goes_and_the_rest_stays() -> None:
    model = export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16), keep_batch_norm=True)
    edited = operators(applied("no_batch_norm", model, images()).model)
    assert "BatchNormalization" not in edited
    assert edited.count("Conv") == 7
    assert edited.count("Add") == 3


def test_it_says_why_it_does_not_apply() -> None:
    assert "no BatchNormalization" in refused("no_batch_norm", mlp(3, "Tanh", xavier()))
