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
