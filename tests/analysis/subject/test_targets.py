"""Targets read against logits of a given shape, worked out by hand."""

import math

import numpy as np
import pytest

from analysis.errors import BadBatch
from analysis.graph.heads import Head, Link
from analysis.options import LossName
from analysis.subject.targets import (
    IGNORED_LABEL,
    all_but,
    as_labels,
    as_numbers,
    as_shares,
    binary_entropy,
    check_count,
    class_axis,
    label_entropy,
    mean_entropy,
    off_logarithms,
    one_hot,
)

HEAD = Head("y", "logits", Link.IDENTITY, None)
AUTOMATIC = LossName.AUTOMATIC


def logits(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("shape", "targets", "axis"),
    [
        ((4, 3), (4,), 1),
        ((4, 3, 5), (4, 5), 1),
        ((4, 5, 3), (4, 5), 2),
        ((4, 3), (4, 1), 1),
        ((4, 1), (4,), None),
        ((4,), (4,), None),
        ((4, 3, 5), (4, 7), None),
    ],
)
def test_classes_are_counted_along_the_axis_that_the_targets_lack(
    shape: tuple[int, ...], targets: tuple[int, ...], axis: int | None
) -> None:
    assert class_axis(HEAD, logits(*shape), np.zeros(targets, np.int64)) == axis


def test_the_axis_of_the_softmax_comes_first_where_both_would_do() -> None:
    square, ids = logits(4, 3, 3), np.zeros((4, 3), np.int64)
    assert class_axis(HEAD, square, ids) == 1
    assert class_axis(Head("y", "logits", Link.SOFTMAX, -1), square, ids) == 2


def test_rows_of_probabilities_add_up_to_one_and_are_none_below_zero() -> None:
    fair, near = np.array([[0.25, 0.75], [1.0, 0.0]]), np.array([[0.25, 0.7495], [1.0, 0.0]])
    for rows in (fair, near):
        assert as_shares(logits(2, 2), rows, 1) is not None
    for rows in (fair * 1.01, np.array([[1.5, -0.5], [1.0, 0.0]]), fair[:1], fair.astype(np.int64)):
        assert as_shares(logits(2, 2), rows, 1) is None
    assert as_shares(logits(2, 2), fair, None) is None


def test_class_ids_are_whole_one_hot_rows_are_ids_and_others_are_not() -> None:
    rows = np.array([[0, 1, 0], [0, 0, 1]])
    assert as_labels(logits(2, 3), rows, 1, AUTOMATIC).tolist() == [1, 2]  # type: ignore[union-attr]
    assert as_labels(logits(2, 3), np.array([2.0, 0.0]), 1, AUTOMATIC).tolist() == [2, 0]  # type: ignore[union-attr]
    assert as_labels(logits(2, 3), np.array([2.0, 0.5]), 1, AUTOMATIC) is None
    assert as_labels(logits(2, 3), np.array([[2.0, 0.5, 0.0]] * 2), 1, AUTOMATIC) is None


def test_ids_that_are_no_class_are_refused_and_ignored_ones_are_not() -> None:
    for ids in ([0, 3], [0, -1]):
        with pytest.raises(BadBatch, match=r"must lie in 0\.\.2"):
            as_labels(logits(2, 3), np.array(ids), 1, AUTOMATIC)
    assert as_labels(logits(2, 3), np.array([0, IGNORED_LABEL]), 1, AUTOMATIC) is not None
    assert as_labels(logits(2, 3), np.array([0.0, 3.0]), 1, AUTOMATIC) is None  # numbers, then
    with pytest.raises(BadBatch):
        as_labels(logits(2, 3), np.array([0.0, 3.0]), 1, LossName.CROSS_ENTROPY)


def test_numbers_have_the_shape_of_the_logits() -> None:
    assert as_numbers(HEAD, logits(3, 1), np.arange(3)).tolist() == [[0.0], [1.0], [2.0]]
    assert as_numbers(HEAD, logits(3, 1), np.zeros(3)).dtype == np.float64
    assert as_numbers(HEAD, logits(3, 1), np.zeros(3, np.int32)).dtype == np.float32
    with pytest.raises(BadBatch, match=r"expected targets of shape \[3, 2\] for output y, given \[3\]"):
        as_numbers(HEAD, logits(3, 2), np.zeros(3))


def test_targets_of_an_output_that_is_laid_out_anew_may_have_its_shape() -> None:
    """[N, 2] to [2 N]: otherwise there are more targets than samples."""
    flat = Head("y", "z", Link.SIGMOID, before_layout="s")
    assert as_numbers(flat, logits(3, 2), np.arange(6)).tolist() == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(BadBatch):
        as_numbers(HEAD, logits(3, 2), np.arange(6))


@pytest.mark.parametrize("given", [2, 4])
def test_more_or_fewer_targets_than_samples_are_counted(given: int) -> None:
    with pytest.raises(BadBatch, match=f"{given} targets for 3 samples"):
        check_count(HEAD, logits(3, 2), np.zeros(given))
    check_count(HEAD, logits(3, 2), np.zeros((3, 5)))


def test_one_hot_rows_have_a_bit_for_each_class_on_their_axis() -> None:
    assert one_hot(np.array([2, 0]), 3, 1).tolist() == [[False, False, True], [True, False, False]]
    assert one_hot(np.zeros((2, 5), np.int64), 3, 1).shape == (2, 3, 5)
    assert not one_hot(np.array([IGNORED_LABEL]), 3, 1).any()


def test_entropies_are_those_of_the_textbook() -> None:
    assert label_entropy(np.array([0, 1, 2, 2, IGNORED_LABEL]), 4) == pytest.approx(1.5 * math.log(2))
    assert label_entropy(np.array([1, 1]), 4) == 0.0
    assert mean_entropy(np.array([[0.5, 0.5], [1.0, 0.0]]), 1) == pytest.approx(0.5 * math.log(2))
    assert binary_entropy(np.array([0.5, 0.0, 1.0, 0.25])) == pytest.approx(
        (math.log(2) - 0.25 * math.log(0.25) - 0.75 * math.log(0.75)) / 4
    )
    assert all_but(np.zeros((2, 3, 4)), 1) == (0, 2)


def test_logarithms_of_probabilities_add_up_to_one_behind_an_exponential() -> None:
    shares = np.array([[0.2, 0.8], [0.5, 0.5]])
    assert off_logarithms(np.log(shares).astype(np.float32), 1) == pytest.approx(0, abs=1e-6)
    assert off_logarithms(np.log(shares).T, 0) == pytest.approx(0, abs=1e-12)
    assert off_logarithms(np.log(shares / [[1], [4]]), 1) == pytest.approx(math.log(4))
    assert off_logarithms(np.zeros((2, 3)), 1) == pytest.approx(math.log(3))
    assert off_logarithms(np.array([[np.nan, 0.0]]), 1) == 0
