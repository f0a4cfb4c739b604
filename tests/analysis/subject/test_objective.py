import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from analysis.batch import Batch
from analysis.errors import BadBatch, BadOptions, NodeFailed
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


def test_targets_have_the_axes_of_the_logits_but_for_the_classes() -> None:
    ids = choose(floats(8, 3, 5), np.zeros((8, 5), np.int64))
    assert [ids.axis_of_targets(axis) for axis in range(3)] == [0, None, 1]
    numbers = choose(floats(8, 5), floats(8, 5))
    assert [numbers.axis_of_targets(axis) for axis in range(2)] == [0, 1]


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


@pytest.mark.parametrize("targets", [LABELS[:7], np.zeros((9, 3), np.float32), np.zeros(5, np.float32)])
@pytest.mark.parametrize("wanted", [LossName.AUTOMATIC, LossName.CROSS_ENTROPY, LossName.MSE])
def test_more_or_fewer_targets_than_samples_are_counted(targets: np.ndarray, wanted: LossName) -> None:
    with pytest.raises(BadBatch, match=f"{len(targets)} targets for 8 samples") as refused:
        choose(floats(8, 3), targets, wanted=wanted)
    assert refused.value.hint == "send one target for each sample"


def test_a_single_class_has_no_chance_level_and_says_why() -> None:
    objective = choose(floats(8, 3), np.zeros(8, np.int64))
    assert objective.chance is None
    assert "equal" in objective.absent_chance
    assert choose(floats(8, 2), np.ones((8, 2), np.float32), wanted=LossName.MSE).chance is None


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "bce"])
def test_another_number_of_rows_than_targets_is_a_failed_node_and_is_not_broadcast(loss: str) -> None:
    targets = np.arange(6) % 3 if loss == "cross_entropy" else RANDOM.random((6, 3)).astype(np.float32)
    objective = choose(floats(6, 3), targets, wanted=LossName(loss))
    assert objective.targets is not None
    wanted = torch.from_numpy(objective.targets)
    assert torch.isfinite(objective.loss(torch.zeros(6, 3), wanted))
    for rows in (1, 5):
        with pytest.raises(NodeFailed, match="depends on the weights"):
            objective.loss(torch.zeros(rows, 3), wanted)


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


# ------------------------------------------------------------------ which loss, at the borders


def choose_among(
    heads: list[Head], logits: dict[str, np.ndarray], targets: dict[str, np.ndarray], samples: int
) -> Objective:
    batch = Batch({"x": floats(samples, 3)}, targets, samples, {"x": 0}, "0", Provenance.UPLOADED)
    return choose_objective(heads, logits, batch, LossName.AUTOMATIC, trained=False, seed=0)


def test_the_first_head_that_has_a_target_is_trained() -> None:
    heads = [Head(name, f"{name}_logits", Link.IDENTITY, None) for name in "abc"]
    logits = {f"{name}_logits": floats(8, 3) for name in "abc"}
    assert choose_among(heads, logits, {"b": LABELS, "c": LABELS}, 8).head.output == "b"
    assert choose_among(heads, logits, {"": LABELS}, 8).head.output == "a"
    assert choose_among(heads, logits, {}, 8).head.output == "a"
    with pytest.raises(BadBatch, match="no gradient to train it") as refused:
        choose_among(heads, logits, {"d": LABELS}, 8)
    assert refused.value.hint == "targets can go to a, b, c"


@pytest.mark.parametrize("name", ["", "a"])
def test_bytes_are_no_targets_of_what_they_are_made_of(name: str) -> None:
    """A picture of 0 to 255 against numbers of 0 to 1 would say that the targets are out of reach."""
    heads, logits = [Head("a", "z", converted=True)], {"z": floats(8, 3)}
    assert choose_among(heads, logits, {}, 8).head.value == "z"
    with pytest.raises(BadBatch, match="made of whole numbers") as refused:
        choose_among(heads, logits, {name: RANDOM.integers(0, 256, (8, 3))}, 8)
    assert refused.value.hint == "add z to the graph's outputs and send a target for that, or send none"


