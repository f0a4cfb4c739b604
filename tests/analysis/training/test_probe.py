import io
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from analysis.facts import Clip, ClipKind, GradientStep, Outcome, ProbeKind
from analysis.measure.readable import split
from analysis.model import check_model
from analysis.options import AnalysisOptions, OptimizerName
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from analysis.training.grid import GRID, NO_STEP, Training, minibatches_of
from analysis.training.outcome import outcome_of
from analysis.training.pauses import Pauses
from analysis.training.probe import _Session, joined, probe
from tests.analysis.experiment.small_cells import probe_of, run
from tests.analysis.fixed_exports import FEATURES, OwnFactor, fixed
from tests.analysis.text_models import drawn, written
from tests.gallery import CLASSES, INPUTS, export, he, mlp, npz, seeded, vectors, xavier


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


@pytest.mark.parametrize(
    ("enough", "ran"),
    [(0.0, [0.1, 0.01, 0.003, 0.02]), (0.9, [0.1, 0.003, 0.02])],  # the last one is the user's own
)
def test_where_one_rate_does_well_an_optimiser_is_trained_at_no_other(enough: float, ran: list[float]) -> None:
    grid = (*GRID, Training(OptimizerName.SGD, 0.02, own=True))
    subject = subject_of(mlp(4, "Relu", he()), 64)
    result = probe(
        subject, kind=ProbeKind.MEMORIZING, grid=grid, seeds=(0,), training=False, to_the_end=True,
        enough=lambda run: run.end < enough,
    )  # fmt: skip
    assert result.runs[0].end < 0.9
    assert [run.learning_rate for run in result.runs] == ran


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
    which = session(TWO, late=late)
    stops_at = next(loss / 100 for loss in range(100, 0, -1) if which.is_over([loss / 100] * 5, [], learnt))
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


# ------------------------------------------------------------------ outputs that are alike


@pytest.mark.parametrize(
    ("optimizer", "depth", "taken"),
    [
        (OptimizerName.SGD, 2, 200),
        (OptimizerName.SGD, 8, 151),
        (OptimizerName.SGD, 20, 51),
        (OptimizerName.ADAM, 20, 200),
    ],
)
def test_a_long_run_of_sgd_from_minibatches_ends_where_outputs_stay_alike(
    optimizer: OptimizerName, depth: int, taken: int
) -> None:
    subject = subject_of(mlp(depth, "Sigmoid", xavier()))
    grid = [Training(optimizer, 1e-5)]
    result = probe(subject, kind=ProbeKind.LEARNING, grid=grid, seeds=(0,), training=False, lengthen=4, late=True)
    assert (result.runs[0].steps, result.runs[0].outcome) == (taken, Outcome.STALLED)


def test_a_last_layer_that_starts_at_zero_is_given_time() -> None:
    subject = subject_of(mlp(3, "Tanh", xavier()))
    with torch.no_grad():
        subject.converted.initializers["w2"].zero_()
    result = probe(subject, kind=ProbeKind.LEARNING, grid=GRID, seeds=(0,), training=False, lengthen=4, late=True)
    assert subject.objective.reach(subject.training_outputs(subject.tensors()[0])) == 0
    assert result.learns("sgd")


@pytest.mark.parametrize(("minibatch", "steps"), [(1, 200), (15, 200), (16, 51)])
def test_of_a_few_samples_nobody_says_that_they_are_alike(minibatch: int, steps: int) -> None:
    """One alone differs from none."""
    subject = subject_of(mlp(20, "Sigmoid", xavier()))
    result = probe(
        subject, kind=ProbeKind.LEARNING, grid=[Training(OptimizerName.SGD, 1e-5)], seeds=(0,), training=False,
        lengthen=4, late=True, minibatch=minibatch,
    )  # fmt: skip
    assert result.runs[0].steps == steps


# ------------------------------------------------------------------ against torch


CLIPPED = GradientStep(clip=Clip(kind=ClipKind.GLOBAL_NORM, max_norm=0.3), weight_decay=0.1)


def original(model: bytes) -> nn.Sequential:
    """The network of `mlp(3, "Tanh", ..)` as a torch module."""
    weights = check_model(model).weights
    module = nn.Sequential(nn.Linear(INPUTS, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, CLASSES))
    with torch.no_grad():
        for place, linear in enumerate((module[0], module[2], module[4])):
            linear.weight.copy_(torch.from_numpy(np.array(weights[f"w{place}"])))
            linear.bias.copy_(torch.from_numpy(np.array(weights[f"b{place}"])))
    return module


