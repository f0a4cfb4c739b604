"""Limits against what onnxruntime computes for weights and inputs of every size."""

import math

import numpy as np
import onnxruntime
import pytest

from analysis.graph.ranges import EVERYTHING, Limits, drawn_within, limits_of
from analysis.model import check_model
from tests.analysis.graph.subjects import drawn, written

INFINITE = math.inf
NORMALIZED = (
    "n = ReduceL2<axes = [-1]>(z) c = Clip(n, e) d = Div(z, c) m = ReduceL2<axes = [0]>(V) u = Div(V, m) "
    "y = MatMul(d, u)"
)
ONE_ROW = np.array([-1], np.int64)
FACTOR, OFFSET = np.array(4.0, np.float32), np.array(1.0, np.float32)


def model(nodes: str, **weights: np.ndarray) -> bytes:
    return written("(float[N,4] x) => (float[N,M] y)", f"z = MatMul(x, W) {nodes}", W=drawn(4, 3), **weights)


def limits(graph: bytes, *learnt: str) -> Limits:
    return limits_of(check_model(graph), "y", {"W", *learnt})


@pytest.mark.parametrize(
    ("nodes", "weights", "expected"),
    [
        ("y = Tanh(z)", {}, (-1, 1)),
        ("y = Sigmoid(z)", {}, (0, 1)),
        ("y = Softmax(z)", {}, (0, 1)),
        ("y = LogSoftmax(z)", {}, (-INFINITE, 0)),
        ("y = Relu(z)", {}, (0, INFINITE)),
        ("t = Tanh(z) y = Relu(t)", {}, (0, 1)),
        ("s = Sigmoid(z) m = Mul(s, k) y = Add(m, o)", {"k": FACTOR, "o": OFFSET}, (1, 5)),
        ("s = Tanh(z) m = Sub(o, s) y = Div(m, k)", {"k": -FACTOR, "o": OFFSET}, (-0.5, 0)),
        ("s = Tanh(z) r = Relu(z) y = Add(s, r)", {}, (-1, INFINITE)),
        ("y = Clip(z, o, k)", {"k": FACTOR, "o": OFFSET}, (1, 4)),
        ("t = Relu(z) y = Identity(t)", {}, (0, INFINITE)),
        ("n = ReduceL2<axes = [-1]>(z) d = Div(z, n) y = MatMul(d, u)", {"u": np.eye(3, dtype=np.float32)}, (-1, 1)),
        (
            NORMALIZED,
            {"V": drawn(3, 5, seed=1), "e": np.array(1e-9, np.float32)},
            (-1, 1),
        ),
        ("p = Mul(z, z) q = ReduceSum(p, a) r = Sqrt(q) d = Div(z, r) y = MatMul(d, u)",
         {"u": np.eye(3, dtype=np.float32), "a": ONE_ROW}, (-1, 1)),
    ],
)  # fmt: skip
def test_no_input_leads_outside_and_some_lead_near(
    nodes: str, weights: dict[str, np.ndarray], expected: tuple[float, float]
) -> None:
    graph = model(nodes, **weights)
    found = limits(graph)
    assert found == pytest.approx(expected, abs=1e-6)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    x = np.concatenate([scale * drawn(512, 4, seed=2) for scale in (0.1, 1.0, 30.0)])
    (y,) = session.run(None, {"x": x})
    assert y.min() >= found.least - 1e-5
    assert y.max() <= found.most + 1e-5
    for end, value in ((found.least, y.min()), (found.most, y.max())):
        assert abs(value - end) < 0.1 if math.isfinite(end) else abs(value) > 10


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        ("y = Identity(z)", {}),
        ("t = Tanh(z) y = Mul(t, k)", {"k": FACTOR}),  # learnt
        ("n = ReduceL2<axes = [-1]>(z) d = Div(z, n) y = MatMul(d, u)", {"u": drawn(3, 3)}),  # no directions
        ("n = ReduceL2<axes = [-1]>(x) d = Div(z, n) y = MatMul(d, u)", {"u": np.eye(3, dtype=np.float32)}),
        ("s = Sigmoid(z) y = Div(z, s)", {}),
        ("s = Tanh(z) y = Div(s, s)", {}),
    ],
)
def test_what_can_be_anything_has_no_limits(nodes: str, weights: dict[str, np.ndarray]) -> None:
    assert limits(model(nodes, **weights), "k") == EVERYTHING


@pytest.mark.parametrize(
    ("least", "most", "moved"),
    [
        (-INFINITE, INFINITE, [-4, -3, 0, 1.5, 9]),
        (0, 1, [0, 0, 0.5, 0.75, 1]),
        (-2, 4, [-2, -2, 1, 2.5, 4]),
        (1, INFINITE, [5, 4, 1, 2.5, 10]),
        (-INFINITE, 1, [-3, -2, 1, -0.5, -8]),
    ],
)
def test_draws_are_moved_into_the_limits(least: float, most: float, moved: list[float]) -> None:
    made = drawn_within(np.array([-4, -3, 0, 1.5, 9]), Limits(least, most))
    np.testing.assert_allclose(made, moved, atol=1e-12)
