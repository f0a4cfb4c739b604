"""Floors against torch's losses at the best outputs within limits; targets against numpy."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.diagnosis.causes import diagnose
from analysis.graph.ranges import Limits
from analysis.measure.passes import measure
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.objective import Objective
from analysis.subject.outputs import describe_targets, floor_of
from analysis.subject.preparation import prepare
from tests.analysis.graph.subjects import drawn, written
from tests.gallery import npz

RANDOM = np.random.default_rng(0)
X = drawn(40, 4)


def network(end: str, outputs: int = 5) -> bytes:
    return written("(float[N,4] x) => (float[N,M] y)", f"z = MatMul(x, W) y = {end}(z)", W=drawn(4, outputs, seed=1))


def objective_of(target: np.ndarray, end: str = "Identity", **options: str) -> Objective:
    outputs = target.shape[1] if target.ndim == 2 else 5
    batch = npz(x=X, target=target)
    return prepare(check_model(network(end, outputs)), batch, AnalysisOptions(**options)).objective


def best_within(objective: Objective, shape: tuple[int, ...], low: float, high: float) -> float:
    """What projected gradient descent comes to."""
    z = torch.zeros(shape, dtype=torch.float64).clamp(low, high).requires_grad_()
    targets = torch.from_numpy(objective.targets)
    step = torch.optim.Adam([z], 0.05)
    for _ in range(800):
        step.zero_grad()
        loss = objective.loss(z, targets)
        loss.backward()
        step.step()
        with torch.no_grad():
            z.clamp_(low, high)
    return float(objective.loss(z, targets).detach())


@pytest.mark.parametrize(
    ("target", "limits"),
    [
        (RANDOM.integers(0, 5, 40), (0.0, 1.0)),
        (RANDOM.integers(0, 5, 40), (-1.0, 1.0)),
        (RANDOM.integers(0, 2, (40, 3)), (0.0, 1.0)),
        ((1 + 3 * RANDOM.random((40, 2))).astype(np.float32), (-1.0, 1.0)),
        (RANDOM.standard_normal((40, 2)).astype(np.float32), (0.0, math.inf)),
    ],
)
def test_nothing_within_the_limits_has_less_loss_than_the_floor_and_training_gets_there(
    target: np.ndarray, limits: tuple[float, float]
) -> None:
    objective = objective_of(target)
    shape = target.shape if target.ndim == 2 else (len(target), 5)
    floor = floor_of(objective, shape, Limits(*limits))
    assert floor is not None
    assert floor * (objective.chance or 1.0) == pytest.approx(best_within(objective, shape, *limits), rel=2e-2)


def best_shares(objective: Objective, shape: tuple[int, ...]) -> float:
    """What gradient descent in the logits of a softmax comes to."""
    z = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    step = torch.optim.Adam([z], 0.05)
    for _ in range(3000):
        step.zero_grad()
        loss = objective.loss(z.softmax(1), torch.from_numpy(objective.targets))
        loss.backward()
        step.step()
    return float(loss.detach())


@pytest.mark.parametrize(
    ("target", "loss"),
    [
        (RANDOM.standard_normal((40, 3)).astype(np.float32), "mse"),
        ((1 + 3 * RANDOM.random((40, 5))).astype(np.float32), "mse"),
        (RANDOM.random((40, 4)).astype(np.float32), "mse"),
        (RANDOM.integers(0, 2, (40, 4)), "bce"),
    ],
    ids=["around 0", "over 1", "within", "several classes"],
)
def test_what_shares_of_a_whole_cannot_reach_is_counted_so(target: np.ndarray, loss: str) -> None:
    objective = objective_of(target, "Softmax")
    assert objective.name.value == loss
    floor = floor_of(objective, target.shape, Limits(0.0, 1.0))
    assert floor is not None
    assert floor * (objective.chance or 1.0) == pytest.approx(best_shares(objective, target.shape), rel=1e-2)


@pytest.mark.parametrize(("end", "fires"), [("Softmax", True), ("Sigmoid", False)])
def test_several_classes_at_once_need_a_sigmoid_for_each(end: str, fires: bool) -> None:
    batch = npz(x=X, target=RANDOM.integers(0, 2, (40, 5)))
    found = measure(prepare(check_model(network(end)), batch, AnalysisOptions()), cotangents=(0, 1))
    assert ("GH503" in {finding.rule for finding in diagnose(found)}) is fires


def test_the_floor_of_a_yes_in_parts_behind_a_softmax_is_not_known() -> None:
    target = RANDOM.random((40, 4)).astype(np.float32)
    objective = objective_of(target, "Softmax", loss="bce")
    assert floor_of(objective, target.shape, Limits(0.0, 1.0)) is None


@pytest.mark.parametrize(
    ("end", "target", "loss"),
    [
        ("Tanh", RANDOM.integers(0, 2, (40, 5)), "mse"),
        ("HardSigmoid", RANDOM.integers(0, 2, (40, 5)).astype(np.float32), "mse"),
        ("Relu", RANDOM.integers(0, 2, (40, 5)), "bce"),  # not bounded above
        ("Identity", RANDOM.integers(0, 2, (40, 5)), "bce"),
        ("Sigmoid", RANDOM.integers(0, 2, (40, 5)), "bce"),
    ],
)
def test_zero_and_one_are_numbers_to_outputs_whose_bounds_hold_them(end: str, target: np.ndarray, loss: str) -> None:
    assert objective_of(target, end).name.value == loss
    assert objective_of(target, end, loss="bce").name.value == "bce"


def test_a_doubled_softmax_over_ten_balanced_classes_leaves_0_63_of_chance() -> None:
    target = np.arange(40) % 10
    batch = npz(x=X, target=target)
    options = AnalysisOptions(loss="cross_entropy")
    found = measure(prepare(check_model(network("Softmax", 10)), batch, options), cotangents=(0, 1)).outputs
    assert found is not None
    certain = F.cross_entropy(torch.eye(10, dtype=torch.float64)[torch.from_numpy(target)], torch.from_numpy(target))
    assert found.doubled
    assert found.doubled_floor == pytest.approx(float(certain) / math.log(10), rel=1e-6)
    assert (found.least, found.most, found.link, found.link_units) == (0, 1, "Softmax", 10)
    assert "behind the final Softmax, by a loss that brings its own" in found.reading


@pytest.mark.parametrize(
    ("end", "target", "options", "reading"),
    [
        ("Softmax", np.arange(40) % 5, {}, "as class scores in front of the final Softmax"),
        ("Sigmoid", RANDOM.integers(0, 2, (40, 5)), {}, "as scores of yes and no in front of the final Sigmoid"),
        ("Identity", np.arange(40) % 5, {}, "as class scores, as it stands"),
        ("Tanh", drawn(40, 5), {}, "as numbers, as it stands"),
        ("Sigmoid", 3 + drawn(40, 5), {}, "as it stands, behind the final Sigmoid."),
    ],
)
def test_how_the_output_was_read_is_one_sentence(
    end: str, target: np.ndarray, options: dict[str, str], reading: str
) -> None:
    subject = prepare(check_model(network(end)), npz(x=X, target=target), AnalysisOptions(**options))
    found = measure(subject, cotangents=(0, 1)).outputs
    assert found is not None
    assert reading in found.reading
    assert not found.doubled


@pytest.mark.parametrize(("axis", "missed"), [(1, True), (2, False), (-1, False), (-2, True)])
@pytest.mark.parametrize("end", ["Softmax", "LogSoftmax"])
def test_a_softmax_over_the_steps_misses_the_classes(end: str, axis: int, missed: bool) -> None:
    nodes = f"z = MatMul(x, W) y = {end}<axis = {axis}>(z)"
    model = check_model(written("(float[N,4,6] x) => (float[N,4,3] y)", nodes, W=drawn(6, 3)))
    batch = npz(x=drawn(40, 4, 6), target=RANDOM.integers(0, 3, (40, 4)))
    found = measure(prepare(model, batch, AnalysisOptions()), cotangents=(0, 1)).outputs
    assert found is not None
    assert found.link_misses_classes is missed
    assert "as class scores in front of" in found.reading


def test_numbers_are_told_by_their_moments() -> None:
    target = (3 + 2 * RANDOM.standard_normal((40, 3))).astype(np.float32)
    target[0, 0] = 500.0
    found = describe_targets(objective_of(target), None)
    assert found is not None
    assert (found.kind, found.least, found.most) == ("numbers", pytest.approx(target.min()), 500)
    assert found.mean == pytest.approx(target.mean(), rel=1e-6)
    assert found.std == pytest.approx(math.sqrt(target.astype(np.float64).var(0).mean()), rel=1e-6)
    assert found.rms == pytest.approx(math.sqrt(np.square(target.astype(np.float64)).mean()), rel=1e-6)
    deviations = np.square((target - target.mean(0)) / target.std(0)).astype(np.float64)
    assert found.tail_share == pytest.approx(np.sort(deviations.reshape(-1))[-1:].sum() / deviations.sum(), rel=1e-4)


def test_marks_among_numbers_are_told() -> None:
    target = RANDOM.standard_normal((40, 3)).astype(np.float32)
    plain = describe_targets(objective_of(target), None)
    assert plain is not None
    assert plain.far_decades is None
    target[:3, 1] = -9999.0
    found = describe_targets(objective_of(target), None)
    assert found is not None
    assert found.far_decades == pytest.approx(4.0, abs=0.3)


def test_labels_are_told_by_their_counts_and_ignored_ones_are_none() -> None:
    target = np.array([0] * 30 + [1] * 6 + [3] * 2 + [-100] * 2)
    found = describe_targets(objective_of(target), 5)
    assert found is not None
    assert (found.kind, found.classes, found.present) == ("labels", 5, 3)
    assert found.imbalance == 15
    assert found.rarest_share == pytest.approx(2 / 38)


def test_of_targets_that_were_made_up_nothing_is_told() -> None:
    made_up = prepare(check_model(network("Identity")), npz(x=X), AnalysisOptions()).objective
    assert describe_targets(made_up, 5) is None


@pytest.mark.parametrize("end", ["s = Sigmoid(z)", "s = Tanh(z)", "s = Relu(z)", "t = Sigmoid(z) s = Neg(t)"])
def test_what_was_made_up_lies_within_what_the_outputs_can_reach(end: str) -> None:
    """A score that is the mean of many, as detectors of speech end."""
    nodes = f"z = MatMul(x, W) {end} y = ReduceMean<axes = [1], keepdims = 1>(s)"
    model = written("(float[N,4] x) => (float[N,1] y)", nodes, W=drawn(4, 6))
    for source in (None, npz(x=X)):
        subject = prepare(check_model(model), source, AnalysisOptions())
        assert "random numbers" in subject.objective.chosen
        outputs = measure(subject, cotangents=(0, 1)).outputs
        assert outputs is not None
        assert outputs.floor == 0
