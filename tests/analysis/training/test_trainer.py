"""Grid, seeds, patience and budget of the short trainings."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import analysis.training.trainer
from analysis.clock import BUDGET_REACHED, Clock, OutOfTime, Progress
from analysis.facts import (
    Clip,
    ClipKind,
    GradientStep,
    Measurement,
    NonFinite,
    Outcome,
    Probe,
    ProbeKind,
    Run,
    TimeProfile,
)  # fmt: skip
from analysis.model import check_model
from analysis.options import AnalysisOptions, LossName, OptimizerName
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from analysis.training.grid import GRID, NO_STEP, THOROUGH_GRID, Training
from analysis.training.probe import probe
from analysis.training.trainer import Trainer, labels_are_readable
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.experiment.experiments import experiment, out_of_time_after
from tests.analysis.experiment.small_cells import probe_of, run
from tests.gallery import export, he, mlp, npz, seeded, vectors, xavier
from tests.gallery.tasks import sequences

MLP = mlp(3, "Tanh", xavier())


def test_ones_own_optimiser_is_one_more_run() -> None:
    options = AnalysisOptions(optimizer="adam", learning_rate=0.02)  # type: ignore[arg-type]
    proof = experiment(mlp(3, "Tanh", xavier()), options=options).probe_baseline().probe
    assert proof is not None
    assert [(run.optimizer, run.learning_rate) for run in proof.runs][-1] == ("adam", 0.02)


def test_a_network_that_blows_up_at_a_large_rate_gets_it_with_clipping() -> None:
    cells = experiment(mlp(4, "Relu", he(3.0)), vectors(256))
    proof = cells.probe_baseline().probe
    assert proof is not None
    assert proof.runs[0].outcome in {Outcome.DIVERGED, Outcome.OSCILLATING}
    larger = cells.larger_rate
    assert larger is not None
    assert larger.without == proof.runs[0]
    assert (larger.clipped.optimizer, larger.clipped.learning_rate, larger.clipped.outcome) == ("sgd", 0.1, "learnt")
    assert larger.max_norm in {0.1, 1.0}


@pytest.mark.parametrize("model", [mlp(4, "Relu", he()), mlp(20, "Sigmoid", xavier()), mlp(12, "Relu", he(8.0))])
def test_clipping_is_no_advice_where_steps_are_sound_or_the_start_is_not(model: bytes) -> None:
    cells = experiment(model, vectors(256))
    cells.probe_baseline()
    assert cells.larger_rate is None


def test_a_slow_network_is_given_time_and_learns() -> None:
    slow = mlp(4, "Sigmoid", xavier(), width=16)
    proof = experiment(slow, vectors(256)).probe_baseline().probe
    assert proof is not None
    assert proof.late
    assert 200 <= proof.steps <= 800
    assert proof.learns("sgd")
    assert max(run.steps for run in proof.runs) > 50


def test_exclusive_or_is_learnt_at_a_rate_that_only_so_few_weights_bear() -> None:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    model = export(
        seeded(lambda: nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 1), nn.Sigmoid())), torch.from_numpy(x)
    )
    proof = experiment(model, npz(x=x, target=(x[:, :1] != x[:, 1:]).astype(np.float32))).probe_baseline().probe
    assert proof is not None
    assert proof.rates_that_learnt("sgd") == [1.0]
    wide = experiment(mlp(20, "Sigmoid", xavier()), vectors(16)).probe_baseline().probe
    assert wide is not None
    assert max(run.learning_rate for run in wide.runs) == 0.1


def test_a_network_that_does_not_learn_does_not_in_four_times_as_many_steps() -> None:
    proof = experiment(mlp(20, "Sigmoid", xavier()), vectors(256)).probe_baseline().probe
    assert proof is not None
    assert {(run.optimizer, run.learning_rate) for run in proof.runs} == {
        ("sgd", 0.1), ("sgd", 0.01), ("sgd", 0.001), ("adam", 0.003), ("adam", 0.001), ("adam", 0.0003),
    }  # fmt: skip
    assert {run.steps for run in proof.runs if run.optimizer == "adam"} == {50, 200}
    assert {run.steps for run in proof.runs if (run.optimizer, run.learning_rate) == ("sgd", 0.1)} == {51}  # all alike
    assert not proof.learns("sgd")
    assert not proof.learns("adam")


def test_where_sgd_blows_up_a_tenth_of_its_rate_is_tried() -> None:
    proof = experiment(mlp(6, "Relu", he(3.0)), vectors(256)).probe_baseline().probe
    assert proof is not None
    runs = {(run.optimizer, run.learning_rate): run.outcome for run in proof.runs}
    assert runs["sgd", 0.1] == runs["sgd", 0.01] == "diverged"
    assert ("sgd", 0.001) in runs


def test_a_network_that_learns_is_not_kept_waiting() -> None:
    proof = experiment(mlp(4, "Relu", he()), vectors(256)).probe_baseline().probe
    assert proof is not None
    assert (proof.late, proof.steps) == (False, 50)


def test_thorough_effort_probes_more_seeds_and_rates() -> None:
    options = AnalysisOptions(effort="thorough")  # type: ignore[arg-type]
    proof = experiment(mlp(3, "Tanh", xavier()), options=options).probe_baseline().probe
    assert proof is not None
    assert len({run.seed for run in proof.runs}) == 3
    assert {run.learning_rate for run in proof.runs} == {0.1, 0.01, 0.001, 3e-3, 3e-4}


class Recall(nn.Module):
    """A GRU that is asked at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.GRU(8, 32, batch_first=True)
        self.head = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0][:, -1])


