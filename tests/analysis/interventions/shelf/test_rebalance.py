import numpy as np
import pytest

from analysis.experiment.replay import draw
from analysis.facts import Effect
from analysis.measure.passes import measure
from analysis.model import check_model
from analysis.model.onnx_tools import assemble_proto
from tests.analysis.experiment.experiments import experiment
from tests.analysis.interventions.builders import applied, composed, refused
from tests.gallery import he, mlp, vectors, xavier


def lopsided() -> bytes:
    model = check_model(mlp(5, "Relu", he()))
    arrays = {name: np.array(model.weights[name]) for name in model.weights}
    arrays["w1"] *= 1e3
    arrays["b1"] *= 1e3
    arrays["w2"] *= 1e-3
    return assemble_proto(model.proto, arrays).SerializeToString()


def test_ratios_of_gradient_to_weight_become_equal_and_the_function_stays() -> None:
    recipe, subject = composed("rebalanced", lopsided(), vectors())
    assert recipe.effect is Effect.PRESERVES_OUTPUT
    before = experiment(lopsided(), vectors()).cells["baseline"].measurement
    draw(subject, recipe, 0)
    after = measure(subject, cotangents=(0,))
    assert before is not None
    assert after.loss.value == pytest.approx(before.loss.value, rel=1e-4)
    spreads = []
    for measurement in (before, after):
        leverage = np.array([each.leverage_log10 for each in measurement.stats])
        norm = np.log10([each.weight.norm for each in measurement.stats if each.weight is not None])
        spreads.append(np.ptp(leverage - 2 * norm))
    assert spreads[0] > 10
    assert spreads[1] < 0.1


def test_it_says_why_it_does_not_apply() -> None:
    assert "balanced" in refused("rebalanced", mlp(5, "Tanh", xavier()), vectors())
    assert applied("rebalanced", lopsided(), vectors()).draws
