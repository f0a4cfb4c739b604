"""Floors of equal inputs against torch's losses at answers that training gets to."""

import numpy as np
import pytest
import torch

from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.equal_inputs import floor_of_equal_inputs
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from tests.analysis.graph.subjects import drawn, written
from tests.gallery import npz

RANDOM = np.random.default_rng(0)
ROWS = drawn(6, 4)
WHICH = RANDOM.integers(0, 6, 40)
X = ROWS[WHICH]
SHARES = RANDOM.dirichlet(np.ones(5), 40).astype(np.float32)
LABELS = RANDOM.integers(0, 5, 40)


def subject_of(target: np.ndarray, x: np.ndarray = X, end: str = "Identity", **options: str) -> Subject:
    outputs = target.shape[1] if target.ndim == 2 else 5
    model = written("(float[N,4] x) => (float[N,M] y)", f"z = MatMul(x, W) y = {end}(z)", W=drawn(4, outputs, seed=1))
    return prepare(check_model(model), npz(x=x, target=target), AnalysisOptions(**options))


def best_answers(subject: Subject) -> float:
    """What gradient descent on one answer a group comes to, over chance."""
    objective = subject.objective
    answers = torch.zeros(6, 5 if objective.targets.ndim == 1 else objective.targets.shape[1], dtype=torch.float64)
    answers.requires_grad_()
    step = torch.optim.Adam([answers], 0.05)
    for _ in range(1500):
        step.zero_grad()
        loss = objective.loss(answers[torch.from_numpy(WHICH)], torch.from_numpy(objective.targets))
        loss.backward()
        step.step()
    return objective.over_chance(float(loss.detach()))


@pytest.mark.parametrize(
    ("target", "end", "options"),
    [
        (LABELS, "Identity", {}),
        (SHARES, "Softmax", {}),
        (RANDOM.integers(0, 2, (40, 3)), "Identity", {}),
        (RANDOM.random((40, 2)).astype(np.float32), "Sigmoid", {"loss": "bce"}),
        (RANDOM.standard_normal((40, 2)).astype(np.float32), "Identity", {}),
    ],
)
def test_one_answer_a_group_gets_to_the_floor_and_no_further(
    target: np.ndarray, end: str, options: dict[str, str]
) -> None:
    subject = subject_of(target, end=end, **options)
    floor = floor_of_equal_inputs(subject)
    assert 0.2 < floor < 1
    assert best_answers(subject) == pytest.approx(floor, abs=2e-3)


def test_where_all_inputs_are_equal_nothing_is_better_than_chance() -> None:
    assert floor_of_equal_inputs(subject_of(LABELS, np.repeat(ROWS[:1], 40, 0))) == pytest.approx(1)


def test_inputs_that_differ_and_equal_ones_of_one_label_leave_nothing() -> None:
    assert floor_of_equal_inputs(subject_of(LABELS, drawn(40, 4))) == 0
    assert floor_of_equal_inputs(subject_of(WHICH % 5)) == pytest.approx(0)


def test_each_place_of_a_sequence_has_an_answer_of_its_own_and_ignored_labels_none() -> None:
    model = written("(float[N,4,3] x) => (float[N,4,5] y)", "y = MatMul(x, W)", W=drawn(3, 5))
    x = np.repeat(drawn(1, 4, 3), 40, 0)
    labels = np.stack([np.full(40, 2), LABELS, np.full(40, 1), np.full(40, -100)], 1)
    subject = prepare(check_model(model), npz(x=x, target=labels), AnalysisOptions())
    shares = np.bincount(LABELS) / 40
    entropy = float(-(shares * np.log(shares)).sum())
    assert floor_of_equal_inputs(subject) == pytest.approx(entropy / 3 / subject.objective.chance)


def test_nodes_of_a_graph_whose_edges_are_another_input_are_no_equal_samples() -> None:
    model = written("(float[8,8] a, float[40,4] x) => (float[40,5] y)", "z = ReduceSum<keepdims=0>(a) w = Add(x, z) "
                    "y = MatMul(w, W)", W=drawn(4, 5))  # fmt: skip
    subject = prepare(check_model(model), npz(a=drawn(8, 8), x=X, target=LABELS), AnalysisOptions())
    assert floor_of_equal_inputs(subject) is None


def test_nothing_is_said_of_targets_or_inputs_that_were_made_up() -> None:
    model = written("(float[N,4] x) => (float[N,5] y)", "y = MatMul(x, W)", W=drawn(4, 5))
    assert floor_of_equal_inputs(prepare(check_model(model), npz(x=X), AnalysisOptions())) is None