def recall(steps: int, at: int, *, labels_follow: bool = True) -> Probe:
    """What training says of a network that has to tell what it saw at one of so many steps."""
    random = np.random.default_rng(1)
    x, target = sequences(steps, at)(0)(random, 256)
    target = target if labels_follow else random.permutation(target)
    model = export(seeded(Recall), torch.zeros(2, steps, 8))
    proof = experiment(model, npz(x=x, target=target)).probe_baseline().probe
    assert proof is not None
    return proof


def test_a_recurrent_network_learns_when_it_tells_samples_it_has_not_seen() -> None:
    proof = recall(10, -1)
    assert (proof.samples, proof.held_out, proof.steps) == (256, 64, 50)
    assert proof.learns("sgd")
    assert proof.learns("adam")
    assert all(min(run.held_out) < 0.7 for run in proof.runs)


def test_a_recurrent_network_that_learns_its_samples_by_heart_does_not_learn() -> None:
    proof = recall(60, 0)
    assert (proof.held_out, proof.steps) == (64, 200)
    assert min(run.curve[-1] for run in proof.runs) < 0.2
    assert not proof.learns("sgd")
    assert not proof.learns("adam")
    assert proof.best_loss_over_chance > 0.9


def test_labels_that_do_not_follow_from_the_input_are_no_fault_of_a_recurrent_network() -> None:
    proof = recall(60, 0, labels_follow=False)
    assert (proof.held_out, proof.late, proof.steps) == (0, False, 50)