@pytest.mark.parametrize(
    ("logits", "samples", "heads", "own"),
    [
        (np.array(1.5, np.float32), 8, 1, True),
        (np.array([1.5], np.float32), 8, 1, True),  # one number for eight samples
        (np.array([1.5], np.float32), 8, 2, False),  # of two outputs none is the loss
        (np.array(1.5, np.float32), 8, 2, True),  # but a scalar is, as modules answer that know their labels
        (np.array([1.5], np.float32), 1, 1, False),  # one number for one sample
        (np.array([[1.5]], np.float32), 1, 1, False),
        (np.array([1.5, 2.0], np.float32), 2, 1, False),
    ],
)
def test_one_number_for_all_samples_is_a_loss_of_its_own(
    logits: np.ndarray, samples: int, heads: int, own: bool
) -> None:
    outputs = [Head(name, name, Link.IDENTITY, None) for name in "ab"[:heads]]
    objective = choose_among(outputs, dict.fromkeys("ab", logits), {}, samples)
    assert (objective.name is LossName.GRAPH) is own
    assert (objective.targets is None) is own


def test_targets_of_samples_are_for_the_first_output_that_has_samples() -> None:
    """A loss that a module computes of labels it was handed, and its scores."""
    heads = [Head(name, name, Link.IDENTITY, None) for name in "ab"]
    logits = {"a": np.array(1.5, np.float32), "b": floats(8, 3)}
    chosen = choose_among(heads, logits, {"": np.arange(8) % 3}, 8)
    assert (chosen.head.output, chosen.name) == ("b", LossName.CROSS_ENTROPY)
    with pytest.raises(BadBatch, match="for output a, given"):  # where there is no other
        choose_among(heads[:1], logits, {"": np.arange(8) % 3}, 8)


def test_a_number_with_a_target_is_fitted_unless_the_graphs_own_loss_is_asked_for() -> None:
    logits, target = np.array([1.5], np.float32), np.array([2.0], np.float32)
    assert choose(logits, target).name is LossName.MSE
    assert choose(logits, target, wanted=LossName.GRAPH).name is LossName.GRAPH


@pytest.mark.parametrize(
    ("numbers", "fits"), [([0.0, 1.0], True), ([0.25, 0.75], True), ([-0.01, 1.0], False), ([0.0, 1.01], False)]
)
def test_binary_targets_lie_within_0_and_1(numbers: list[float], fits: bool) -> None:
    target = np.array([numbers, numbers[::-1]] * 4, np.float32)
    if fits:
        assert choose(floats(8, 2), target, wanted=LossName.BCE).name is LossName.BCE
    else:
        with pytest.raises(BadBatch, match="within"):
            choose(floats(8, 2), target, wanted=LossName.BCE)


def test_chance_of_bits_is_the_mean_entropy_of_each_output() -> None:
    bits = np.array([[0, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 1]], np.float32)  # shares 1/4, 1, 3/4
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert choose(floats(4, 3), bits, link=Link.SIGMOID).chance == pytest.approx(2 * entropy / 3)
    single = choose(floats(4, 1), bits[:, :1], link=Link.SIGMOID)
    assert single.chance == pytest.approx(entropy)


def test_binary_cross_entropy_of_soft_targets_counts_from_what_no_output_comes_under() -> None:
    targets = np.array([[0.9], [0.2], [0.5], [0.2]], np.float32)  # mean 0.45
    objective = choose(floats(4, 1), targets, link=Link.SIGMOID)

    def entropy(share: float) -> float:
        return -(share * math.log(share) + (1 - share) * math.log(1 - share))

    own = (entropy(0.9) + 2 * entropy(0.2) + entropy(0.5)) / 4
    assert objective.chance == pytest.approx(entropy(0.45) - own, rel=1e-5)
    assert f"counted from their entropy of {own:.3f}" in objective.chosen
    numbers = torch.from_numpy(targets)
    perfect, constant = torch.logit(numbers), torch.full((4, 1), math.log(0.45 / 0.55))
    assert float(objective.loss(perfect, numbers)) == pytest.approx(0, abs=1e-6)
    assert float(objective.loss(constant, numbers)) == pytest.approx(entropy(0.45) - own, rel=1e-5)


def test_soft_targets_that_are_all_equal_leave_no_chance() -> None:
    assert choose(floats(8, 3), np.full((8, 3), 0.3, np.float32), wanted=LossName.BCE).chance is None


