"""Which samples are learnt by heart where a step over all of them is dear."""

import numpy as np
import pytest
import torch
from torch import nn

from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from analysis.training import memorized
from analysis.training.memorized import affordable, few_of, multiplications, spread
from tests.gallery import CLASSES, export, he, images, mlp, npz, seeded, vectors


def convolutional(samples: int, batch: bytes | None = None) -> Subject:
    module = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, CLASSES)))
    return prepare(check_model(export(module, torch.zeros(2, 3, 16, 16))), batch or images(samples), AnalysisOptions())


def test_multiplications_are_those_of_convolutions() -> None:
    assert multiplications(convolutional(10)) == 10 * 14 * 14 * 4 * 3 * 3 * 3
    assert multiplications(prepare(check_model(mlp(3, "Relu", he())), vectors(32), AnalysisOptions())) == 0


@pytest.mark.parametrize(("dear", "wanted"), [(1e9, 47_241), (12 * 14 * 14 * 108.0, 12), (1.0, 8)])
def test_as_many_samples_as_the_price_allows(monkeypatch: pytest.MonkeyPatch, dear: float, wanted: int) -> None:
    monkeypatch.setattr(memorized, "DEAR", dear)
    assert affordable(convolutional(32)) == wanted


def test_what_has_no_convolution_is_not_dear() -> None:
    assert affordable(prepare(check_model(mlp(3, "Relu", he())), vectors(32), AnalysisOptions())) == 32


def test_few_are_the_same_samples_with_a_chance_level_of_their_own() -> None:
    x = np.random.default_rng(0).standard_normal((32, 3, 16, 16)).astype(np.float32)
    target = np.repeat([3, 1], [24, 8])
    subject = convolutional(32, npz(x=x, target=target))
    few = few_of(subject, 8)
    inputs, labels = few.tensors()
    assert sorted(labels.tolist()) == [1, 1, 3, 3, 3, 3, 3, 3]
    rows = [int(np.flatnonzero((x == sample).all((1, 2, 3)))[0]) for sample in inputs[0].numpy()]
    np.testing.assert_array_equal(target[rows], labels.numpy())
    assert few.objective.chance == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)))
    weighed = torch.nn.functional.cross_entropy(subject.converted(*subject.tensors(rows)[0])[0], labels)
    assert float(few.loss(inputs, labels).detach()) == pytest.approx(float(weighed.detach()), rel=1e-5)
    assert few_of(subject, 32) is subject


def test_samples_that_leave_nothing_to_learn_are_not_enough() -> None:
    x = np.random.default_rng(0).standard_normal((32, 3, 16, 16)).astype(np.float32)
    target = np.repeat([0, 1, 2], [15, 2, 15])
    subject = convolutional(32, npz(x=x, target=target))
    assert few_of(subject, 1) is subject


def test_every_class_has_its_share() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3], 16))
    assert np.bincount(labels[spread(labels, 8)]).tolist() == [2, 2, 2, 2]