@pytest.mark.parametrize(
    ("ticks", "what", "steps"),
    [(0, "training probe of the unchanged model", None), (149, "training probe of the unchanged model", None),
     (150, "training with sgd at 0.001 for 50 steps", 50), (200, "for 200 steps", 50)],
)  # fmt: skip
def test_a_budget_that_ends_in_the_middle_of_the_probe_ends_it_and_is_said(
    ticks: int, what: str, steps: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = experiment(mlp(20, "Sigmoid", xavier()), vectors(256))
    before = [weight.detach().clone() for weight in cells.structures.unchanged.converted.initializers.values()]
    out_of_time_after(cells, ticks, monkeypatch)
    proof = cells.probe_baseline().probe
    assert (None if proof is None else (proof.steps, proof.unfinished)) == (None if steps is None else (steps, True))
    left_out = [left for left, _ in cells.clock.left_out]
    assert left_out[0].endswith(what)
    assert left_out[1:] == ([] if steps is None else ["reading of the targets"])
    assert {why for _, why in cells.clock.left_out} == {BUDGET_REACHED}
    for weight, own in zip(cells.structures.unchanged.converted.initializers.values(), before, strict=True):
        torch.testing.assert_close(weight.detach(), own, rtol=0, atol=0)


# ------------------------------------------------------------------ what is decided, with trainings that are rehearsed


@dataclass
class Rehearsal:
    """Probes as they are told in advance, and what was asked for."""

    probes: list[Probe]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, subject: Subject, **asked: Any) -> Probe:
        self.asked.append({"subject": subject, **asked})
        for _ in range(3):
            asked["tick"]()
        return self.probes.pop(0)


@pytest.fixture
def rehearse(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rehearsal]:
    def begin(*probes: Probe) -> Rehearsal:
        rehearsal = Rehearsal([*probes])
        monkeypatch.setattr(analysis.training.trainer, "probe", rehearsal)
        return rehearsal

    return begin


def trainer_of(
    samples: int = 256,
    *,
    holds_out: bool = False,
    content: bytes = MLP,
    progress: Progress | None = None,
    **options: Any,
) -> Trainer:
    chosen = AnalysisOptions(**options)
    subject = prepare(check_model(content), vectors(samples), chosen)
    return Trainer(subject, chosen, Clock(1000.0, progress), holds_out=holds_out)


Rehearse = Callable[..., Rehearsal]


def gridded(*ends: float, **facts: Any) -> Probe:
    """One run for each rate of the grid: SGD at 0.1 and 0.01, Adam."""
    runs = (run(end, 0, each.optimizer.value, each.learning_rate) for end, each in zip(ends, GRID, strict=False))
    return probe_of(*runs, **facts)


@pytest.mark.parametrize(("shares", "readable"), [
    ((), False), ((None,), False), ((0.69,), False), ((0.7,), True), ((0.1, None, 0.9), True),
])  # fmt: skip
def test_labels_are_readable_where_a_straight_line_names_seven_in_ten(
    shares: tuple[float | None, ...], readable: bool
) -> None:
    profile = TimeProfile(node="rnn", direction="forward", gradient_log10=(0.0,))
    profiles = tuple(replace(profile, readable_share=share) for share in shares)
    assert labels_are_readable(measurement(through_time=profiles)) is readable


def test_three_seeds_follow_the_one_of_the_options() -> None:
    assert trainer_of(seed=7).seeds == (7, 8, 9)


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({}, []),
        ({"learning_rate": 0.5}, [Training(OptimizerName.SGD, 0.5, own=True)]),
        ({"learning_rate": 0.5, "optimizer": "adam"}, [Training(OptimizerName.ADAM, 0.5, own=True)]),
        ({"optimizer": "adam"}, []),
    ],
)
def test_ones_own_rate_comes_last_and_is_one_of_sgd_unless_said(options: dict[str, Any], more: list[Training]) -> None:
    assert [*trainer_of(**options).grid] == [*GRID, *more]
    assert [*trainer_of(effort="thorough", **options).grid] == [*THOROUGH_GRID, *more]


def test_ones_own_rate_is_not_run_twice() -> None:
    (first, *others) = GRID
    grid = trainer_of(learning_rate=first.learning_rate).grid
    assert [*grid] == [*others, replace(first, own=True)]


def test_nothing_trains_at_effort_quick_without_chance_or_budget_and_the_reason_is_noted() -> None:
    assert trainer_of().may_train("it")
    assert trainer_of(effort="thorough").may_train("it")
    quick, equal, spent = trainer_of(effort="quick"), trainer_of(), trainer_of()
    blind = replace(equal.baseline, objective=replace(equal.baseline.objective, chance=None, absent_chance="equal"))
    equal, spent = replace(equal, baseline=blind), replace(spent, clock=Clock(-1.0, None))
    for trainer, reason in ((quick, "effort is quick"), (equal, "equal"), (spent, BUDGET_REACHED)):
        assert not trainer.may_train("it")
        assert trainer.clock.left_out == [("it", reason)]
        assert trainer.probe_unchanged(measurement()) is None


