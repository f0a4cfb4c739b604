"""What is made up anew once the graph runs, held against what the graph refuses or makes nan of."""

import numpy as np
import pytest

from analysis.batch import Batch
from analysis.convert import convert
from analysis.synthesis.synthesize import synthesize_batch
from tests.analysis.graph.graphs import floats, model


def made_up(nodes: str, inputs: str, size: int = 32, **weights: np.ndarray) -> Batch:
    checked = model(nodes, inputs, "float[] y", **weights)
    return synthesize_batch(checked, convert(checked), size, 0)


def test_edges_join_all_nodes_of_a_graph() -> None:
    """Messages from node to node: rows of one value are read, and added to rows of another."""
    batch = made_up(
        "h = MatMul(x, W) f = Gather(e, zero) t = Gather(e, one) m = Gather(h, f) u = Unsqueeze(t, axes)"
        ' z = Sub(h, h) y = ScatterND<reduction: string = "add">(z, u, m)',
        "float[nodes,8] x, int64[2,edges] e",
        W=floats(8, 3), zero=np.array(0), one=np.array(1), axes=np.array([1]),
    )  # fmt: skip
    assert (batch.inputs["e"].min(), batch.inputs["e"].max()) == (0, 31)
    assert "e (2 x 16) holds positions from 0 to 31" in batch.notes[0]


def test_positions_that_any_value_is_one_of_end_somewhere() -> None:
    batch = made_up(
        "h = MatMul(x, W) c = Clip(i, zero, zero) y = Gather(h, c)", "float[N,8] x, int64[N] i",
        W=floats(8, 3), zero=np.array(0),
    )  # fmt: skip
    assert 0 <= batch.inputs["i"].min() <= batch.inputs["i"].max() <= 4095


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ("a = Log(x) y = MatMul(a, W)", "positive numbers"),
        ("a = Add(x, one) b = Log(a) y = MatMul(b, W)", "positive numbers"),
        ("a = Sqrt(x) y = MatMul(a, W)", "positive numbers"),
        ("a = Sub(one, x) b = Div(x, a) c = Log(b) y = MatMul(c, W)", "numbers of 0 to 1"),
        ("a = Exp(x) y = MatMul(a, W)", "numbers"),
    ],
)
def test_numbers_lie_where_the_graph_is_defined(nodes: str, words: str) -> None:
    used = {"one": np.array(1.0, np.float32)} if "one" in nodes else {}
    batch = made_up(nodes, "float[N,8] x, float[N,8] z", W=floats(8, 3), **used)
    assert f"x (32 x 8) holds {words};" in batch.notes[0]
    assert "z (32 x 8) holds numbers" in batch.notes[0]
    x = batch.inputs["x"]
    assert (x.min() >= 0) is np.bool_(words != "numbers")
    assert (x.max() <= 1) is np.bool_(words == "numbers of 0 to 1")


def test_a_mask_of_what_is_left_out_is_one_of_zeros() -> None:
    batch = made_up(
        "h = MatMul(x, W) a = Where(padding_mask, low, h) s = Softmax(a) y = MatMul(s, V)",
        "float[N,8] x, bool[N,3] padding_mask",
        W=floats(8, 3), V=floats(3, 2), low=np.array(-np.inf, np.float32),
    )  # fmt: skip
    assert not batch.inputs["padding_mask"].any()
    assert "padding_mask (32 x 3) holds a mask of zeros" in batch.notes[0]


@pytest.mark.parametrize(
    ("hidden", "holds"),
    [
        ("Where(mask, zeros, h)", "a mask of zeros"),
        ("Where(mask, h, zeros)", "a mask of ones"),
        ("Where(mask, zeros, zeros)", "a mask of ones"),
    ],
)
def test_a_mask_that_hides_all_samples_is_one_of_zeros_if_that_shows_them(hidden: str, holds: str) -> None:
    """Everything stays finite here; the second output tells samples apart whatever is hidden."""
    checked = model(
        f"h = MatMul(x, W) a = {hidden} y = MatMul(a, V) z = Neg(h)", "float[N,8] x, bool[N,3] mask",
        "float[N,2] y, float[N,3] z", W=floats(8, 3), V=floats(3, 2), zeros=np.zeros(3, np.float32),
    )  # fmt: skip
    batch = synthesize_batch(checked, convert(checked), 32, 0)
    assert f"mask (32 x 3) holds {holds}" in batch.notes[0]
    assert bool(batch.inputs["mask"].any()) is (holds == "a mask of ones")


def test_what_nothing_makes_finite_stays_as_it_was() -> None:
    batch = made_up(
        "a = Mul(x, inf) y = MatMul(a, W)", "float[N,8] x", W=floats(8, 3), inf=np.array(np.inf, np.float32)
    )
    assert "x (32 x 8) holds numbers" in batch.notes[0]
    assert batch.inputs["x"].min() < 0
