"""Operators at the edge of where they have a value: guarded, they are finite there and the same elsewhere."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from analysis.interventions.shelf.guard_operators import HIDDEN, NEAR
from analysis.model import CheckedModel, check_model
from tests.analysis.graph.subjects import drawn, written
from tests.analysis.interventions.builders import applied, composed, outputs, refused
from tests.gallery import npz

RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(0.5, 2, (24, 4)).astype(np.float32)
X[0] = 0.0
LABELS = RANDOM.integers(0, 4, 24)


def model_of(steps: str, **tensors: np.ndarray) -> CheckedModel:
    text = f"h = MatMul(x, W) {steps} y = MatMul(z, V)"
    weights = {"W": np.abs(drawn(4, 4)), "V": drawn(4, 4, seed=1), **tensors}
    return check_model(written("(float[N,4] x) => (float[N,4] y)", text, **weights))


BATCH = npz(x=X, target=LABELS)
HALF = np.array(0.5, np.float32)
MASK = np.array([[-np.inf] * 4, *[[0.0] * 4] * 23], np.float32)
SOME = np.array([[-np.inf, 0.0, 0.0, 0.0]] * 24, np.float32)


@pytest.mark.parametrize(
    ("steps", "expected", "tensors"),
    [
        ("z = Log(h)", lambda h: torch.log(h + NEAR), {}),
        ("z = Sqrt(h)", lambda h: torch.sqrt(h + NEAR), {}),
        ("z = Pow(h, p)", lambda h: torch.sqrt(h + NEAR), {"p": HALF}),
        ("z = Reciprocal(h)", lambda h: 1 / torch.where(h.abs() < NEAR, NEAR, h), {}),
        ("z = Div(h, h)", torch.ones_like, {}),
        ("n = Neg(h) z = Div(h, n)", lambda h: h / torch.where(h.abs() < NEAR, NEAR, -h), {}),
        ("s = Add(h, m) z = Softmax<axis=1>(s)", lambda h: _masked(h, MASK), {"m": MASK}),
        ("c = Cos(h) z = Acos(c)", lambda h: _within_one(h.cos()).acos(), {}),
        ("c = Cos(h) z = Asin(c)", lambda h: _within_one(h.cos()).asin(), {}),
        ("c = Cos(h) z = Atanh(c)", lambda h: _within_one(h.cos()).atanh(), {}),
    ],
)
def test_it_is_finite_at_the_edge_and_the_same_elsewhere(
    steps: str, expected: Callable[[torch.Tensor], torch.Tensor], tensors: dict[str, np.ndarray]
) -> None:
    model = model_of(steps, **tensors)
    wanted = expected(torch.from_numpy(X @ model.weights["W"])) @ torch.tensor(model.weights["V"])
    torch.testing.assert_close(outputs("guarded", model, BATCH), wanted, rtol=1e-4, atol=1e-4)


def _within_one(cosines: torch.Tensor) -> torch.Tensor:
    return cosines.clamp(NEAR - 1, 1 - NEAR)


def _masked(h: torch.Tensor, mask: np.ndarray) -> torch.Tensor:
    return torch.softmax((h + torch.from_numpy(mask)).clamp_min(HIDDEN), 1)


@pytest.mark.parametrize(
    ("steps", "tensors"),
    [
        ("z = Log(h)", {}),
        ("z = Sqrt(h)", {}),
        ("c = Cos(h) z = Acos(c)", {}),
        ("c = Cos(h) z = Asin(c)", {}),
        ("c = Cos(h) z = Atanh(c)", {}),
        ("l = Mul(h, h) s = ReduceSum<keepdims=1>(l, a) r = Sqrt(s) z = Div(h, r)", {"a": np.array([1])}),
        ("s = Add(h, m) z = Softmax<axis=1>(s)", {"m": MASK}),
    ],
)
def test_behind_it_every_gradient_is_finite(steps: str, tensors: dict[str, np.ndarray]) -> None:
    _, subject = composed("guarded", model_of(steps, **tensors), BATCH)
    inputs, targets = subject.tensors()
    loss = subject.objective.loss(subject.converted.eval()(*inputs)[0], targets)
    loss.backward()
    gradients = [weight.grad for weight in subject.converted.initializers.values() if weight.grad is not None]
    assert len(gradients) == 2
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_keys_that_a_mask_hides_stay_hidden_where_one_is_left() -> None:
    broken = "s = Add(h, m) t = Softmax<axis=1>(s) l = Log(h) u = Mul(t, l) o = Mul(u, k) z = Add(o, t)"
    model = model_of(broken, m=SOME, k=np.zeros(4, np.float32))
    h = torch.from_numpy(X @ model.weights["W"])
    wanted = torch.softmax(h + torch.from_numpy(SOME), 1) @ torch.tensor(model.weights["V"])
    torch.testing.assert_close(outputs("guarded", model, BATCH), wanted, rtol=1e-4, atol=1e-4)


def test_it_says_which_operators_and_how_many() -> None:
    recipe = applied("guarded", model_of("l = Log(h) r = Sqrt(h) z = Add(l, r)"), BATCH)
    assert recipe.words == "add 1e-06 inside Log, Sqrt, of numbers that are not negative"
    assert recipe.cost == "2 operators guarded"
    words = applied("guarded", model_of("r = Reciprocal(h) z = Softmax<axis=1>(r)"), BATCH).words
    assert words.split("; ") == [
        "keep what Reciprocal divides by 1e-06 away from zero",
        "let nothing under -10000 into Softmax, in place of -inf",
    ]


@pytest.mark.parametrize(
    ("steps", "tensors", "why"),
    [
        ("z = Softplus(h)", {}, "finite"),
        ("z = Div(h, c)", {"c": np.zeros(4, np.float32)}, "no operator"),
        ("z = Pow(h, p)", {"p": np.array(200.0, np.float32)}, "no operator"),
    ],
)
def test_finite_numbers_and_numbers_of_the_model_are_left_alone(
    steps: str, tensors: dict[str, np.ndarray], why: str
) -> None:
    batch = npz(x=10 * X, target=LABELS)
    assert why in refused("guarded", model_of(steps, **tensors), batch)
