"""Weights as rows, against the modules that they come from."""

import re

import numpy as np
import pytest
import torch
from onnx import helper
from torch import nn

from analysis.convert import convert
from analysis.facts import Layer
from analysis.graph import units
from analysis.graph.sources import Sources, find_sources
from analysis.graph.units import duplicate_fraction, rows_of, units_first, units_of
from analysis.measure.passes import measure
from analysis.model.weights import Weights
from tests.analysis.graph.graphs import layers_of, model
from tests.analysis.graph.subjects import IMAGE, VECTOR, drawn, subject_of, written
from tests.gallery import CLASSES, INPUTS, export, npz, seeded, vectors


@pytest.mark.parametrize(
    ("rows", "share"),
    [
        (np.ones((8, 4)), 1.0),
        (np.repeat(drawn(4, 6), 2, axis=0), 1.0),
        (np.concatenate([drawn(6, 5), drawn(2, 5)[[0, 0, 1, 1]]])[[9, 0, 5, 7, 3, 8, 1, 2, 6, 4]], 1.0 - 4 / 10),
        (np.concatenate([drawn(6, 5, seed=1), drawn(1, 5)[[0, 0]]]), 2 / 8),
        (drawn(32, 700), 0.0),
        (drawn(1, 5), 0.0),
        (np.zeros((0, 5)), 0.0),
        (np.array([[0.0, 1.0], [-0.0, 1.0]]), 1.0),
        (np.array([[np.nan, 1.0], [np.nan, 1.0], [2.0, 1.0], [2.0, 1.0]]), 2 / 4),
    ],
)
def test_duplicates_are_the_rows_that_equal_another(rows: np.ndarray, share: float) -> None:
    assert duplicate_fraction(rows.astype(np.float32)) == pytest.approx(share)


@pytest.mark.parametrize("width", [64, 1024])
def test_the_units_of_an_identity_all_differ(width: int) -> None:
    assert duplicate_fraction(np.eye(width, dtype=np.float32)) == 0.0


def test_wide_units_that_differ_in_one_input_differ() -> None:
    rows = np.ones((4, 2000), np.float32)
    rows[0, 1001] = 2
    assert duplicate_fraction(rows) == pytest.approx(3 / 4)


def test_units_are_the_rows_of_the_module_with_their_biases() -> None:
    module = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.ConvTranspose2d(6, 4, 2, groups=2), nn.Flatten(),
                              nn.Linear(4 * 49, 5, bias=False))
    )  # fmt: skip
    subject = subject_of(export(module, IMAGE))
    found = [units_of(subject.weights(), subject.sources, layer) for layer in subject.layers]
    convolution, transposed, linear = module[0], module[2], module[4]
    by_hand = torch.cat([transposed.weight[:3].transpose(0, 1), transposed.weight[3:].transpose(0, 1)]).flatten(1)
    truth = [
        torch.cat([convolution.weight.flatten(1), convolution.bias[:, None]], 1),
        torch.cat([by_hand, transposed.bias[:, None]], 1),
        linear.weight,
    ]
    for rows, expected in zip(found, truth, strict=True):
        np.testing.assert_array_equal(rows, expected.detach().numpy())


def test_the_units_of_a_shared_weight_are_those_of_each_layer() -> None:
    """h = x W and y = h W': the same matrix has units along its columns, then along its rows."""
    weight = np.repeat(drawn(2, 4), 2, axis=0)  # [4, 4], rows equal in pairs, columns not
    model = written(
        "(float[N,4] x) => (float[N,4] y)", "h = MatMul(x, W) t = Tanh(h) y = Gemm<transB = 1>(t, W)", W=weight
    )
    x = drawn(16, 4, seed=2)
    shares = [
        stats.weight.duplicate_fraction
        for stats in measure(subject_of(model, npz(x=x, target=x)), cotangents=(0,)).stats
    ]
    assert shares == [0.0, 1.0]


def test_a_constant_initialisation_makes_all_units_duplicates_unless_biases_part_them() -> None:
    def build(bias: bool) -> nn.Module:
        module = nn.Sequential(nn.Linear(INPUTS, 16), nn.ReLU(), nn.Linear(16, CLASSES))
        nn.init.constant_(module[0].weight, 0.1)
        nn.init.zeros_(module[0].bias) if not bias else None
        return module

    for bias, share in ((False, 1.0), (True, 0.0)):
        measured = measure(
            subject_of(export(seeded(lambda bias=bias: build(bias)), VECTOR), vectors()), cotangents=(0,)
        )
        assert measured.stats[0].weight.duplicate_fraction == share