def test_a_probe_tells_how_far_it_is_fifteen_times(rehearse: Rehearse) -> None:
    told: list[float] = []
    trainer = trainer_of(progress=lambda _, fraction: told.append(fraction))
    rehearsal = rehearse(gridded(0.5))
    ticks = iter(range(150))

    def steps(subject: Subject, **asked: Any) -> Probe:
        for _ in ticks:
            asked["tick"]()
        return rehearsal(subject, **asked)

    analysis.training.trainer.probe = steps  # type: ignore[assignment]
    trainer.train(trainer.baseline, ProbeKind.LEARNING, (0,), measurement(), tell=True)
    assert told[:15] == pytest.approx([0.2 + 0.15 * at / 15 for at in range(15)])
    assert len(told) == 16  # and once more behind the end


def test_the_unchanged_model_says_how_far_it_is_and_so_does_its_patience(rehearse: Rehearse) -> None:
    for proof, times in ((gridded(0.3, 0.3, 0.3), 1), (gridded(0.9, 0.9, 0.9), 2)):
        told: list[float] = []
        rehearse(proof, gridded(0.1, 0.1, 0.1))
        trainer_of(progress=lambda _, fraction, told=told: told.append(fraction)).probe_unchanged(measurement())
        assert len(told) == times  # the first of three steps each


def test_a_training_says_nothing_unless_told_to(rehearse: Rehearse) -> None:
    told: list[float] = []
    trainer = trainer_of(progress=lambda _, fraction: told.append(fraction))
    rehearse(gridded(0.5))
    trainer.train(trainer.baseline, ProbeKind.LEARNING, (0,), measurement())
    assert told == []


@pytest.mark.parametrize("statistics", [False, True])
def test_normalisations_train_as_they_were_measured(statistics: bool, rehearse: Rehearse) -> None:
    trainer, rehearsal = trainer_of(), rehearse(gridded(0.5))
    trainer.prove(trainer.baseline, (0,), measurement(batch_statistics=statistics))
    assert rehearsal.asked[0]["training"] is statistics


@pytest.mark.parametrize(
    ("samples", "holds_out", "kind", "lengthen", "to_the_end", "hold_out"),
    [
        (256, False, ProbeKind.MEMORIZING, 1, True, False),
        (64, False, ProbeKind.MEMORIZING, 1, True, False),
        (63, True, ProbeKind.MEMORIZING, 1, True, False),
        (64, True, ProbeKind.LEARNING, 2, False, True),
        (256, True, ProbeKind.LEARNING, 2, False, True),
    ],
)  # fmt: skip
def test_treatments_are_put_to_one_batch_or_to_samples_held_out(
    samples: int, holds_out: bool, kind: ProbeKind, lengthen: int, to_the_end: bool, hold_out: bool, rehearse: Rehearse
) -> None:
    trainer, rehearsal = trainer_of(samples, holds_out=holds_out), rehearse(gridded(0.5))
    step = GradientStep(weight_decay=0.5)
    trainer.prove(trainer.baseline, (0, 1), measurement(), print, step)
    (asked,) = rehearsal.asked
    assert (asked["kind"], asked["lengthen"], asked["to_the_end"]) == (kind, lengthen, to_the_end)
    assert (asked["hold_out"], asked["late"]) == (hold_out, False)
    assert (asked["seeds"], asked["prepare"], asked["step"], asked["grid"]) == ((0, 1), print, step, GRID)


