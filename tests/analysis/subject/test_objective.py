import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from analysis.batch import Batch
from analysis.errors import BadBatch, BadOptions
from analysis.facts import Provenance
from analysis.graph.heads import Head, Link
from analysis.options import LossName
from analysis.subject.objective import Objective, choose_objective

RANDOM = np.random.default_rng(0)


def choose(
    logits: np.ndarray,
    target: np.ndarray | None = None,
    *,
    link: Link = Link.IDENTITY,
    wanted: LossName = LossName.AUTOMATIC,
    trained: bool = False,
    axis: int | None = None,
) -> Objective:
    head = Head("y", "logits", link, axis)
    targets = {} if target is None else {"": target}
    inputs = {"x": RANDOM.standard_normal((len(logits) if logits.ndim else 1, 3)).astype(np.float32)}
    batch = Batch(inputs, targets, len(inputs["x"]), {"x": 0}, "0", Provenance.UPLOADED)
    return choose_objective([head], {"logits": logits}, batch, wanted, trained=trained, seed=0)


def loss_of(objective: Objective, logits: np.ndarray) -> float:
    targets = None if objective.targets is None else torch.from_numpy(objective.targets)
    return float(objective.loss(torch.from_numpy(logits), targets))


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


LABELS = np.array([0, 1, 1, 2, 2, 2, 2, 0])
ENTROPY = -(0.25 * math.log(0.25) * 2 + 0.5 * math.log(0.5))


@pytest.mark.parametrize(
    "target", [LABELS, LABELS.astype(np.float32), LABELS[:, None], np.eye(3)[LABELS].astype(np.float32)]
)
def test_class_targets_in_any_form_are_cross_entropy_with_the_entropy_of_frequencies_as_chance(
    target: np.ndarray,
) -> None:
    logits = floats(8, 3)
    objective = choose(logits, target)
    assert objective.name is LossName.CROSS_ENTROPY
    assert objective.chance == pytest.approx(ENTROPY)
    truth = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(LABELS))
    assert loss_of(objective, logits) == pytest.approx(truth.item())


def test_chance_is_the_loss_of_the_best_constant_prediction() -> None:
    objective = choose(floats(8, 3), LABELS)
    constant = np.tile(np.log([0.25, 0.25, 0.5]), (8, 1)).astype(np.float32)
    assert loss_of(objective, constant) == pytest.approx(objective.chance)
    regression = choose(floats(64, 2), target := floats(64, 2))
    assert regression.name is LossName.MSE
    assert loss_of(regression, np.broadcast_to(target.mean(0), (64, 2)).copy()) == pytest.approx(1.0)
    assert regression.chance == 1.0
    bits = RANDOM.integers(0, 2, (64, 3)).astype(np.float32)
    binary = choose(floats(64, 3), bits, link=Link.SIGMOID)
    assert binary.name is LossName.BCE
    mean = bits.mean(0)
    assert loss_of(binary, np.tile(np.log(mean / (1 - mean)), (64, 1))) == pytest.approx(binary.chance, rel=1e-6)


@pytest.mark.parametrize(("shape", "target", "axis"), [((4, 3, 5, 5), (4, 5, 5), 1), ((4, 6, 3), (4, 6), 2)])
def test_the_class_axis_is_the_one_the_targets_lack(shape: tuple[int, ...], target: tuple[int, ...], axis: int) -> None:
    logits, ids = floats(*shape), RANDOM.integers(0, 3, target)
    objective = choose(logits, ids)
    truth = F.cross_entropy(torch.from_numpy(logits).movedim(axis, 1), torch.from_numpy(ids))
    assert objective.class_axis == axis
    assert loss_of(objective, logits) == pytest.approx(truth.item(), rel=1e-5)


def test_a_softmax_says_which_axis_counts_classes() -> None:
    objective = choose(floats(4, 4, 4), RANDOM.integers(0, 4, (4, 4)), link=Link.SOFTMAX, axis=-1)
    assert objective.class_axis == 2