def test_labels_that_are_ignored_are_none_of_the_frequencies() -> None:
    labels = np.array([0, 0, 1, -100, -100, 0, -100, -100])
    assert choose(floats(8, 3), labels).chance == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))
    assert choose(floats(8, 3), np.where(labels == 1, -100, labels)).chance is None
    assert choose(floats(8, 3), np.full(8, -100)).chance is None


@pytest.mark.parametrize(
    ("target", "fits"), [([0, 2] * 4, True), ([0, 3] * 4, False), ([0, -1] * 4, False), ([0, -100] * 4, True)]
)
def test_class_ids_count_from_0_to_one_less_than_there_are(target: list[int], fits: bool) -> None:
    if fits:
        assert choose(floats(8, 3), np.array(target)).name is LossName.CROSS_ENTROPY
    else:
        with pytest.raises(BadBatch, match=r"class ids must lie in 0\.\.2"):
            choose(floats(8, 3), np.array(target))


@pytest.mark.parametrize(("target", "hint"), [([1, 2, 3, -100], "subtract 1"), ([0, -1, 2, 1], "left out is -100")])
def test_class_ids_that_do_not_fit_are_told_how_they_would(target: list[int], hint: str) -> None:
    with pytest.raises(BadBatch) as caught:
        choose(floats(4, 3), np.array(target))
    assert hint in caught.value.hint


def test_floats_are_class_ids_where_all_are_whole_and_fit() -> None:
    assert choose(floats(8, 3), LABELS.astype(np.float32)).name is LossName.CROSS_ENTROPY
    for target in (LABELS + 0.5, LABELS + 1.0):
        with pytest.raises(BadBatch, match="expected targets of shape"):
            choose(floats(8, 3), target.astype(np.float32))
    with pytest.raises(BadBatch, match="class ids must lie"):
        choose(floats(8, 3), (LABELS + 1).astype(np.float32), wanted=LossName.CROSS_ENTROPY)
    with pytest.raises(BadBatch, match="class ids do not fit"):
        choose(floats(8, 3), (LABELS + 0.5).astype(np.float32), wanted=LossName.NLL)


def test_rows_that_are_not_one_hot_are_numbers() -> None:
    rows = np.eye(3, dtype=np.float32)[LABELS]
    assert choose(floats(8, 3), rows).name is LossName.CROSS_ENTROPY
    two = rows.copy()
    two[0] = 1.0
    assert choose(floats(8, 3), two).name is LossName.BCE  # still bits
    soft = 0.9 * rows + 0.1 / 3
    assert choose(floats(8, 3), soft).name is LossName.MSE


@pytest.mark.parametrize(("link", "name"), [
    (Link.SIGMOID, LossName.BCE), (Link.IDENTITY, LossName.CROSS_ENTROPY), (Link.SOFTMAX, LossName.CROSS_ENTROPY),
])  # fmt: skip
def test_a_sigmoid_makes_bits_of_one_hot_rows(link: Link, name: LossName) -> None:
    assert choose(floats(8, 3), np.eye(3, dtype=np.float32)[LABELS], link=link).name is name


@pytest.mark.parametrize(
    ("shape", "target", "name"),
    [
        ((8, 1), (8, 1), LossName.MSE),  # one output counts no classes
        ((8, 3), (8, 3), LossName.MSE),
        ((8, 3), (8, 1, 1), LossName.CROSS_ENTROPY),  # a column of ids
        ((8, 3, 4), (8, 12), LossName.MSE),
    ],
)
def test_shapes_say_whether_targets_are_ids(shape: tuple[int, ...], target: tuple[int, ...], name: LossName) -> None:
    ids = np.arange(math.prod(target)).reshape(target) % 3
    values = ids if name is LossName.CROSS_ENTROPY else floats(*target)
    assert choose(floats(*shape), values).name is name


def test_numbers_are_counted_in_their_deviation() -> None:
    target = np.array([[0.0, 10.0], [2.0, 10.0], [0.0, 30.0], [2.0, 30.0]], np.float32)  # variances 1 and 100
    objective = choose(floats(4, 2), target)
    assert objective.scale == pytest.approx(50.5)
    assert objective.deviation == pytest.approx(math.sqrt(50.5))
    assert choose(floats(8, 3), LABELS).deviation == 1.0
    assert objective.targets is not None
    assert objective.targets.dtype == np.float32
    wide = choose(floats(4, 2), target.astype(np.float64) + 0.1)
    assert wide.targets is not None
    assert wide.targets.dtype == np.float64