def test_treatments_are_put_to_some_of_the_grid_alone_where_that_is_asked(rehearse: Rehearse) -> None:
    for holds_out in (False, True):
        trainer, rehearsal = trainer_of(256, holds_out=holds_out), rehearse(gridded(0.5))
        trainer.prove(trainer.baseline, (1,), measurement(), grid=GRID[1:], enough=bool)
        assert (rehearsal.asked[0]["grid"], rehearsal.asked[0]["enough"]) == (GRID[1:], bool)


@pytest.mark.parametrize(("samples", "holds_out"), [(63, True), (256, False)])
def test_a_treatment_that_learns_a_batch_well_at_one_rate_needs_no_other(
    samples: int, holds_out: bool, rehearse: Rehearse
) -> None:
    trainer, rehearsal = trainer_of(samples, holds_out=holds_out), rehearse(gridded(0.5))
    trainer.prove(trainer.baseline, (0,), measurement())
    assert [rehearsal.asked[0]["enough"](run(end)) for end in (0.049, 0.05)] == [True, False]


def test_patience_goes_on_where_the_run_stopped(rehearse: Rehearse) -> None:
    trainer, rehearsal = trainer_of(), rehearse(gridded(0.95, 0.95, 0.95), *[probe_of(run(0.9, rate=0.001))] * 9)
    trainer.probe_unchanged(measurement())
    searched = [one["pauses"] for one in rehearsal.asked]
    assert len(searched) > 2
    assert searched[0] is not None
    assert all(each is searched[0] for each in searched)


@pytest.mark.parametrize(
    ("samples", "minibatch", "drops", "agree"),
    [
        (64, None, False, True),
        (64, 64, False, True),
        (64, 16, False, False),  # in another order with every seed
        (65, None, False, False),  # other ones of them with every seed
        (256, None, False, False),
        (64, None, True, False),
    ],
)
def test_seeds_agree_where_one_batch_is_all_there_is(
    samples: int, minibatch: int | None, drops: bool, agree: bool
) -> None:
    trainer = replace(trainer_of(samples), minibatch=minibatch, drops=drops)
    assert trainer.seeds_agree is agree


def test_a_probe_is_what_treatments_are_put_to_where_both_are_one_batch_and_nothing_else_changed() -> None:
    plain = trainer_of(64)
    assert plain.probes_as_it_proves(measurement())
    assert not plain.probes_as_it_proves(measurement(batch_statistics=True))
    others = (trainer_of(256), plain.dropping(), plain.freezing(), replace(plain, minibatch=64))
    assert not any(other.probes_as_it_proves(measurement()) for other in others)


# ------------------------------------------------------------------ minibatches for a treatment


@pytest.mark.parametrize(
    ("sgd_alone", "answers", "asked", "learns"),
    [
        (False, [0.9, 0.9, 0.9], [("adam", 0.003), ("sgd", 0.01), ("sgd", 0.1)], False),
        (False, [0.9, 0.1], [("adam", 0.003), ("sgd", 0.01)], True),
        (False, [0.1], [("adam", 0.003)], True),
        (True, [0.9, 0.9], [("sgd", 0.01), ("sgd", 0.1)], False),
    ],
)
def test_the_rate_that_did_best_on_one_batch_goes_first(
    sgd_alone: bool, answers: list[float], asked: list[tuple[str, float]], learns: bool, rehearse: Rehearse
) -> None:
    trainer = trainer_of(seed=4)
    on_one_batch = measurement(probe=gridded(0.6, 0.4, 0.2))
    rehearsal = rehearse(
        *(probe_of(run(end, 4, optimizer, rate)) for end, (optimizer, rate) in zip(answers, asked, strict=True))
    )
    assert trainer.learns(trainer.baseline, on_one_batch, int, NO_STEP, sgd_alone=sgd_alone) is learns
    grids = [[(each.optimizer.value, each.learning_rate) for each in one["grid"]] for one in rehearsal.asked]
    assert grids == [[each] for each in asked]
    for one in rehearsal.asked:
        assert (one["seeds"], one["kind"], one["lengthen"], one["late"]) == ((4,), ProbeKind.LEARNING, 4, True)
        assert one["to_the_end"] is False


