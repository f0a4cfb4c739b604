import math
from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from tests.analysis.interventions.builders import composed, outputs, parsed, refused
from tests.gallery import INPUTS, export, mlp, npz, seeded, xavier

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
    assert "room enough" in refused("scaled_output", MODEL, npz(x=X, target=np.arange(64) % 3))
    assert "no numbers" in refused("scaled_output", MODEL, npz(x=X, target=np.full((64, 3), 7.0, np.float32)))


@pytest.mark.parametrize(
    ("end", "least", "most"),
    [(nn.Sigmoid, 0.0, 255.0), (nn.Tanh, 0.0, 255.0), (nn.ReLU, 20.0, math.inf), (nn.Identity, -math.inf, math.inf)],
)
def test_outputs_within_limits_reach_the_targets_and_no_further(
    end: Callable[[], nn.Module], least: float, most: float
) -> None:
    """The ends of a Sigmoid become the least and the most of what is asked for; the zero of a ReLU the least."""
    target = np.linspace(0 if math.isfinite(most) else 20, 255, 64, dtype=np.float32)[:, None]
    batch = npz(x=1e4 * np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32), target=target)
    model = export(seeded(lambda: nn.Sequential(nn.Linear(8, 1), end())), torch.zeros(2, 8))
    far, (_, subject) = outputs("scaled_output", model, batch), composed("scaled_output", model, batch)
    if math.isfinite(least):
        assert far.min() == pytest.approx(least, abs=1e-3)
    if math.isfinite(most):
        assert far.max() == pytest.approx(most, abs=1e-3)
    assert sorted(subject.converted.initializers) == ["0.bias", "0.weight"], "what is undone trains with nothing"


def test_what_is_undone_is_told_with_its_numbers() -> None:
    x, target = np.ones((64, 8), np.float32), np.linspace(10, 210, 64, dtype=np.float32)[:, None]
    model = export(seeded(lambda: nn.Sequential(nn.Linear(8, 1), nn.Tanh())), torch.zeros(2, 8))
    recipe, _ = composed("scaled_output", model, npz(x=x, target=target))
    undone = "train on (target - 110) / 100, and undo it behind the output"
    assert recipe.words == f"bring the targets within the limits of the outputs: {undone}"


COSINES = parsed(
    "h = MatMul(x, A) l = ReduceL2<axes=[1], keepdims=1>(h) u = Div(h, l) m = ReduceL2<axes=[0], keepdims=1>(C) "
    "c = Div(C, m) y = MatMul(u, c)",
    {"A": (8, 8), "C": (8, 4)},
)


def test_class_scores_that_lie_too_near_get_ten_times_the_room_that_a_tenth_of_chance_takes() -> None:
    batch = npz(x=X[:, :8], target=np.arange(64) % 4)
    weights = {name: torch.tensor(COSINES.weights[name]) for name in ("A", "C")}
    directions = nn.functional.normalize(torch.from_numpy(X[:, :8]) @ weights["A"])
    before = directions @ nn.functional.normalize(weights["C"], dim=0)
    apart = np.log(3 / np.expm1(0.1 * np.log(4)))
    assert np.log1p(3 * np.exp(-apart)) == pytest.approx(0.1 * np.log(4))
    torch.testing.assert_close(
        outputs("scaled_output", COSINES, batch), before * (10 * apart / 2), rtol=1e-3, atol=1e-3
    )
    assert "temperature" in composed("scaled_output", COSINES, batch)[0].words
