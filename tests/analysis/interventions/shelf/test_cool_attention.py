import numpy as np
import pytest
import torch

from analysis.graph.attention import find_product
from tests.analysis.experiment.experiments import experiment
from tests.analysis.interventions.builders import Bare, composed, refused
from tests.gallery import export, mlp, npz, seeded, xavier

X = np.random.default_rng(0).standard_normal((16, 6, 8)).astype(np.float32)


def hot() -> bytes:
    module = seeded(Bare)
    with torch.no_grad():
        module.query.weight *= 30  # type: ignore[union-attr, operator]
    return export(module, torch.zeros(2, 6, 8))


def test_scores_have_deviation_1_behind_the_temperature() -> None:
    before = experiment(hot(), npz(x=X)).cells["baseline"].measurement
    assert before is not None
    assert before.attention[0].score_std > 2
    recipe, subject = composed("temperature", hot(), npz(x=X))
    product = find_product(recipe.model, subject.sources, subject.attention[0])
    assert product is not None
    softmax = next(node for node in recipe.model.nodes if node.op_type == "Softmax")
    seen = list[torch.Tensor]()
    inputs, _ = subject.tensors()
    with torch.no_grad():
        subject.converted.observe(inputs, {softmax.input[0]: [seen.append]})
    centred = seen[0] - seen[0].mean(-1, keepdim=True)
    assert centred.std(correction=0).item() == pytest.approx(1.0, rel=0.25)
    assert "temperature of" in recipe.words


def test_it_says_why_it_does_not_apply() -> None:
    assert "no attention" in refused("temperature", mlp(3, "Tanh", xavier()))
    cool = export(seeded(Bare), torch.zeros(2, 6, 8))
    assert "no scores spread" in refused("temperature", cool, npz(x=X))
