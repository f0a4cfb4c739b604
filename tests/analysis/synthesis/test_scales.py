"""Standardisations that are undone: what comes out of the graph's own has mean 0 and deviation 1."""

import numpy as np
import pytest

from analysis.synthesis.scales import PIXELS, UNIT, expected_scale
from tests.analysis.graph.graphs import floats, model

MEAN, DEVIATION = np.float32([0.5, 0.4, 0.3]), np.float32([0.2, 0.25, 0.1])
WEIGHTS = {
    "m": MEAN, "d": DEVIATION, "k": np.float32(255), "two": np.float32(2), "r": 1 / DEVIATION, "W": floats(3, 4),
    "column": MEAN.reshape(3, 1, 1), "V": floats(5, 3, 3, 3), "one": np.array([1]),
}  # fmt: skip


def scale(nodes: str, inputs: str = "float[N,3] x", rank: int = 2, **more: np.ndarray):
    used = {name: array for name, array in {**WEIGHTS, **more}.items() if name in nodes.replace("MatMul", "")}
    return expected_scale(model(nodes, inputs, "float[] y", **used), "x", rank)


@pytest.mark.parametrize(
    ("nodes", "mean", "deviation"),
    [
        ("s = Sub(x, m) t = Div(s, d) y = MatMul(t, W)", MEAN, DEVIATION),
        ("s = Sub(x, m) t = Mul(s, r) y = MatMul(t, W)", MEAN, DEVIATION),
        ("s = Sub(m, x) t = Mul(r, s) y = MatMul(t, W)", MEAN, DEVIATION),
        ("s = Add(x, m) y = MatMul(s, W)", -MEAN, 1.0),
        ("c = Cast<to: int = 1>(x) s = Div(c, two) y = MatMul(s, W)", 0.0, 2.0),
        ("s = Sub(x, m) t = Div(s, two) u = Mul(t, t) y = MatMul(u, W)", MEAN, 2.0),
    ],
)
def test_affine_steps_are_read_backwards(nodes: str, mean: np.ndarray, deviation: np.ndarray) -> None:
    found = scale(nodes)
    np.testing.assert_allclose(np.broadcast_to(found.mean, (1, 3)), np.broadcast_to(mean, (1, 3)), rtol=1e-6)
    np.testing.assert_allclose(np.broadcast_to(found.deviation, (1, 3)), np.broadcast_to(deviation, (1, 3)), rtol=1e-6)
    assert not found.pixels


def test_statistics_of_a_first_batch_normalization_count_its_own_scale_does_not() -> None:
    checked = model(
        "y = BatchNormalization<epsilon: float = 0.0>(x, g, b, m, v)", "float[N,3] x", "float[] y",
        g=np.float32([9, 9, 9]), b=np.float32([7, 7, 7]), m=MEAN, v=DEVIATION**2,
    )  # fmt: skip
    found = expected_scale(checked, "x", 2)
    np.testing.assert_allclose(found.mean, MEAN[None], rtol=1e-6)
    np.testing.assert_allclose(found.deviation, DEVIATION[None], rtol=1e-6)


def test_constants_behind_a_transpose_are_laid_back_along_the_channels_of_the_input() -> None:
    nodes = "t = Transpose<perm: ints = [0,3,1,2]>(x) s = Sub(t, column) y = Conv(s, V)"
    found = scale(nodes, "float[N,8,9,3] x", rank=4)
    assert found.mean.shape == (1, 1, 1, 3)
    np.testing.assert_allclose(found.mean.reshape(-1), MEAN)


def test_pixels_are_known_by_what_they_are_divided_by_or_centred_on() -> None:
    assert scale("s = Div(x, k) y = MatMul(s, W)") is PIXELS
    centred = scale("s = Div(x, k) u = Sub(s, m) v = Div(u, two) y = MatMul(v, W)")
    assert centred.pixels
    np.testing.assert_allclose(centred.mean, 255 * MEAN[None], rtol=1e-6)
    assert (centred.deviation == 64).all()  # 510 would leave nothing between the ends


@pytest.mark.parametrize(
    "nodes",
    [
        "y = MatMul(x, W)",
        "a = Relu(x) s = Div(a, d) y = MatMul(s, W)",
        "s = Div(d, x) y = MatMul(s, W)",
        "s = Sub(x, m) a = MatMul(s, W) b = MatMul(x, W) y = Add(a, b)",
        "u = Unsqueeze(x, one) s = Sub(u, m) y = MatMul(s, W)",
    ],
)
def test_anything_else_says_nothing_of_the_scale(nodes: str) -> None:
    assert scale(nodes) is UNIT


def test_a_constant_that_divides_by_zero_says_nothing() -> None:
    assert scale("s = Mul(x, z) y = MatMul(s, W)", z=np.float32([1, 0, 1])) is UNIT
