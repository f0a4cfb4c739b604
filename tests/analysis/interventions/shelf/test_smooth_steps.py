"""Steps that no gradient comes through: replaced by what they are the limit of, whoever stands in front learns."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from analysis.model import CheckedModel, check_model
from tests.analysis.graph.subjects import drawn, written
from tests.analysis.interventions.builders import composed, outputs, refused
from tests.gallery import npz

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((24, 4)).astype(np.float32)
BATCH = npz(x=X, target=RANDOM.integers(0, 4, 24))
LIMIT = np.array(0.25, np.float32)


def model_of(steps: str) -> CheckedModel:
    text = f"h = MatMul(x, W) {steps} y = MatMul(z, V)"
    weights = {"W": drawn(4, 4), "V": drawn(4, 4, seed=1), "c": LIMIT}
    return check_model(written("(float[N,4] x) => (float[N,4] y)", text, **weights))


SIGMOID = torch.sigmoid


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("z = Sign(h)", torch.tanh),
        ("z = Round(h)", lambda h: h),
        ("z = Floor(h)", lambda h: h),
        ("z = Ceil(h)", lambda h: h),
        ("b = Greater(h, c) z = Cast<to=1>(b)", lambda h: SIGMOID(h - 0.25)),
        ("b = GreaterOrEqual(h, c) z = Cast<to=1>(b)", lambda h: SIGMOID(h - 0.25)),
        ("b = Less(h, c) z = Cast<to=1>(b)", lambda h: SIGMOID(0.25 - h)),
        ("b = LessOrEqual(h, c) z = Cast<to=1>(b)", lambda h: SIGMOID(0.25 - h)),
        ("b = Greater(c, h) z = Cast<to=1>(b)", lambda h: SIGMOID(0.25 - h)),
        ("s = Sign(h) t = Add(s, c) z = Round(t)", lambda h: torch.tanh(h) + 0.25),
    ],
)
def test_a_step_becomes_what_it_is_the_limit_of(steps: str, expected: Callable[[torch.Tensor], torch.Tensor]) -> None:
    model = model_of(steps)
    wanted = expected(torch.from_numpy(X @ model.weights["W"])) @ torch.tensor(model.weights["V"])
    torch.testing.assert_close(outputs("smoothed", model, BATCH), wanted, rtol=1e-5, atol=1e-5)


def test_what_stands_in_front_learns() -> None:
    recipe, subject = composed("smoothed", model_of("b = Greater(h, c) z = Cast<to=1>(b)"), BATCH)
    inputs, targets = subject.tensors()
    subject.objective.loss(subject.converted.eval()(*inputs)[0], targets).backward()
    gradient = subject.converted.initializers["W"].grad
    assert gradient is not None
    assert gradient.abs().min() > 0
    assert recipe.words == "replace steps that have no slope (1 threshold) by smooth ones"
    assert recipe.cost == "1 nodes changed"


@pytest.mark.parametrize(
    "steps",
    [
        "z = Relu(h)",
        "s = Sign(x) z = Add(h, s)",  # of the data alone
        "s = Sign(h) z = Mul(h, s)",  # a slope leads around it
        "b = Greater(h, c) i = Cast<to=7>(b) z = Cast<to=1>(i)",  # counted, not weighed
    ],
)
def test_other_steps_stay(steps: str) -> None:
    assert "no step keeps the gradient" in refused("smoothed", model_of(steps), BATCH)


def test_an_old_opset_is_refused() -> None:
    old = model_of("z = Floor(h)")
    old.proto.opset_import[0].version = 6
    assert refused("smoothed", old, BATCH) == "opset 6 is older than 7"