def test_a_smaller_rate_that_was_tried_on_one_batch_is_asked_from_minibatches_too(rehearse: Rehearse) -> None:
    trainer, slow = trainer_of(seed=4), run(0.3, 0, "adam", 0.0003)
    assert [(each.optimizer.value, each.learning_rate) for each in trainer.lower] == [
        ("sgd", 0.001), ("adam", 0.001), ("adam", 0.0003),
    ]  # fmt: skip
    on_one_batch = measurement(probe=replace(blown := gridded(3.0, 4.0, 5.0), runs=(*blown.runs, slow)))
    rehearsal = rehearse(probe_of(run(0.1, 4, "adam", 0.0003)))
    assert trainer.learns(trainer.baseline, on_one_batch, int, NO_STEP, sgd_alone=False)
    assert [[each.learning_rate for each in one["grid"]] for one in rehearsal.asked] == [[0.0003]]


# ------------------------------------------------------------------ patience


def diverged(rate: float, optimizer: str = "sgd", seed: int = 0) -> Run:
    return run(9.0, seed, optimizer, rate, outcome=Outcome.DIVERGED)


@pytest.mark.parametrize(
    ("recurrent", "held_out", "numbers", "waits"),
    [(False, 0, False, True), (True, 0, False, False), (True, 64, False, True), (True, 0, True, True)],
)
def test_recurrent_networks_get_more_steps_where_samples_are_held_out_or_numbers_predicted(
    recurrent: bool, held_out: int, numbers: bool, waits: bool, rehearse: Rehearse
) -> None:
    trainer = trainer_of()
    if numbers:
        objective = replace(trainer.baseline.objective, name=LossName.MSE)
        trainer = replace(trainer, baseline=replace(trainer.baseline, objective=objective))
    smaller = probe_of(run(0.9, rate=0.001))
    rehearsal = rehearse(
        gridded(0.95, 0.95, 0.3, held_out=held_out), smaller, *[gridded(0.1, steps=200, late=True)] * 2
    )
    assert trainer.probe_unchanged(measurement(recurrent=recurrent)) is not None
    assert [(one["lengthen"], one["late"], one["go_on"]) for one in rehearsal.asked[:2]] == [(1, False, False)] * 2
    assert [(one["lengthen"], one["late"], one["go_on"]) for one in rehearsal.asked[2:]] == (
        [(4, True, True)] * (len(rehearsal.asked) - 2)
    )
    assert (len(rehearsal.asked) > 2) is waits


def test_thorough_effort_takes_three_seeds_and_twice_as_long(rehearse: Rehearse) -> None:
    trainer = trainer_of(effort="thorough")
    rehearsal = rehearse(gridded(0.3, 0.3, 0.3))
    trainer.probe_unchanged(measurement())
    assert (rehearsal.asked[0]["seeds"], rehearsal.asked[0]["lengthen"]) == ((0, 1, 2), 2)
    assert rehearsal.asked[0]["subject"] is trainer.baseline
    assert rehearsal.asked[0]["prepare"] is None
    assert rehearsal.asked[0]["step"] == NO_STEP


# ------------------------------------------------------------------ as the user trains


@pytest.mark.parametrize(("end", "told"), [(0.1, True), (0.9, False)])
def test_ones_own_training_that_fails_is_tried_after_a_warm_up_last_of_all(
    end: float, told: bool, rehearse: Rehearse
) -> None:
    own = run(1.0, rate=0.5, own=True, outcome=Outcome.STALLED)
    warmed = run(end, rate=0.5, own=True, warm_up=100)
    first = gridded(0.3, 0.3, 0.3)
    rehearsal = rehearse(replace(first, runs=(*first.runs, own)), probe_of(own, late=True), probe_of(warmed))
    proof = trainer_of(learning_rate=0.5).probe_unchanged(measurement())
    assert proof is not None
    assert proof.warmed == (warmed if told else None)
    last = rehearsal.asked[-1]
    assert [*last["grid"]] == [Training(OptimizerName.SGD, 0.5, own=True, warm_up=100)]
    assert (last["lengthen"], last["late"]) == (4, True)