@pytest.mark.parametrize(("kind", "steps"), [(ProbeKind.MEMORIZING, 20), (ProbeKind.LEARNING, 50)])
@pytest.mark.parametrize("recipe", GRID)
@pytest.mark.parametrize("step", [NO_STEP, CLIPPED])
def test_a_run_is_the_training_that_torch_would_do(
    kind: ProbeKind, steps: int, recipe: Training, step: GradientStep
) -> None:
    content = mlp(3, "Tanh", xavier())
    subject, module = subject_of(content), original(content)
    proof = probe(subject, kind=kind, grid=[recipe], seeds=(5,), training=False, to_the_end=True, step=step)
    assert (proof.kind, proof.steps, proof.samples, proof.held_out, proof.late) == (kind, steps, 256, 0, False)
    (run,) = proof.runs
    assert (run.optimizer, run.learning_rate, run.seed) == (recipe.optimizer.value, recipe.learning_rate, 5)
    assert run.momentum == (0.9 if recipe.optimizer is OptimizerName.SGD else None)
    batch = np.load(io.BytesIO(vectors()))
    x, target = torch.from_numpy(batch["x"]), torch.from_numpy(batch["target"])
    shares = np.bincount(batch["target"]) / len(batch["target"])
    chance = -sum(share * math.log(share) for share in shares if share)
    start = [weight.detach().clone() for weight in module.parameters()]
    optimizer = (
        torch.optim.SGD(module.parameters(), recipe.learning_rate, momentum=0.9)
        if recipe.optimizer is OptimizerName.SGD
        else torch.optim.Adam(module.parameters(), recipe.learning_rate)
    )
    curve = []
    minibatches = list(minibatches_of(range(256), kind, 5, steps))
    assert proof.minibatch == len(minibatches[0])
    for rows in minibatches:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(x[rows]), target[rows])
        loss.backward()
        if step.clip is not None:
            nn.utils.clip_grad_norm_(module.parameters(), step.clip.max_norm)
        for weight in module.parameters():
            assert weight.grad is not None
            weight.grad += step.weight_decay * weight.detach()
        optimizer.step()
        curve.append(float(loss.detach()) / chance)
    asked = minibatches[0] if kind is ProbeKind.MEMORIZING else range(256)
    curve.append(float(nn.functional.cross_entropy(module(x[[*asked]]), target[[*asked]]).detach()) / chance)
    assert run.curve == pytest.approx(curve, rel=1e-3)
    assert proof.best_loss_over_chance == run.curve[-1]
    end = list(module.parameters())
    norms = [math.sqrt(sum(float(each.detach().square().sum()) for each in weights)) for weights in (start, end)]
    assert (run.weight_norm.start, run.weight_norm.end) == pytest.approx(norms, rel=1e-5)
    for layer, place in (("layer-01", 0), ("layer-02", 2), ("layer-03", 4)):
        before = torch.cat([each.flatten() for each in start[place : place + 2]])
        after = torch.cat([each.detach().flatten() for each in end[place : place + 2]])
        assert run.moved[layer] == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-3)


def test_a_layer_of_zeros_has_no_length_to_move_by() -> None:
    def draw(_: np.random.Generator, fan_out: int, fan_in: int) -> np.ndarray:
        return np.zeros((fan_out, fan_in)) if fan_out == CLASSES else np.full((fan_out, fan_in), 0.01)

    proof = probe(
        subject_of(mlp(2, "Tanh", draw)), kind=ProbeKind.MEMORIZING, grid=GRID[:1], seeds=(0,), training=False
    )
    assert [*proof.runs[0].moved] == ["layer-01"]


# ------------------------------------------------------------------ when a run is over


def session(
    minibatches: Sequence[Sequence[int]], *, held_out: Sequence[int] = (), to_the_end: bool = False, late: bool = False
) -> _Session:
    return _Session(
        subject_of(mlp(2, "Relu", he())), ProbeKind.LEARNING, [0, 1], held_out, minibatches, len(minibatches),
        training=False, to_the_end=to_the_end, late=late, step=NO_STEP, tick=int, pauses=Pauses(0),
    )  # fmt: skip


ONE, TWO = ([[0, 1]] * 2, [list(range(32)), list(range(32, 64))])


