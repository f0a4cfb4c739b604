"""Where the loss is taken, and what the graph puts out there, against torch."""

import numpy as np
import pytest
import torch

from analysis.graph.heads import Head, Link
from analysis.options import LossName
from analysis.subject.link import read_by, units_of_softmax, values_behind

LOGITS = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
IDS = np.arange(6) % 3
SOFTMAX = Head("y", "z", Link.SOFTMAX, -1, ("Softmax",))
SIGMOID = Head("y", "z", Link.SIGMOID, None, ("Sigmoid",))
LOG_SOFTMAX = Head("y", "z", Link.LOG_SOFTMAX, -1, ("LogSoftmax",))
IDENTITY = Head("y", "z")
LAID_OUT = Head("y", "z", Link.SIGMOID, None, ("Squeeze", "Sigmoid"), before_layout="s")
ARGMAX = Head("y", "z", Link.SOFTMAX, -1, ("ArgMax", "Softmax"))
LARGE = (1 + 3 * np.random.default_rng(1).random((6, 3))).astype(np.float32)
SHARES = (LARGE - 1) / 3
SEVERAL = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]])


@pytest.mark.parametrize(
    ("head", "targets", "wanted", "value"),
    [
        (SOFTMAX, IDS, LossName.AUTOMATIC, "z"),
        (SOFTMAX, IDS, LossName.CROSS_ENTROPY, "y"),
        (SOFTMAX, IDS, LossName.NLL, "z"),
        (SOFTMAX, None, LossName.MSE, "y"),
        (SOFTMAX, IDS, LossName.BCE, "y"),  # of the probabilities, which no sigmoid made
        (SOFTMAX, LARGE, LossName.AUTOMATIC, "y"),
        (SOFTMAX, SHARES, LossName.AUTOMATIC, "y"),  # within 0 and 1, but no shares of a whole
        (SOFTMAX, SEVERAL, LossName.AUTOMATIC, "y"),
        (SOFTMAX, SEVERAL.astype(np.float32), LossName.AUTOMATIC, "y"),
        (SOFTMAX, np.eye(3, dtype=int)[IDS], LossName.AUTOMATIC, "z"),
        (SOFTMAX, 0.8 * np.eye(3)[IDS] + 0.2 / 3, LossName.AUTOMATIC, "z"),
        (LOG_SOFTMAX, IDS, LossName.CROSS_ENTROPY, "z"),  # the same twice
        (SIGMOID, IDS, LossName.CROSS_ENTROPY, "y"),
        (SIGMOID, SHARES, LossName.BCE, "y"),
        (SIGMOID, SHARES, LossName.AUTOMATIC, "z"),
        (SIGMOID, LARGE, LossName.AUTOMATIC, "y"),
        (SIGMOID, -LARGE, LossName.AUTOMATIC, "y"),
        (LAID_OUT, SHARES, LossName.AUTOMATIC, "z"),
        (LAID_OUT, LARGE, LossName.AUTOMATIC, "s"),  # the numbers of the output in the shape of the logits
        (LAID_OUT, SHARES, LossName.MSE, "s"),
        (IDENTITY, LARGE, LossName.MSE, "z"),
        (ARGMAX, IDS, LossName.CROSS_ENTROPY, "z"),  # what is put out is no number that a loss could take
    ],
)
def test_a_loss_is_taken_where_it_belongs(head: Head, targets: np.ndarray | None, wanted: LossName, value: str) -> None:
    assert read_by(head, LOGITS, targets, wanted).value == value


@pytest.mark.parametrize(
    ("head", "targets", "wanted", "value"),
    [
        (SOFTMAX, IDS, LossName.AUTOMATIC, "y"),
        (SOFTMAX, IDS, LossName.NLL, "z"),
        (SOFTMAX, IDS.astype(np.float32), LossName.AUTOMATIC, "z"),
        (SOFTMAX, None, LossName.AUTOMATIC, "z"),
        (SIGMOID, SHARES.round().astype(int), LossName.AUTOMATIC, "z"),
    ],
)
def test_where_losses_take_logits_alone_class_ids_say_that_the_softmax_is_doubled(
    head: Head, targets: np.ndarray | None, wanted: LossName, value: str
) -> None:
    assert read_by(head, LOGITS, targets, wanted, takes_logits=True).value == value


def test_one_unit_is_counted_and_read_as_it_stands() -> None:
    single = np.zeros((6, 1), np.float32)
    assert (units_of_softmax(SOFTMAX, single), units_of_softmax(SOFTMAX, LOGITS)) == (1, 3)
    assert units_of_softmax(SIGMOID, single) is None
    assert read_by(SOFTMAX, single, None, LossName.AUTOMATIC).value == "y"


def test_values_behind_a_link_are_those_of_torch() -> None:
    z = torch.from_numpy(LOGITS).double()
    for head, truth in (
        (SOFTMAX, z.softmax(-1)), (LOG_SOFTMAX, z.log_softmax(-1)), (SIGMOID, z.sigmoid()), (IDENTITY, z),
    ):  # fmt: skip
        np.testing.assert_allclose(values_behind(head, LOGITS), truth.numpy(), rtol=1e-12)
