"""What a straight line learns of labels."""

import numpy as np
import pytest

from analysis.measure.readable import readable_share, split


def labelled(samples: int, features: int, *, signal: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Four classes around prototypes; without signal the labels follow from nothing."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, samples)
    prototypes = signal * random.standard_normal((4, features))
    return prototypes[labels] + random.standard_normal((samples, features)), labels


def test_a_quarter_is_held_out_whatever_the_order() -> None:
    trained, held_out = split(192, 0)
    assert sorted([*trained, *held_out]) == list(range(192))
    assert len(held_out) == 48
    assert held_out != sorted(held_out)
    assert split(192, 1)[1] != held_out


@pytest.mark.parametrize("features", [8, 2000])
def test_labels_that_follow_from_the_input_are_read(features: int) -> None:
    assert readable_share(*labelled(256, features, signal=3.0)) > 0.95


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("features", [8, 2000])
def test_labels_that_follow_from_nothing_are_not(features: int, seed: int) -> None:
    assert readable_share(*labelled(256, features, signal=0.0, seed=seed)) < 0.25


def test_naming_the_most_frequent_label_is_guessing() -> None:
    x, _ = labelled(200, 8, signal=3.0)
    labels = np.zeros(200, int)
    labels[::10] = 1
    assert readable_share(x, labels) == 0.0


@pytest.mark.parametrize("x", [np.zeros((64, 4)), np.full((64, 4), np.nan)])
def test_an_input_that_says_nothing_reads_as_nothing(x: np.ndarray) -> None:
    assert readable_share(x, np.arange(64) % 4) == 0.0


def test_one_class_leaves_nothing_to_name() -> None:
    x, _ = labelled(64, 4, signal=1.0)
    assert readable_share(x, np.zeros(64, int)) == 0.0


@pytest.mark.parametrize("seed", range(8))
def test_a_linear_reader_is_ridge_regression_on_what_is_not_held_out(seed: int) -> None:
    """In its primal form: (X'X + c I)^-1 X'T with c a tenth of the mean squared norm, everything centred.

    Noise of a large norm makes the ridge felt where the signal is small, and rare labels are not named for it.
    """
    random = np.random.default_rng(seed)
    labels = random.choice(3, 400, p=[0.6, 0.3, 0.1]) + 5
    x = random.standard_normal((400, 6)) + 1.5 * random.standard_normal((3, 6))[labels - 5]
    x[:, 0] *= 40
    x += 3.0
    trained, held = map(np.array, split(400, seed))
    known, targets = x[trained], np.eye(3)[labels[trained] - 5]
    centred = known - known.mean(0)
    ridge = 0.1 * np.square(centred).sum(1).mean()
    weights = np.linalg.solve(centred.T @ centred + ridge * np.eye(6), centred.T @ (targets - targets.mean(0)))
    named = 5 + ((x[held] - known.mean(0)) @ weights + targets.mean(0)).argmax(1)
    right, guessed = (named == labels[held]).mean(), np.bincount(labels[held]).max() / len(held)
    assert readable_share(x, labels, seed) == pytest.approx((right - guessed) / (1 - guessed))


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_what_is_read_does_not_depend_on_the_unit_of_the_input(unit: float) -> None:
    x, labels = labelled(128, 8, signal=0.5)
    assert readable_share(unit * x, labels) == readable_share(x, labels) > 0
