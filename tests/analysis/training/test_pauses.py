"""Runs that go on where they stopped."""

from collections.abc import Sequence

import pytest
import torch

from analysis.facts import Probe, ProbeKind
from analysis.model import check_model
from analysis.options import AnalysisOptions, OptimizerName
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from analysis.training.grid import GRID, Training
from analysis.training.pauses import COPIES, Pauses
from analysis.training.probe import probe
from analysis.training.updates import update_of
from tests.gallery import mlp, vectors, xavier

ENTRY = GRID[0]


def subject_of(samples: int) -> Subject:
    """Ten sigmoids, which do not learn in 50 steps."""
    return prepare(check_model(mlp(10, "Sigmoid", xavier())), vectors(samples), AnalysisOptions())


def short(subject: Subject, kind: ProbeKind, grid: Sequence[Training], pauses: Pauses | None, **asked: bool) -> Probe:
    return probe(subject, kind=kind, grid=grid, seeds=(3,), training=False, pauses=pauses, **asked)


def late(subject: Subject, kind: ProbeKind, grid: Sequence[Training], pauses: Pauses | None, **asked: bool) -> Probe:
    return probe(
        subject, kind=kind, grid=grid, seeds=(3,), training=False, pauses=pauses, lengthen=4, late=True, go_on=True,
        **asked,
    )  # fmt: skip


@pytest.mark.parametrize("hold_out", [False, True])
@pytest.mark.parametrize(("samples", "kind", "steps"), [(256, ProbeKind.LEARNING, 50), (64, ProbeKind.MEMORIZING, 20)])
@pytest.mark.parametrize("entry", GRID)
def test_a_run_that_goes_on_is_to_the_last_bit_the_one_that_never_stopped(
    entry: Training, samples: int, kind: ProbeKind, steps: int, hold_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, pauses = subject_of(samples), Pauses()
    whole = late(subject, kind, [entry], None, hold_out=hold_out)
    stopped = short(subject, kind, [entry], pauses, hold_out=hold_out)
    assert stopped.runs[0].steps == steps
    seen: list[None] = []
    outputs = Subject.training_outputs
    monkeypatch.setattr(Subject, "training_outputs", lambda self, *of: seen.append(None) or outputs(self, *of))
    assert late(subject, kind, [entry], pauses, hold_out=hold_out) == whole
    assert len(seen) == whole.runs[0].steps - steps


def test_a_run_that_is_over_is_not_kept() -> None:
    """It has learnt or blown up, and is asked for no more steps."""
    pauses = Pauses()
    healthy = prepare(check_model(mlp(2, "Tanh", xavier())), vectors(256), AnalysisOptions())
    proof = short(healthy, ProbeKind.LEARNING, [ENTRY], pauses)
    assert proof.runs[0].steps < 50
    assert pauses.take(ENTRY, 3) is None
    blown_up = Training(OptimizerName.SGD, 1e30)
    assert short(healthy, ProbeKind.LEARNING, [blown_up], pauses).runs[0].steps < 50
    assert pauses.take(blown_up, 3) is None


def kept(pauses: Pauses, entry: Training = ENTRY, seed: int = 0) -> bool:
    return pauses.take(entry, seed) is not None


def test_a_run_is_taken_once_and_by_its_own_entry_and_seed_alone() -> None:
    pauses, weights = Pauses(), [torch.ones(4)]
    pauses.put(ENTRY, 0, weights, update_of(ENTRY), [1.0], [0.9])
    weights[0].zero_()
    assert not kept(pauses, GRID[1])
    assert not kept(pauses, seed=1)
    assert not kept(pauses, Training(ENTRY.optimizer, ENTRY.learning_rate, warm_up=9))
    paused = pauses.take(ENTRY, 0)
    assert paused is not None
    assert torch.equal(paused.weights[0], torch.ones(4))
    assert (paused.curve, paused.held_out) == ((1.0,), (0.9,))
    assert not kept(pauses)


def test_where_memory_ends_a_run_is_not_kept_and_what_is_taken_makes_room() -> None:
    pauses, weights = Pauses(COPIES * 16), [torch.ones(4)]
    pauses.put(ENTRY, 0, weights, update_of(ENTRY), [1.0], [])
    pauses.put(ENTRY, 1, weights, update_of(ENTRY), [1.0], [])
    assert not kept(pauses, seed=1)
    assert kept(pauses)
    pauses.put(ENTRY, 1, weights, update_of(ENTRY), [1.0], [])
    assert kept(pauses, seed=1)
    pauses.put(ENTRY, 0, [torch.ones(5)], update_of(ENTRY), [1.0], [])
    assert not kept(pauses)
