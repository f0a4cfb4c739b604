"""Weights as rows, against the modules that they come from."""

import numpy as np
import pytest
import torch
from torch import nn

from analysis.graph.units import duplicate_fraction, units_of
from analysis.measure.passes import measure
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