# ------------------------------------------------------------------ which entries of a weight belong to a unit


def read_by(nodes: str, inputs: str, weight: str, axis: int, **weights: np.ndarray) -> list[set[int]]:
    """For each unit, along an axis of the output: the entries of a weight that torch gives it a gradient for."""
    module = convert(model(nodes, inputs, **weights), train=[weight])
    shape = [int(size) for size in re.findall(r"\d+", inputs.split("[")[1])]
    (y,) = module(torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    parameter, units = module.initializers[weight], y.movedim(axis, 0)
    found = [torch.autograd.grad(unit.square().sum(), parameter, retain_graph=True)[0] for unit in units]
    return [set(gradient.flatten().nonzero().flatten().tolist()) for gradient in found]


@pytest.mark.parametrize(
    ("nodes", "inputs", "shape", "axis"),
    [
        ("y = Conv(x, w)", "float[2,3,5] x", (4, 3, 2), 1),
        ("y = Conv(x, w)", "float[2,3,5,4] x", (4, 3, 2, 3), 1),
        ("y = Conv<group = 2>(x, w)", "float[2,4,5] x", (6, 2, 3), 1),
        ("y = ConvTranspose(x, w)", "float[2,3,5] x", (3, 4, 2), 1),
        ("y = ConvTranspose(x, w)", "float[2,3,5,4] x", (3, 5, 2, 3), 1),
        ("y = ConvTranspose<group = 2>(x, w)", "float[2,4,5] x", (4, 3, 2), 1),
        ("y = ConvTranspose<group = 4>(x, w)", "float[2,4,5] x", (4, 1, 2), 1),
        ("y = MatMul(x, w)", "float[2,3] x", (3, 5), 1),
        ("y = MatMul(w, x)", "float[3,2] x", (5, 3), 0),
        ("y = Gemm(x, w)", "float[2,3] x", (3, 5), 1),
        ("y = Gemm<transB = 1>(x, w)", "float[2,3] x", (5, 3), 1),
        ("y = Gemm<transA = 1>(x, w)", "float[3,2] x", (3, 5), 1),
        ("y = Gemm(w, x)", "float[3,2] x", (5, 3), 0),
        ("y = Gemm<transA = 1>(w, x)", "float[3,2] x", (3, 5), 0),
        ("y = Gemm<transB = 1>(w, x)", "float[2,3] x", (5, 3), 0),
        ("y = com.microsoft.FusedMatMul<transB = 1>(x, w)", "float[2,3] x", (5, 3), 1),
        ("y = com.microsoft.FusedMatMul<transA = 1>(w, x)", "float[3,2] x", (3, 5), 0),
    ],
)  # fmt: skip
def test_the_row_of_a_unit_is_what_torch_gives_it_a_gradient_for(
    nodes: str, inputs: str, shape: tuple[int, ...], axis: int
) -> None:
    weight = drawn(*shape)
    node = model(nodes, inputs, w=weight).nodes[-1]
    rows = units_first(node, list(node.input).index("w"), np.arange(weight.size).reshape(shape))
    assert rows is not None
    assert [set(row.tolist()) for row in rows] == read_by(nodes, inputs, "w", axis, w=weight)


@pytest.mark.parametrize(("op", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
@pytest.mark.parametrize("directions", [1, 2])
def test_the_row_of_a_recurrent_unit_has_all_its_gates(op: str, gates: int, directions: int) -> None:
    """Each unit remembers itself only: the recurrent matrix of each gate is the identity."""
    way = ', direction = "bidirectional"' if directions == 2 else ""
    nodes = f"s = {op}<hidden_size = 3{way}>(x, w, r) t = Transpose<perm = [1, 3, 0, 2]>(s) y = Reshape(t, flat)"
    recurrent = np.tile(np.eye(3, dtype=np.float32), (directions, gates, 1))
    weights = {"w": drawn(directions, 3 * gates, 2), "r": recurrent, "flat": np.array([3 * directions, -1])}
    node = model(nodes, "float[4,2,2] x", **weights).nodes[0]
    rows = units_first(node, 1, np.arange(weights["w"].size).reshape(weights["w"].shape))
    assert rows is not None
    assert [set(row.tolist()) for row in rows] == read_by(nodes, "float[4,2,2] x", "w", 0, **weights)
    assert units_first(node, 2, weights["r"]) is None


@pytest.mark.parametrize(
    ("op", "slot", "shape"),
    [
        ("Conv", 1, (4, 3)), ("ConvTranspose", 1, (4, 3)), ("MatMul", 1, (2, 3, 4)), ("Gemm", 1, (4,)),
        ("Add", 1, (4, 3)), ("Gather", 0, (4, 3)), ("LSTM", 2, (1, 12, 3)), ("LSTM", 3, (1, 24)), ("Mul", 1, (4, 3, 2)),
    ],
)  # fmt: skip
def test_what_is_no_matrix_of_a_linear_or_recurrent_layer_has_no_units(
    op: str, slot: int, shape: tuple[int, ...]
) -> None:
    node = helper.make_node(op, ["a", "b", "c", "d"], ["y"], **({"hidden_size": 3} if op == "LSTM" else {}))
    assert units_first(node, slot, np.zeros(shape)) is None


# ------------------------------------------------------------------ of a layer


def first_layer(nodes: str, inputs: str = "float[N,4] x", **weights: np.ndarray) -> tuple[Weights, Sources, Layer]:
    checked = model(nodes, inputs, **weights)
    return checked.weights, find_sources(checked), layers_of(checked)[0]


def test_a_layer_without_a_weight_of_its_own_has_no_rows() -> None:
    for nodes, weights in (
        ("y = LayerNormalization(x, s, b)", {"s": drawn(4), "b": drawn(4)}),
        ("m = Mul(w, g) y = MatMul(x, m)", {"w": drawn(4, 3), "g": drawn(4, 1, seed=1)}),
        ("t = Transpose(w) y = MatMul(x, t)", {"w": drawn(3, 4)}),
    ):
        found = first_layer(nodes, **weights)
        assert rows_of(*found) is None
        assert units_of(*found) is None


def test_rows_are_those_of_the_weights_that_are_handed_over() -> None:
    weights, sources, layer = first_layer("y = MatMul(x, w)", w=drawn(4, 3))
    fresh = drawn(4, 3, seed=1)
    np.testing.assert_array_equal(rows_of({"w": fresh}, sources, layer), fresh.T)
    np.testing.assert_array_equal(rows_of(weights, sources, layer), drawn(4, 3).T)


def test_rows_of_a_tied_weight_are_read_at_the_layer_itself() -> None:
    checked = model("h = MatMul(x, w) r = Relu(h) y = Gemm<transB = 1>(r, w)", w=drawn(4, 4))
    first, second = layers_of(checked)
    np.testing.assert_array_equal(rows_of(checked.weights, find_sources(checked), first), drawn(4, 4).T)
    np.testing.assert_array_equal(rows_of(checked.weights, find_sources(checked), second), drawn(4, 4))


def test_a_weight_on_the_left_is_read_where_it_stands() -> None:
    np.testing.assert_array_equal(rows_of(*first_layer("y = MatMul(w, x)", "float[4,N] x", w=drawn(3, 4))), drawn(3, 4))


def test_a_bias_with_one_number_a_unit_is_the_last_column_and_another_one_is_none() -> None:
    found = units_of(*first_layer("y = Gemm(x, w, b)", "float16[N,4] x", w=drawn(4, 3).astype(np.float16), b=drawn(3)))
    assert found is not None
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, np.column_stack([drawn(4, 3).T, drawn(3)]).astype(np.float16))
    recurrent = {"w": drawn(1, 12, 4), "r": drawn(1, 12, 3), "b": drawn(1, 24)}
    rows = units_of(*first_layer("y = LSTM<hidden_size = 3>(x, w, r, b)", "float[5,N,4] x", **recurrent))
    np.testing.assert_array_equal(rows, recurrent["w"].reshape(4, 3, 4).swapaxes(0, 1).reshape(3, 16))


# ------------------------------------------------------------------ what is compared


def test_wide_units_are_told_apart_by_a_few_inputs_from_everywhere_before_they_are_compared_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at: list[np.ndarray] = []
    compare = units._repeated
    monkeypatch.setattr(units, "_repeated", lambda rows: (looked_at.append(rows), compare(rows))[1])
    rows = np.zeros((3, 10 * units.COMPARED))
    rows[0] = np.arange(rows.shape[1])
    assert units.duplicate_fraction(rows) == pytest.approx(2 / 3)
    first, second = looked_at
    np.testing.assert_array_equal(first[0], np.arange(0, rows.shape[1], 10))
    assert second.shape == (2, rows.shape[1])


@pytest.mark.parametrize("width", [0, 1, 255, 256, 257, 511, 512])
def test_units_of_any_width_are_compared(width: int) -> None:
    assert duplicate_fraction(np.zeros((3, width), np.float32)) == 1.0
    if width:
        assert duplicate_fraction(drawn(3, width)) == 0.0