def test_where_ones_own_training_learns_or_is_unknown_no_warm_up_is_tried(rehearse: Rehearse) -> None:
    first = gridded(0.3, 0.3, 0.3)
    known = replace(first, runs=(*first.runs, run(0.3, rate=0.5, own=True)))
    for proof, options in ((first, {}), (known, {"learning_rate": 0.5})):
        rehearsal = rehearse(proof)
        trainer_of(**options).probe_unchanged(measurement())
        assert len(rehearsal.asked) == 1


@pytest.mark.parametrize(("size", "times"), [(None, 1), (8, 4), (1, 8), (100, 1)])
def test_minibatches_of_the_users_size_get_as_many_more_steps_as_they_are_smaller(
    size: int | None, times: int, rehearse: Rehearse
) -> None:
    trainer, rehearsal = replace(trainer_of(), minibatch=size), rehearse(gridded(0.5))
    trainer.train(trainer.baseline, ProbeKind.LEARNING, (0,), measurement(), lengthen=2)
    assert (rehearsal.asked[0]["minibatch"], rehearsal.asked[0]["lengthen"]) == (size, 2 * times)
    assert trainer.with_usual_minibatches().minibatch is None


def test_normalisation_uses_the_minibatches_that_the_user_says_and_none_where_it_is_frozen(rehearse: Rehearse) -> None:
    network = nn.Sequential(nn.Linear(32, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))
    trainer = trainer_of(content=export(network, torch.zeros(2, 32), keep_batch_norm=True))
    for each, measured, expected in (
        (trainer, measurement(batch_statistics=False), False),
        (replace(trainer, minibatch=1), measurement(batch_statistics=False), True),
        (trainer, measurement(batch_statistics=True), True),
        (trainer.freezing(), measurement(batch_statistics=True), False),
    ):
        rehearsal = rehearse(gridded(0.5))
        each.train(each.baseline, ProbeKind.LEARNING, (0,), measured)
        assert rehearsal.asked[0]["training"] is expected


# ------------------------------------------------------------------ a larger rate with clipping


LOST = probe_of(run(0.9, 3, "adam", 0.003), run(0.9, 3, "sgd", 0.01), diverged(0.1, seed=3))


@pytest.mark.parametrize(
    ("small", "large", "advised"),
    [
        (run(0.3), run(0.2), 1.0),
        (run(0.2), run(0.3), 0.1),
        (run(0.5), run(0.1, outcome=Outcome.OSCILLATING), 0.1),
        (run(0.1, outcome=Outcome.SLOW), run(0.5), 1.0),
        (run(0.9), run(0.9), None),
        (run(0.0, curve=(1.0, 0.1), held_out=(1.0, 0.4), outcome=Outcome.LEARNT), run(0.3), 1.0),
    ],
)
def test_of_two_norms_with_which_it_learns_the_one_that_ends_lower_is_advised(
    small: Run, large: Run, advised: float | None, rehearse: Rehearse
) -> None:
    rehearsal = rehearse(probe_of(small), probe_of(large))
    found = trainer_of().probe_larger_rate(measurement(probe=LOST))
    assert (None if found is None else found.max_norm) == advised
    if found is not None:
        assert found.without == LOST.runs[2]
        assert found.clipped == {0.1: small, 1.0: large}[found.max_norm]
    steps = [asked["step"] for asked in rehearsal.asked]
    assert steps == [GradientStep(clip=Clip(kind=ClipKind.GLOBAL_NORM, max_norm=norm)) for norm in (0.1, 1.0)]
    for asked in rehearsal.asked:
        assert [*asked["grid"]] == [Training(OptimizerName.SGD, 0.1)]
        assert (asked["seeds"], asked["kind"], asked["lengthen"]) == ((3,), ProbeKind.LEARNING, 1)


