from collections.abc import Sequence

import pytest
import torch

from analysis.facts import Outcome, ProbeKind
from analysis.measure.readable import split
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from analysis.training.grid import GRID, NO_STEP
from analysis.training.outcome import outcome_of
from analysis.training.probe import _Session, probe
from tests.gallery import he, mlp, vectors, xavier


def subject_of(model: bytes, samples: int = 256) -> Subject:
    return prepare(check_model(model), vectors(samples), AnalysisOptions())


def test_weights_are_restored_to_the_last_bit() -> None:
    subject = subject_of(mlp(4, "Relu", he()))
    before = {name: weight.detach().clone() for name, weight in subject.converted.initializers.items()}
    result = probe(subject, kind=ProbeKind.MEMORIZING, grid=GRID, seeds=(0,), training=False)
    assert all(run.weight_norm.end != run.weight_norm.start for run in result.runs)
    for name, weight in subject.converted.initializers.items():
        assert torch.equal(weight, before[name])


def test_a_healthy_network_learns_and_stops_early() -> None:
    result = probe(
        subject_of(mlp(4, "Relu", he()), 64), kind=ProbeKind.MEMORIZING, grid=GRID, seeds=(0,), training=False
    )
    assert result.learns("sgd")
    assert result.learns("adam")
    assert result.best_loss_over_chance < 0.5
    assert min(len(run.curve) for run in result.runs) < 20


def test_a_deep_sigmoid_network_stalls_and_its_first_layer_does_not_move() -> None:
    result = probe(
        subject_of(mlp(12, "Sigmoid", xavier())), kind=ProbeKind.LEARNING, grid=GRID, seeds=(0,), training=False
    )
    assert result.kind is ProbeKind.LEARNING
    assert result.steps == 50
    assert not result.learns("sgd")
    assert all(run.outcome is Outcome.STALLED for run in result.runs)
    gentle = next(run for run in result.runs if run.learning_rate == 0.01)
    assert gentle.moved["layer-01"] < 1e-5 < gentle.moved["layer-12"]


def test_exploding_weights_diverge() -> None:
    result = probe(
        subject_of(mlp(20, "Relu", he(3.0))), kind=ProbeKind.MEMORIZING, grid=GRID, seeds=(0,), training=False
    )
    assert any(run.outcome is Outcome.DIVERGED for run in result.runs)
    assert not result.learns("sgd")


def test_the_worst_seed_counts() -> None:
    subject = subject_of(mlp(4, "Relu", he()))
    result = probe(subject, kind=ProbeKind.MEMORIZING, grid=GRID, seeds=(0, 1, 2), training=False)
    best = {seed: min(run.curve[-1] for run in result.runs if run.seed == seed) for seed in (0, 1, 2)}
    assert result.best_loss_over_chance == max(best.values())


def test_the_same_seed_gives_the_same_probe() -> None:
    subject = subject_of(mlp(4, "Tanh", xavier()))
    arguments = {"kind": ProbeKind.LEARNING, "grid": GRID, "seeds": (3,), "training": False}
    assert probe(subject, **arguments) == probe(subject, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("late", "learnt"), [(False, 0.7), (True, 0.2)])
def test_a_run_that_stops_early_has_learnt_though_the_other_samples_are_a_third_harder(
    late: bool, learnt: float
) -> None:
    minibatches = [[0], [1]]
    session = _Session(
        subject_of(mlp(2, "Relu", he())), [0, 1], [], minibatches, 1.0,
        training=False, to_the_end=False, late=late, step=NO_STEP, tick=int,
    )  # fmt: skip
    stops_at = next(loss / 100 for loss in range(100, 0, -1) if session.is_over([loss / 100] * 5, []))
    assert outcome_of([1.0, stops_at * 4 / 3], [], learnt) is Outcome.LEARNT


def test_samples_held_out_are_not_trained_on() -> None:
    asked: list[tuple[int, ...]] = []
    subject = subject_of(mlp(3, "Relu", he()))
    seen = subject.tensors

    def noted(rows: Sequence[int] | None = None) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        asked.append(tuple(rows or ()))
        return seen(rows)

    object.__setattr__(subject, "tensors", noted)
    proof = probe(
        subject, kind=ProbeKind.LEARNING, grid=GRID[:1], seeds=[0], training=False, to_the_end=True, hold_out=True
    )
    trained, held_out = split(256, 0)
    assert (len(held_out), proof.held_out) == (64, 64)
    assert set(trained).isdisjoint(held_out)
    by_step = [set(rows) for rows in asked if set(rows) not in ({*trained}, {*held_out})]
    assert len(by_step) >= 50
    assert set().union(*by_step) == set(trained)
    assert len(proof.runs[0].held_out) == 6