# ------------------------------------------------------------------ without targets


@pytest.mark.parametrize(
    ("logits", "link", "axis", "name", "class_axis"),
    [
        ((8, 4), Link.IDENTITY, None, LossName.CROSS_ENTROPY, 1),
        ((8, 5, 3), Link.IDENTITY, None, LossName.CROSS_ENTROPY, 2),
        ((8, 3, 4, 4), Link.IDENTITY, None, LossName.CROSS_ENTROPY, 1),
        ((8, 5, 3), Link.SOFTMAX, 1, LossName.CROSS_ENTROPY, 1),
        ((8, 5, 3), Link.SOFTMAX, -1, LossName.CROSS_ENTROPY, 2),
        ((8, 1), Link.IDENTITY, None, LossName.MSE, 0),
        ((8,), Link.IDENTITY, None, LossName.MSE, 0),
        ((8, 3), Link.SIGMOID, None, LossName.BCE, 0),
    ],
)
def test_a_made_up_loss_follows_the_output(
    logits: tuple[int, ...], link: Link, axis: int | None, name: LossName, class_axis: int
) -> None:
    objective = choose(floats(*logits), link=link, axis=axis)
    assert (objective.name, objective.class_axis) == (name, class_axis)
    assert f"({logits[0]} samples)" in objective.chosen


def test_an_output_shaped_like_an_input_mirrors_it() -> None:
    """RANDOM inputs of `choose` are [N, 3]: two classes may be told apart, three numbers are an autoencoder's."""
    batch = Batch({"x": floats(8, 3)}, {}, 8, {"x": 0}, "0", Provenance.UPLOADED)
    for width, name in ((2, LossName.CROSS_ENTROPY), (3, LossName.MSE)):
        head = Head("y", "logits", Link.IDENTITY, None)
        found = choose_objective([head], {"logits": floats(8, width)}, batch, LossName.AUTOMATIC, trained=False, seed=0)
        assert found.name is name


@pytest.mark.parametrize(
    ("given", "made", "name"),
    [
        ((4, 1, 8, 8), (4, 3, 8, 8), LossName.MSE),
        ((4, 1, 8, 8), (4, 3, 16, 24), LossName.MSE),  # twice as high, three times as wide
        ((4, 8, 8, 1), (4, 8, 8, 3), LossName.MSE),
        ((4, 1, 8, 8), (4, 3, 4, 4), LossName.CROSS_ENTROPY),
        ((4, 1, 8, 8), (4, 3, 12, 8), LossName.CROSS_ENTROPY),
        ((4, 1, 8, 8), (4, 5, 8, 8), LossName.CROSS_ENTROPY),
    ],
)
def test_three_channels_at_the_size_of_a_picture_are_a_picture(
    given: tuple[int, ...], made: tuple[int, ...], name: LossName
) -> None:
    batch = Batch({"x": floats(*given)}, {}, 4, {"x": 0}, "0", Provenance.UPLOADED)
    head = Head("y", "logits", Link.IDENTITY, None)
    found = choose_objective([head], {"logits": floats(*made)}, batch, LossName.AUTOMATIC, trained=False, seed=0)
    assert found.name is name


def test_class_ids_are_one_bit_a_class_where_each_class_has_a_sigmoid() -> None:
    logits = floats(8, 3)
    objective = choose(logits, LABELS, link=Link.SIGMOID)
    assert objective.name is LossName.BCE
    truth = F.binary_cross_entropy_with_logits(torch.from_numpy(logits), torch.from_numpy(np.eye(3)[LABELS]).float())
    assert loss_of(objective, logits) == pytest.approx(truth.item())


def test_targets_may_be_sent_under_the_name_of_the_label_that_is_made_of_the_scores() -> None:
    head, logits = Head("scores", "logits", Link.SOFTMAX, 1, read_also_by=("label",)), floats(8, 3)
    batch = Batch({"x": floats(8, 3)}, {"label": LABELS}, 8, {"x": 0}, "0", Provenance.UPLOADED)
    found = choose_objective([head], {"logits": logits}, batch, LossName.AUTOMATIC, trained=False, seed=0)
    assert found.name is LossName.CROSS_ENTROPY