@pytest.mark.parametrize(
    ("kind", "late", "learns", "lengthen"),
    [
        (ProbeKind.LEARNING, True, False, 4), (ProbeKind.MEMORIZING, True, False, 10),
        (ProbeKind.LEARNING, True, True, 1), (ProbeKind.LEARNING, False, False, 1),
    ],
)  # fmt: skip
def test_clipping_gets_more_steps_where_descent_got_them_in_vain(
    kind: ProbeKind, late: bool, learns: bool, lengthen: int, rehearse: Rehearse
) -> None:
    rehearsal = rehearse(gridded(0.1), gridded(0.1))
    proof = replace(LOST, runs=(*LOST.runs, run(0.3 if learns else 0.9, 3, rate=0.001)), kind=kind, late=late)
    trainer_of().probe_larger_rate(measurement(probe=proof))
    assert [(asked["lengthen"], asked["late"]) for asked in rehearsal.asked] == [(lengthen, lengthen > 1)] * 2


@pytest.mark.parametrize(
    ("patient", "trained"),
    [
        (measurement(probe=LOST), True),
        (measurement(probe=probe_of(run(5.0, outcome=Outcome.OSCILLATING))), True),
        (measurement(probe=probe_of(run(0.9, outcome=Outcome.STALLED))), False),
        (measurement(probe=probe_of(run(0.9, outcome=Outcome.SLOW))), False),
        (measurement(probe=probe_of(run(0.3), diverged(0.01))), False),
        (measurement(probe=LOST, flow=flow(-5.0)), False),
        (measurement(probe=LOST, flow=flow(5.0)), False),
        (measurement(probe=LOST, flow=flow(1.6)), True),  # grey
        (measurement(probe=LOST, non_finite=NonFinite(stage="forward", node="a", value="b")), False),
        (measurement(), False),
    ],
)
def test_clipping_is_tried_where_the_largest_rate_blows_up_a_start_that_is_not_red(
    patient: Measurement, trained: bool, rehearse: Rehearse
) -> None:
    rehearsal = rehearse(gridded(0.3), gridded(0.3))
    assert (trainer_of().probe_larger_rate(patient) is not None) is trained
    assert len(rehearsal.asked) == 2 * trained


def test_a_budget_that_ends_in_one_of_the_clipped_runs_leaves_the_other(rehearse: Rehearse) -> None:
    trainer, rehearsal = trainer_of(), rehearse(gridded(0.3))

    def probe(subject: Subject, **asked: Any) -> Probe:
        if asked["step"].clip.max_norm == 0.1:
            raise OutOfTime
        return rehearsal(subject, **asked)

    analysis.training.trainer.probe = probe  # type: ignore[assignment]
    found = trainer.probe_larger_rate(measurement(probe=LOST))
    assert found is not None
    assert found.max_norm == 1.0
    assert trainer.clock.left_out == [("learning rate 0.1 with clipping at 0.1", BUDGET_REACHED)]


@pytest.mark.parametrize(("gain", "depth"), [(3.0, 4), (2.0, 6)])
def test_the_advised_norm_is_the_one_with_which_the_loss_really_ends_lower(gain: float, depth: int) -> None:
    cells = experiment(mlp(depth, "Relu", he(gain)), vectors(256))
    measured = cells.probe_baseline()
    larger = cells.larger_rate
    assert larger is not None
    assert measured.probe is not None
    ends = {}
    for norm in (0.1, 1.0):
        step = GradientStep(clip=Clip(kind=ClipKind.GLOBAL_NORM, max_norm=norm))
        proof = probe(
            cells.structures.unchanged, kind=ProbeKind.LEARNING, grid=GRID[:1], seeds=(0,), training=False, step=step,
            lengthen=measured.probe.steps // 50,
        )  # fmt: skip
        if proof.learns("sgd"):
            ends[norm] = proof.runs[0].end
    assert larger.max_norm == min(ends, key=ends.__getitem__)
    assert larger.clipped.end == ends[larger.max_norm]