@pytest.mark.parametrize(
    ("minibatches", "curve", "over"),
    [
        (ONE, [0.5], False),
        (ONE, [0.49], True),
        (ONE, [0.2, 0.6], False),
        (TWO, [0.4] * 4, False),  # five minibatches have to agree
        (TWO, [0.4] * 5, True),
        (TWO, [0.5] * 5, False),
        (TWO, [9.0, 0.4, 0.4, 0.4, 0.4, 0.89], True),  # on average
        (TWO, [0.4, 0.4, 0.4, 0.4, 0.91], False),
    ],
)
def test_a_run_is_over_under_half_of_chance(
    minibatches: Sequence[Sequence[int]], curve: list[float], over: bool
) -> None:
    assert session(minibatches).is_over(curve, [], 0.7) is over
    assert not session(minibatches, to_the_end=True).is_over(curve, [], 0.7)


@pytest.mark.parametrize("which", [{"late": True}, {"held_out": [2]}])
def test_a_late_run_or_one_that_is_asked_about_other_samples_goes_on_to_015(which: dict[str, object]) -> None:
    for end, over in ((0.15, False), (0.149, True)):
        assert session(TWO, **which).is_over([end] * 5, [], 0.2) is over  # type: ignore[arg-type]


def test_a_late_run_on_one_batch_stops_under_its_limit_to_the_letter() -> None:
    for end, over in ((0.2, False), (0.199, True)):
        assert session(ONE, late=True).is_over([end], [], 0.2) is over


@pytest.mark.parametrize(
    ("start", "end", "over"),
    [(1.0, 1000.0, False), (1.0, 1001.0, True), (5.0, 5000.0, False), (5.0, 5001.0, True), (0.1, 999.0, False)],
)
def test_a_run_is_over_a_thousand_times_over_its_start_and_over_chance(start: float, end: float, over: bool) -> None:
    assert session(TWO).is_over([start, end], [], 0.7) is over
    assert not session(TWO, to_the_end=True).is_over([start, end], [], 0.7)


@pytest.mark.parametrize(("held_out", "over"), [([1.0, 0.5], False), ([1.0, 0.49], True), ([1.0, 0.4, 0.6], False)])
def test_a_run_is_over_when_the_last_look_at_samples_held_out_says_so(held_out: list[float], over: bool) -> None:
    assert session(TWO, held_out=[2]).is_over([1.0], held_out, 0.7) is over
    assert not session(TWO, held_out=[2], to_the_end=True).is_over([1.0], held_out, 0.7)


def test_a_loss_that_is_no_number_ends_a_run_at_once() -> None:
    def draw(random: np.random.Generator, fan_out: int, fan_in: int) -> np.ndarray:
        return random.normal(0, 1e20, (fan_out, fan_in))

    subject = subject_of(mlp(3, "Relu", draw))
    proof = probe(subject, kind=ProbeKind.LEARNING, grid=GRID[:1], seeds=(0,), training=False, hold_out=True)
    assert len(proof.runs[0].curve) == 1
    assert proof.runs[0].outcome is Outcome.DIVERGED
    assert proof.best_loss_over_chance == math.inf


@pytest.mark.parametrize(("late", "outcome"), [(False, Outcome.LEARNT), (True, Outcome.SLOW)])
def test_what_is_given_more_time_has_to_come_further(late: bool, outcome: Outcome) -> None:
    subject = subject_of(mlp(3, "Tanh", xavier()))
    proof = probe(
        subject, kind=ProbeKind.MEMORIZING, grid=[Training(OptimizerName.SGD, 0.002)], seeds=(0,), training=False,
        to_the_end=True, late=late,
    )  # fmt: skip
    assert 0.5 < proof.runs[0].end < 0.92
    assert (proof.runs[0].outcome, proof.late) == (outcome, late)


def test_a_longer_training_has_as_many_times_the_steps() -> None:
    subject = subject_of(mlp(3, "Tanh", xavier()))
    ticks = []
    proof = probe(
        subject, kind=ProbeKind.MEMORIZING, grid=GRID[1:2], seeds=(0, 1), training=False, to_the_end=True, lengthen=3,
        tick=lambda: ticks.append(1),
    )  # fmt: skip
    assert proof.steps == 60
    assert [len(run.curve) for run in proof.runs] == [61, 61]
    assert len(ticks) == 120


def test_every_seed_starts_from_the_weights_that_are_prepared_for_it() -> None:
    subject = subject_of(mlp(3, "Tanh", xavier()))

    def prepare_weights(seed: int) -> None:
        with torch.no_grad():
            for weight in subject.converted.initializers.values():
                weight.fill_(0.1 * (seed + 1))

    proof = probe(
        subject, kind=ProbeKind.MEMORIZING, grid=GRID[:2], seeds=(0, 2), training=False, prepare=prepare_weights
    )
    count = sum(weight.numel() for weight in subject.converted.initializers.values())
    starts = [run.weight_norm.start for run in proof.runs]
    assert starts == pytest.approx([0.1 * math.sqrt(count)] * 2 + [0.3 * math.sqrt(count)] * 2, rel=1e-5)