@pytest.mark.parametrize("wanted", [LossName.MSE, LossName.BCE])
def test_made_up_numbers_are_the_same_at_every_position_of_a_channel(wanted: LossName) -> None:
    objective = choose(floats(8, 3, 4, 5), wanted=wanted)
    assert objective.targets is not None
    assert objective.targets.shape == (8, 3, 4, 5)
    assert (objective.targets == objective.targets[:, :, :1, :1]).all()
    assert len(np.unique(objective.targets[:, :, 0, 0])) == (24 if wanted is LossName.MSE else 2)
    assert ("random numbers" if wanted is LossName.MSE else "random bits") in objective.chosen


def test_another_seed_makes_up_other_labels() -> None:
    batch = Batch({"x": floats(24, 5)}, {}, 24, {"x": 0}, "0", Provenance.UPLOADED)
    head = Head("y", "logits", Link.IDENTITY, None)
    made = [
        choose_objective([head], {"logits": floats(24, 3)}, batch, LossName.AUTOMATIC, trained=False, seed=seed).targets
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_predictions_are_permuted_between_samples_and_not_between_positions() -> None:
    logits = floats(16, 6, 3)
    objective = choose(logits, trained=True)
    assert objective.targets is not None
    rows = [tuple(row) for row in objective.targets]
    assert sorted(rows) == sorted(tuple(row) for row in logits.argmax(2))
    assert rows != [tuple(row) for row in logits.argmax(2)]


def test_one_output_has_no_classes_to_make_up() -> None:
    with pytest.raises(BadOptions, match="has no classes"):
        choose(floats(8), wanted=LossName.CROSS_ENTROPY)


# ------------------------------------------------------------------ the loss itself


@pytest.mark.parametrize("name", [LossName.CROSS_ENTROPY, LossName.NLL])
def test_classes_may_lie_on_the_last_axis(name: LossName) -> None:
    logits, ids = floats(4, 6, 3), RANDOM.integers(0, 3, (4, 6))
    if name is LossName.NLL:
        logits = torch.from_numpy(logits).log_softmax(-1).numpy()
    ids[0, 0] = -100
    objective = choose(logits, ids, wanted=name)
    flat, kept = torch.from_numpy(logits).reshape(-1, 3), ids.reshape(-1) != -100
    function = F.cross_entropy if name is LossName.CROSS_ENTROPY else F.nll_loss
    truth = function(flat[torch.from_numpy(kept)], torch.from_numpy(ids.reshape(-1)[kept]))
    assert loss_of(objective, logits) == pytest.approx(truth.item(), rel=1e-5)


def test_bits_and_numbers_are_means_over_everything() -> None:
    logits, bits, numbers = floats(8, 3), RANDOM.integers(0, 2, (8, 3)), floats(8, 3)
    truth = F.binary_cross_entropy_with_logits(torch.from_numpy(logits), torch.from_numpy(bits).float())
    assert loss_of(choose(logits, bits, link=Link.SIGMOID), logits) == pytest.approx(truth.item(), rel=1e-5)
    expected = np.square(logits - numbers).mean() / numbers.var(0).mean()
    assert loss_of(choose(logits, numbers), logits) == pytest.approx(expected, rel=1e-5)


def test_the_graphs_own_loss_is_itself_whatever_the_targets() -> None:
    objective = choose(np.array([1.5], np.float32), np.array([2.0], np.float32), wanted=LossName.GRAPH)
    assert float(objective.loss(torch.tensor([1.5]), torch.tensor([2.0]))) == 1.5


@pytest.mark.parametrize(
    ("target", "link", "chosen"),
    [
        (LABELS, Link.IDENTITY, "automatic: integer class targets, logits output"),
        (LABELS.astype(np.float32), Link.SOFTMAX, "automatic: float class targets, softmax output, read at its logits"),
        (LABELS, Link.LOG_SOFTMAX, "automatic: integer class targets, log-softmax output, read at its logits"),
        (np.eye(3, dtype=bool)[LABELS], Link.SIGMOID,
         "automatic: integer targets of 0 and 1, sigmoid output, read at its logits"),
        (np.linspace(0, 1, 24).reshape(8, 3), Link.IDENTITY, "automatic: float targets, logits output"),
    ],
)  # fmt: skip
def test_a_loss_says_what_it_was_chosen_by(target: np.ndarray, link: Link, chosen: str) -> None:
    assert choose(floats(8, 3), target, link=link).chosen == chosen


@pytest.mark.parametrize(
    ("made", "asked", "unit"),
    [
        (0.2, 3000.0, 1.0), (0.2, 3.0, 3.0), (5.0, 1.0, 1.0), (900.0, 1000.0, 1000.0), (0.001, 0.01, 0.01),
        (0.0, 2.0, 1.0), (0.1, 2.9, 2.9), (0.1, 3.1, 1.0), (900.0, 1.0, 1.0),
    ],
)  # fmt: skip
def test_the_unit_of_the_outputs_is_that_they_were_made_for_whatever_is_asked_of_them(
    made: float, asked: float, unit: float
) -> None:
    """The deviation of the targets within a factor of 30 of the outputs', else the middle one of 1 and both."""
    plus_minus = np.array([[1.0], [-1.0], [1.0], [-1.0]], np.float32)
    assert choose(made * plus_minus, asked * plus_minus[::-1]).unit == pytest.approx(unit, rel=1e-6)


@pytest.mark.parametrize("wanted", [LossName.CROSS_ENTROPY, LossName.BCE])
def test_a_loss_that_is_asked_for_by_name_brings_its_own_link(wanted: LossName) -> None:
    """Behind the link of the graph the loss is what torch makes of probabilities as logits."""
    link, axis = (Link.SOFTMAX, -1) if wanted is LossName.CROSS_ENTROPY else (Link.SIGMOID, None)
    targets = LABELS if wanted is LossName.CROSS_ENTROPY else RANDOM.integers(0, 2, (8, 3))
    logits = floats(8, 3)
    objective = choose(logits, targets, wanted=wanted, link=link, axis=axis)
    assert (objective.head.value, objective.link) == ("y", link)
    outputs, truth = torch.from_numpy(logits).softmax(-1), torch.from_numpy(targets)
    if wanted is LossName.CROSS_ENTROPY:
        expected = torch.nn.functional.cross_entropy(outputs, truth)
    else:
        outputs = torch.from_numpy(logits).sigmoid()
        expected = torch.nn.functional.binary_cross_entropy_with_logits(outputs, truth.float())
    assert loss_of(objective, outputs.numpy()) == pytest.approx(float(expected), rel=1e-5)
    assert choose(logits, targets, link=link, axis=axis).head.value == "logits"


def test_nll_of_a_softmax_is_the_cross_entropy_of_its_logits() -> None:
    objective = choose(floats(8, 3), LABELS, wanted=LossName.NLL, link=Link.LOG_SOFTMAX, axis=-1)
    assert (objective.name, objective.head.value) == (LossName.CROSS_ENTROPY, "logits")


def test_nll_of_scores_that_are_no_logarithms_is_read_by_cross_entropy_and_known_to_be_bare() -> None:
    scores = floats(8, 3)
    objective = choose(scores, LABELS, wanted=LossName.NLL)
    assert (objective.name, objective.bare) == (LossName.CROSS_ENTROPY, True)
    assert "no logarithms of probabilities" in objective.chosen
    truth = F.cross_entropy(torch.from_numpy(scores), torch.from_numpy(LABELS))
    assert loss_of(objective, scores) == pytest.approx(truth.item(), rel=1e-5)
    logarithms = torch.from_numpy(scores).log_softmax(-1).half().float().numpy()
    kept = choose(logarithms, LABELS, wanted=LossName.NLL)
    assert (kept.name, kept.bare) == (LossName.NLL, False)
    assert not choose(scores, LABELS, wanted=LossName.CROSS_ENTROPY).bare


def test_a_softmax_over_one_unit_is_read_as_the_probability_it_writes() -> None:
    bits = np.array([[0.0], [1.0]], np.float32)
    objective = choose(floats(2, 1), bits, link=Link.SOFTMAX, axis=1)
    assert objective.head.value == "y"
    assert loss_of(objective, np.full((2, 1), 0.25, np.float32)) == pytest.approx(-math.log(0.25 * 0.75) / 2, rel=1e-6)


def test_only_numbers_are_counted_in_a_unit_of_their_own() -> None:
    own = choose(np.array(1.5, np.float32))
    assert (own.unit, own.class_axis) == (1.0, 0)
    assert choose(floats(8, 3), RANDOM.integers(0, 2, (8, 3)), link=Link.SIGMOID).unit == 1.0
    assert choose(floats(8, 2), np.ones((8, 2), np.float32), wanted=LossName.MSE).unit == 1.0  # they do not differ


def test_a_bit_that_is_always_the_same_is_no_news() -> None:
    bits = np.array([[0, 0, 1], [0, 1, 1]] * 4, np.float32)
    assert choose(floats(8, 3), bits, link=Link.SIGMOID).chance == pytest.approx(math.log(2) / 3)


def test_soft_labels_are_numbers_though_they_sum_to_one_and_hold_zeros() -> None:
    soft = np.array([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]] * 4, np.float32)
    assert choose(floats(8, 3), soft).name is LossName.MSE