def test_ignored_labels_count_for_nothing() -> None:
    labels = np.where(np.arange(8) % 2 == 0, -100, LABELS)
    logits = floats(8, 3)
    objective = choose(logits, labels)
    kept = labels != -100
    truth = F.cross_entropy(torch.from_numpy(logits[kept]), torch.from_numpy(labels[kept]))
    assert loss_of(objective, logits) == pytest.approx(truth.item(), rel=1e-5)


def test_one_logit_and_bits_are_binary_cross_entropy_and_numbers_are_regression() -> None:
    bits = np.array([0, 1, 1, 0, 1, 0, 1, 1])
    assert choose(floats(8, 1), bits).name is LossName.BCE
    assert choose(floats(8, 1), floats(8)).name is LossName.MSE
    assert choose(floats(8), floats(8)).name is LossName.MSE


@pytest.mark.parametrize(
    ("logits", "target", "expected", "given"),
    [((8, 3), LABELS + 1, "0..2", "1..3"), ((8, 3), np.zeros((7, 3), np.float32), "[8, 3]", "[7, 3]"),
     ((8, 3), np.zeros((8, 4), np.float32), "[8, 3]", "[8, 4]")],
)  # fmt: skip
def test_targets_that_do_not_fit_are_refused_with_what_was_expected_and_given(
    logits: tuple[int, ...], target: np.ndarray, expected: str, given: str
) -> None:
    with pytest.raises(BadBatch) as refused:
        choose(floats(*logits), target)
    assert expected in str(refused.value)
    assert given in str(refused.value)


def test_a_single_class_has_no_chance_level_and_says_why() -> None:
    objective = choose(floats(8, 3), np.zeros(8, np.int64))
    assert objective.chance is None
    assert "equal" in objective.absent_chance
    assert choose(floats(8, 2), np.ones((8, 2), np.float32), wanted=LossName.MSE).chance is None


def test_a_scalar_output_is_its_own_loss() -> None:
    objective = choose(np.array(1.5, np.float32))
    assert objective.name is LossName.GRAPH
    assert objective.chance is None
    assert loss_of(objective, np.array(1.5, np.float32)) == 1.5
    with pytest.raises(BadOptions, match="no scalar"):
        choose(floats(4, 3), wanted=LossName.GRAPH)


def test_without_targets_labels_are_balanced_seeded_and_said_to_be_synthetic() -> None:
    objective, again = choose(floats(12, 4)), choose(floats(12, 4))
    assert objective.targets is not None
    assert np.array_equal(objective.targets, again.targets)
    assert list(np.bincount(objective.targets)) == [3, 3, 3, 3]
    assert objective.provenance is Provenance.SYNTHETIC
    assert "no targets" in objective.chosen


def test_without_targets_a_trained_model_gets_its_own_predictions_permuted() -> None:
    logits = floats(64, 4)
    objective = choose(logits, trained=True)
    assert objective.targets is not None
    assert np.array_equal(np.bincount(objective.targets), np.bincount(logits.argmax(1)))
    assert not np.array_equal(objective.targets, logits.argmax(1))


def test_synthetic_targets_of_sequences_and_images_are_one_label_per_sample() -> None:
    sequences = choose(floats(8, 5, 3))
    assert sequences.targets is not None
    assert sequences.targets.shape == (8, 5)
    assert (sequences.targets == sequences.targets[:, :1]).all()
    assert choose(floats(8, 3, 4, 4)).class_axis == 1


def test_the_loss_can_be_chosen() -> None:
    logits = floats(8, 3)
    log_probabilities = np.log(np.full((8, 3), 1 / 3, np.float32))
    assert loss_of(choose(logits, LABELS, wanted=LossName.NLL), log_probabilities) == pytest.approx(math.log(3))
    assert choose(logits, np.eye(3, dtype=np.float32)[LABELS], wanted=LossName.MSE).name is LossName.MSE
    with pytest.raises(BadBatch, match="within"):
        choose(logits, 3 * floats(8, 3), wanted=LossName.BCE)