def test_samples_held_out_are_asked_about_before_the_first_step_every_tenth_and_at_the_end() -> None:
    subject = subject_of(mlp(3, "Tanh", xavier()))
    proof = probe(
        subject, kind=ProbeKind.LEARNING, grid=GRID[1:2], seeds=(0,), training=False, to_the_end=True, lengthen=3,
        hold_out=True,
    )  # fmt: skip
    (run,) = proof.runs
    assert (len(run.curve), len(run.held_out)) == (151, 16)
    rows = split(256, 0)[1]
    assert subject.objective.chance is not None
    untrained = float(subject.loss(*subject.tensors(rows)).detach()) / subject.objective.chance
    assert run.held_out[0] == pytest.approx(untrained, rel=1e-6)
    assert run.held_out[1] < 0.9 * untrained


def test_normalisations_are_back_at_their_running_statistics_afterwards() -> None:
    subject = subject_of(mlp(3, "Tanh", xavier()))
    seen: list[bool] = []
    arguments = {"kind": ProbeKind.MEMORIZING, "grid": GRID[:1], "seeds": (0,)}
    for training in (True, False):
        probe(subject, **arguments, training=training, tick=lambda: seen.append(subject.converted.training))  # type: ignore[arg-type]
        assert {*seen} == {training}
        assert not subject.converted.training
        seen.clear()


def test_a_weight_that_the_loss_does_not_depend_on_stays() -> None:
    model = written(
        "(float[N,32] x) => (float[N,10] y, float[N,2] other)",
        "h = MatMul(x, A) y = MatMul(h, B) other = MatMul(h, C)",
        A=drawn(32, 8), B=drawn(8, 10), C=drawn(8, 2),
    )  # fmt: skip
    proof = probe(subject_of(model), kind=ProbeKind.MEMORIZING, grid=GRID[1:], seeds=(0,), training=False)
    for each in proof.runs:
        assert each.moved["layer-03"] == 0.0
        assert each.moved["layer-01"] > 0.0


# ------------------------------------------------------------------ patience


def test_runs_that_went_on_take_the_place_of_those_that_had_not_learnt() -> None:
    runs = [run(0.3, seed, "adam") for seed in (0, 1, 2)] + [run(0.9, seed, rate=0.01) for seed in (0, 1)]
    longer = [run(0.1, 0, rate=0.01), run(0.8, 1, rate=0.01), run(0.7, 0, rate=0.001), run(0.2, 1, rate=0.001)]
    whole = joined(probe_of(*runs), probe_of(*longer, steps=200, late=True))
    assert whole.runs == (*runs[:3], *longer)
    assert (whole.steps, whole.late) == (200, True)
    assert whole.best_loss_over_chance == 0.3  # of the seeds in turn 0.1, 0.2 and 0.3