def test_one_number_that_is_not_whole_makes_no_class_ids() -> None:
    target = LABELS.astype(np.float32)
    target[3] += 0.5
    with pytest.raises(BadBatch, match="expected targets of shape"):
        choose(floats(8, 3), target)


def test_an_output_that_mirrors_one_of_several_inputs_is_made_of_numbers() -> None:
    batch = Batch({"x": floats(8, 3), "y": floats(8, 5)}, {}, 8, {"x": 0, "y": 0}, "0", Provenance.UPLOADED)
    head = Head("out", "logits", Link.IDENTITY, None)
    for width, name in ((3, LossName.MSE), (5, LossName.MSE), (4, LossName.CROSS_ENTROPY)):
        values = {"logits": floats(8, width)}
        assert choose_objective([head], values, batch, LossName.AUTOMATIC, trained=False, seed=0).name is name


@pytest.mark.parametrize(("trained", "how"), [(False, "balanced random labels"), (True, "its own predictions")])
def test_made_up_labels_say_what_they_are(trained: bool, how: str) -> None:
    assert how in choose(floats(8, 4), trained=trained).chosen


def test_one_number_for_two_samples_is_a_loss_of_its_own() -> None:
    head = Head("a", "a", Link.IDENTITY, None)
    assert choose_among([head], {"a": np.array([1.5], np.float32)}, {}, 2).name is LossName.GRAPH


