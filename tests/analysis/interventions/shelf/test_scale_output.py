import numpy as np
import onnxruntime
import pytest
import torch

from tests.analysis.interventions.builders import composed, outputs, refused
from tests.gallery import INPUTS, mlp, npz, xavier

X = np.random.default_rng(0).standard_normal((64, INPUTS)).astype(np.float32)
Y = np.random.default_rng(1).standard_normal((64, 3))
MODEL = mlp(0, "Tanh", xavier(), sizes=[INPUTS, 16, 3])


def test_the_output_becomes_mean_and_deviation_of_the_targets_times_what_it_was() -> None:
    target = (5000 + 300 * Y).astype(np.float32)
    batch = npz(x=X, target=target)
    (before,) = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"]).run(None, {"x": X})
    deviation = np.sqrt(target.astype(np.float64).var(0).mean())
    expected = torch.from_numpy((target.mean() + deviation * before).astype(np.float32))
    torch.testing.assert_close(outputs("scaled_output", MODEL, batch), expected, rtol=1e-4, atol=1e-2)
    recipe, subject = composed("scaled_output", MODEL, batch)
    assert [spec.name for spec in recipe.model.outputs] == [subject.objective.head.value]
    assert subject.objective.unit == pytest.approx(deviation, rel=1.0)  # that of the outputs, now they are scaled


def test_it_says_why_it_does_not_apply() -> None:
    standard = (Y - Y.mean()) / np.sqrt(Y.var(0).mean())
    assert "already" in refused("scaled_output", MODEL, npz(x=X, target=standard.astype(np.float32)))
    assert "no numbers" in refused("scaled_output", MODEL, npz(x=X, target=np.arange(64) % 3))
    assert "no numbers" in refused("scaled_output", MODEL, npz(x=X, target=np.full((64, 3), 7.0, np.float32)))