def test_a_fixed_number_of_samples_is_trained_on_in_minibatches_all_the_same() -> None:
    """As the same network is that takes each sample's own factor as an input, and is cut; samples held out, too."""

    class WithFactor(nn.Module):
        def __init__(self, twin: OwnFactor) -> None:
            super().__init__()
            self.first, self.head = twin.first, twin.head

        def forward(self, x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
            named: torch.Tensor = self.head(torch.tanh(self.first(x) * factor))
            return named

    torch.manual_seed(0)
    module = OwnFactor(256)
    x, labels = drawn(256, FEATURES), np.arange(256) % 4
    example = torch.from_numpy(x)
    axes = {"x": {0: "N"}, "x1": {0: "N"}}
    cut = fixed(WithFactor(module), example, module.factor, axes=axes)
    frozen = AnalysisOptions(freeze=("factor",))
    masked = prepare(check_model(fixed(module, example)), npz(x=x, target=labels), frozen)
    twin = prepare(check_model(cut), npz(x=x, x1=module.factor.numpy(), target=labels), AnalysisOptions())
    assert (masked.rows.cut, twin.rows.cut) == (False, True)
    ours, theirs = (
        probe(each, kind=ProbeKind.LEARNING, grid=GRID[:1], seeds=(0,), training=False, hold_out=True, to_the_end=True)
        for each in (masked, twin)
    )
    np.testing.assert_allclose(ours.runs[0].curve, theirs.runs[0].curve, rtol=1e-3)
    np.testing.assert_allclose(ours.runs[0].held_out, theirs.runs[0].held_out, rtol=1e-3)
    assert ours.minibatch == theirs.minibatch < 256


@pytest.mark.parametrize("max_norm", [None, 0.5])
def test_steps_are_those_of_the_users_own_loss(max_norm: float | None) -> None:
    """Plain squared error, though it is read over the variance of the targets; by torch's own SGD and clipping."""
    random = np.random.default_rng(0)
    x, y = random.standard_normal((64, 3)).astype(np.float32), 7 * random.standard_normal((64, 1)).astype(np.float32)
    torch.manual_seed(0)
    layer = nn.Linear(3, 1)
    subject = prepare(check_model(export(layer, torch.zeros(2, 3))), npz(x=x, target=y), AnalysisOptions())
    clip = None if max_norm is None else Clip(kind=ClipKind.GLOBAL_NORM, max_norm=max_norm)
    proof = probe(
        subject, kind=ProbeKind.MEMORIZING, grid=[Training(OptimizerName.SGD, 0.01)], seeds=(0,), training=False,
        to_the_end=True, step=GradientStep(clip=clip),
    )  # fmt: skip
    optimizer, curve = torch.optim.SGD(layer.parameters(), lr=0.01, momentum=0.9), list[float]()
    for _ in range(21):
        loss = nn.functional.mse_loss(layer(torch.from_numpy(x)), torch.from_numpy(y))
        curve.append(loss.item() / y.var())
        optimizer.zero_grad()
        loss.backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_(layer.parameters(), max_norm)
        optimizer.step()
    assert proof.runs[0].curve == pytest.approx(curve, rel=1e-4)


# ------------------------------------------------------------------ warm-up, small minibatches, eval mode


def test_no_run_ends_before_its_rate_is_reached() -> None:
    subject, entry = subject_of(mlp(2, "Relu", he())), Training(OptimizerName.ADAM, 0.01)
    early, warmed = (
        probe(subject, kind=ProbeKind.LEARNING, grid=(each,), seeds=(0,), training=False).runs[0]
        for each in (entry, replace(entry, warm_up=45))
    )
    assert early.steps < 45 <= warmed.steps
    assert (early.warm_up, warmed.warm_up) == (0, 45)


def test_steps_of_a_few_samples_are_read_by_their_trend() -> None:
    subject = subject_of(mlp(2, "Relu", he()))
    proof = probe(
        subject, kind=ProbeKind.LEARNING, grid=(Training(OptimizerName.SGD, 0.01),), seeds=(0,), training=False,
        minibatch=2, lengthen=4,
    )  # fmt: skip
    (run,) = proof.runs
    assert (proof.minibatch, run.window) == (2, 16)
    assert run.outcome is Outcome.LEARNT  # and not oscillating from sample to sample
    assert len(run.trend) == -(-run.steps // 16) + 1
    assert run.trend[0] == pytest.approx(sum(run.curve[:16]) / 16)


def test_the_loss_in_eval_mode_is_that_of_running_statistics_which_are_put_back() -> None:
    network = nn.Sequential(nn.Linear(32, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))
    subject = subject_of(export(seeded(lambda: network), torch.zeros(2, 32), keep_batch_norm=True))
    inputs, targets = subject.tensors()
    before = float(subject.loss(inputs, targets).detach())
    entry = (Training(OptimizerName.SGD, 0.1),)
    told, untold = (
        probe(subject, kind=ProbeKind.LEARNING, grid=entry, seeds=(0,), training=True, to_the_end=True, evaluate=each)
        for each in (True, False)
    )
    assert told.runs[0].evaluated is not None
    assert told.runs[0].evaluated == pytest.approx(told.runs[0].end, abs=0.1)
    assert untold.runs[0].evaluated is None
    assert told.runs[0].curve == untold.runs[0].curve
    assert float(subject.loss(inputs, targets).detach()) == before


def test_a_long_run_on_one_batch_that_stands_still_is_given_up_unless_it_is_to_go_to_the_end() -> None:
    level_off = [1.0] * 61
    assert session(ONE, late=True).is_over(level_off, [], 0.5)
    assert not session(ONE, to_the_end=True).is_over(level_off, [], 0.5)
    assert not session(TWO, late=True).is_over(level_off, [], 0.5)  # minibatches differ, and so do their losses


def test_a_deep_sigmoid_network_is_given_no_patience() -> None:
    proof = probe(
        subject_of(mlp(20, "Sigmoid", xavier()), 64), kind=ProbeKind.MEMORIZING, grid=GRID[:1], seeds=(0,),
        training=False, lengthen=10, late=True,
    )  # fmt: skip
    (run,) = proof.runs
    assert (run.steps, run.outcome) == (21, Outcome.STALLED)