@pytest.mark.parametrize("shape", [(8, 2), (8, 2, 2)])
def test_two_classes_are_enough(shape: tuple[int, ...]) -> None:
    assert choose(floats(*shape), np.arange(8 * math.prod(shape[2:])).reshape(8, *shape[2:]) % 2).name is (
        LossName.CROSS_ENTROPY
    )
    assert choose(floats(8, 2), (np.arange(8) % 2)[:, None]).name is LossName.CROSS_ENTROPY


def test_soft_bits_are_read_from_their_own_entropy_on_and_chance_is_per_output() -> None:
    """By hand: outputs of logit 0 cost log 2 a bit; targets .25 and .75 in turn for one output, .5 for the other."""
    shares = np.array([[0.25, 0.5], [0.75, 0.5]] * 4, np.float32)
    own = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    objective = choose(np.zeros((8, 2), np.float32), shares, wanted=LossName.BCE)
    assert objective.chance == pytest.approx((math.log(2) - own) / 2)
    assert loss_of(objective, np.zeros((8, 2), np.float32)) == pytest.approx((math.log(2) - own) / 2, rel=1e-5)
    assert loss_of(objective, np.log(shares / (1 - shares))) == pytest.approx(0.0, abs=1e-6)


def test_soft_bits_that_are_all_equal_leave_nothing_to_learn() -> None:
    objective = choose(floats(8, 2), np.full((8, 2), 0.3, np.float32), wanted=LossName.BCE)
    assert objective.chance is None
    assert "all targets of the batch are equal" in objective.absent_chance


SOFT = np.array([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]], np.float32)


@pytest.mark.parametrize(
    ("link", "wanted"),
    [
        (Link.IDENTITY, LossName.CROSS_ENTROPY),
        (Link.SOFTMAX, LossName.NLL),
        (Link.SOFTMAX, LossName.AUTOMATIC),
        (Link.LOG_SOFTMAX, LossName.AUTOMATIC),
    ],
)
def test_rows_of_probabilities_are_soft_labels_whose_own_entropy_is_taken_off(link: Link, wanted: LossName) -> None:
    logits = floats(4, 3)
    objective = choose(logits, SOFT, link=link, wanted=wanted, axis=1 if link is not Link.IDENTITY else None)
    assert (objective.name, objective.soft, objective.class_axis) == (LossName.CROSS_ENTROPY, True, 1)
    rows = torch.from_numpy(SOFT)
    own = float(torch.distributions.Categorical(rows.double()).entropy().mean())
    truth = float(F.cross_entropy(torch.from_numpy(logits), rows))
    assert loss_of(objective, logits) == pytest.approx(truth - own, abs=1e-5)
    mean = torch.distributions.Categorical(rows.double().mean(0))
    assert objective.chance == pytest.approx(float(mean.entropy()) - own, rel=1e-6)
    assert objective.axis_of_targets(1) == 1
    assert f"counted from their entropy of {own:.3f}" in objective.chosen


def test_probabilities_may_count_classes_along_another_axis_and_must_add_up() -> None:
    images = np.moveaxis(np.stack([SOFT, SOFT[::-1]]), -1, 1)  # [2, 3, 4]
    objective = choose(floats(2, 3, 4), np.ascontiguousarray(images), wanted=LossName.CROSS_ENTROPY)
    assert (objective.class_axis, objective.soft) == (1, True)
    for wrong in (SOFT * 0.9, SOFT - 0.1):
        with pytest.raises(BadBatch, match="class ids do not fit"):
            choose(floats(4, 3), wrong, wanted=LossName.CROSS_ENTROPY)


# ------------------------------------------------------------------ how far outputs are apart


def of_outputs(values: np.ndarray, objective: Objective) -> tuple[float, float]:
    """How far the loss comes under chance, and how far it may."""
    return 1 - objective.over_chance(loss_of(objective, values)), objective.reach(torch.from_numpy(values))


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (LABELS, LossName.AUTOMATIC),
        (floats(8, 3), LossName.MSE),
        (floats(8, 3) * 1e3 + 5e3, LossName.MSE),
        (RANDOM.integers(0, 2, (8, 3)).astype(np.float32), LossName.BCE),
        (RANDOM.uniform(0, 1, (8, 3)).astype(np.float32), LossName.BCE),
    ],
)
@pytest.mark.parametrize("apart", [0.0, 1e-4, 1e-2, 0.1])
def test_the_loss_comes_no_further_under_chance_than_outputs_are_apart(
    target: np.ndarray, wanted: LossName, apart: float
) -> None:
    """Of outputs that a step along the gradient has told apart: nothing else of that size lowers the loss so far."""
    objective = choose(floats(8, 3), target, wanted=wanted)
    best = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.from_numpy(objective.targets)  # type: ignore[arg-type]
    descent = torch.optim.LBFGS([best], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def loss() -> torch.Tensor:
        descent.zero_grad()
        value = objective.loss(objective.deviation * best.expand(8, 3), targets)
        value.backward()
        return value

    descent.step(loss)  # type: ignore[no-untyped-call]
    constant = (objective.deviation * best.detach().expand(8, 3)).clone().requires_grad_()
    objective.loss(constant, targets).backward()
    assert constant.grad is not None
    step = constant.grad / constant.grad.abs().max() * apart * objective.deviation
    under, reach = of_outputs((constant - step).detach().numpy(), objective)
    assert under <= reach + 1e-6
    assert reach <= 30 * max(under, 1e-6)


def test_positions_that_differ_for_all_samples_alike_are_apart_in_classification_alone() -> None:
    """Chance is that of one label for all positions there, and of numbers a number for each."""
    values = np.broadcast_to(floats(1, 3, 5), (8, 3, 5)).copy()
    labels = choose(floats(8, 3, 5), RANDOM.integers(0, 3, (8, 5)))
    assert labels.class_axis == 1
    assert labels.reach(torch.from_numpy(values)) > 0.1
    assert choose(floats(8, 3, 5), floats(8, 3, 5)).reach(torch.from_numpy(values)) == pytest.approx(0.0, abs=1e-6)


def test_nothing_is_known_of_a_loss_behind_a_link_or_without_chance() -> None:
    values = torch.zeros(8, 3)
    objective = choose(floats(8, 3), LABELS)
    assert objective.reach(values) == 0
    assert replace(objective, link=Link.SOFTMAX).reach(values) == math.inf
    assert replace(objective, chance=None).reach(values) == math.inf
    assert replace(objective, name=LossName.GRAPH).reach(torch.zeros(())) == math.inf
