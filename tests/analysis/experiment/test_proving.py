"""Which treatments are trained, with which seeds, and when somebody stops looking."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch

from analysis.clock import BUDGET_REACHED, Clock, OutOfTime
from analysis.experiment.cells import Cells, Measured
from analysis.experiment.proving import Proving, Ranked
from analysis.facts import Outcome, Probe, ProbeKind, StartEnd
from analysis.options import OptimizerName
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from analysis.training.grid import GRID, Training
from tests.analysis.experiment.experiments import OPTIONS, experiment, out_of_time_after
from tests.analysis.experiment.small_cells import MODEL, cell, cells_of, probe_of, run
from tests.gallery import mlp, vectors, xavier


class Rehearsed:
    """A trainer that says what it was told to, and remembers what it was asked."""

    def __init__(self, *ends: float, learning: Sequence[str] = (), kind: ProbeKind = ProbeKind.LEARNING) -> None:
        self.ends, self.learning, self.kind = list(ends), learning, kind
        self.seeds = (0, 1, 2)
        self.seeds_agree, self.grid, self.lower = False, GRID[:1], (Training(OptimizerName.ADAM, 3e-4),)
        self.grids: list[tuple[Training, ...] | None] = []
        self.trained: list[tuple[int, ...]] = []
        self.asked: list[bool] = []

    def probes_as_it_proves(self, _: object) -> bool:
        return False

    def may_train(self, what: str) -> bool:
        return what == "training of treatments"

    def prove(self, _: Subject, seeds: Sequence[int], *rest: object, **how: object) -> Probe:
        """Positional: what was measured, how weights are drawn, the step, the grid; the last one perhaps by name."""
        grid = how.get("grid", rest[3] if len(rest) > 3 else None)
        assert grid is None or isinstance(grid, tuple)
        self.trained.append(tuple(seeds))
        self.grids.append(grid)
        end, entry = self.ends.pop(0), (grid or self.grid)[0]
        outcome = Outcome.DIVERGED if end > 2 else Outcome.LEARNT if end < 0.7 else Outcome.STALLED
        facts = {"outcome": outcome, "weight_norm": StartEnd(start=1.0, end=end)}
        return probe_of(*(run(end, seed, entry.optimizer.value, entry.learning_rate, **facts) for seed in seeds))

    def learns(self, *_: object, sgd_alone: bool) -> bool:
        self.asked.append(sgd_alone)
        return self.learning[len(self.asked) - 1] == "yes"


def proving_of(cells: Cells, trainer: Rehearsed | None = None) -> Proving:
    """Over cells of plain numbers; every recipe is one of the same subject."""
    subject = prepare(MODEL, vectors(), OPTIONS)
    structures = SimpleNamespace(subject_of=lambda _: subject, unchanged=subject)
    measuring = SimpleNamespace(cells=cells, structures=structures, options=OPTIONS)
    return Proving(measuring, trainer or Rehearsed(), Clock(1000.0, None))  # type: ignore[arg-type]


def test_weights_are_their_own_again_after_the_factorial_and_the_proofs() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    before = {
        name: weight.detach().clone() for name, weight in cells.structures.unchanged.converted.initializers.items()
    }
    cells.run_plan(cures=False)
    cells.proving.prove(["he", "relu+batch_norm+xavier"])
    for name, weight in cells.structures.unchanged.converted.initializers.items():
        assert torch.equal(weight, before[name])


def test_a_proof_draws_anew_for_every_seed() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    cells.run_plan(cures=False)
    (proven,) = cells.proving.prove(["he"])
    assert proven.info.replicates == 3
    assert proven.measurement is not None
    assert proven.measurement.probe is not None
    starts = {run.seed: run.weight_norm.start for run in proven.measurement.probe.runs}
    assert len(set(starts.values())) == 3
    assert cells.unchanged is not None
    assert cells.unchanged.kind is proven.measurement.probe.kind


def test_a_proven_treatment_has_to_learn_from_minibatches_too() -> None:
    cells = experiment(mlp(20, "Sigmoid", xavier()), vectors(256))
    cells.probe_baseline()
    cells.run_plan(cures=False)
    cells.proving.prove(["xavier", "relu+batch_norm+he"])
    assert cells.proving.confirm(["xavier", "relu+batch_norm+he"])
    assert cells.cells["xavier"].info.learns is False
    assert cells.cells["relu+batch_norm+he"].info.learns is True
    assert not cells.proving.confirm(["xavier"])


def test_with_few_samples_nobody_asks_whether_a_treatment_learns() -> None:
    cells = experiment(mlp(20, "Sigmoid", xavier()), vectors(64))
    cells.probe_baseline()
    cells.run_plan(cures=False)
    cells.proving.prove(["relu+batch_norm+he"])
    assert cells.proving.confirm(["relu+batch_norm+he"])
    assert cells.cells["relu+batch_norm+he"].info.learns is None


def test_a_budget_that_ends_in_the_middle_of_the_proofs_keeps_what_was_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = experiment(mlp(20, "Sigmoid", xavier()), vectors(256))
    cells.run_plan(cures=False)
    before = [weight.detach().clone() for weight in cells.structures.unchanged.converted.initializers.values()]
    out_of_time_after(cells, 7 * 20 + 3 * 20 + 5, monkeypatch)  # the unchanged model, one treatment, and a little
    tried = cells.proving.prove(["relu+batch_norm+he", "xavier"])
    assert [each.info.id for each in tried] == ["relu+batch_norm+he"]
    assert ("training of xavier", BUDGET_REACHED) in cells.clock.left_out
    for weight, own in zip(cells.structures.unchanged.converted.initializers.values(), before, strict=True):
        torch.testing.assert_close(weight.detach(), own, rtol=0, atol=0)


# ------------------------------------------------------------------ further seeds


@pytest.mark.parametrize(
    ("losses", "worth"),
    [
        ({"a": 0.3, "b": 0.6, "c": 0.61}, ["a", "b"]),  # twice the best one's, and no further
        ({"c": 0.61, "b": 0.6, "a": 0.3}, ["b", "a"]),
        ({"a": 0.01, "b": 0.2, "c": 0.21}, ["a", "b"]),  # an excellent one is taken for 0.1
        ({"a": 0.9, "b": 1.0, "c": 1.7}, ["a", "b", "c"]),
        ({"a": math.inf, "b": 0.5}, ["b"]),
        ({"a": 0.4}, ["a"]),
        ({}, []),
    ],
)
def test_what_ends_at_more_than_twice_the_best_loss_is_worth_no_further_seeds(
    losses: dict[str, float], worth: list[str]
) -> None:
    cells = cells_of(*(cell(name, probe_of(run(loss))) for name, loss in losses.items()))
    assert proving_of(cells)._worth_more_seeds([*losses]) == worth


def test_hopeless_treatments_get_one_seed_and_the_others_all_and_the_worst_counts() -> None:
    cells = experiment(mlp(3, "Tanh", xavier()))
    cells.run_plan(cures=False)
    # the unchanged model, and with further seeds; three treatments, and two of them again
    trainer = Rehearsed(0.9, 1.0, 0.5, 1.01, 0.9, 0.95, 0.7)
    cells.proving.trainer = trainer  # type: ignore[assignment]
    tried = cells.proving.prove(["he", "xavier", "relu"])
    assert trainer.trained == [(0,), (1, 2), (0,), (0,), (0,), (1, 2), (1, 2)]
    assert [(each.info.id, each.info.replicates) for each in tried] == [("he", 3), ("xavier", 1), ("relu", 3)]
    found = [each.measurement.probe for each in tried if each.measurement is not None]
    assert [each.best_loss_over_chance for each in found if each is not None] == [0.95, 1.01, 0.9]
    assert all(each.measurement is not None and each.measurement.cotangents == 2 for each in tried)


def test_what_blows_up_at_every_rate_is_trained_at_smaller_ones_and_goes_on_at_those() -> None:
    cells = experiment(mlp(3, "Tanh", xavier()))
    cells.run_plan(cures=False)
    # the unchanged model, and with further seeds; two treatments, one of which blows up, and both again
    trainer = Rehearsed(0.9, 1.0, 3.0, 0.4, 0.5, 0.6, 0.65)
    cells.proving.trainer = trainer  # type: ignore[assignment]
    (blown, sound) = cells.proving.prove(["he", "xavier"])
    assert trainer.trained == [(0,), (1, 2), (0,), (0,), (0,), (1, 2), (1, 2)]
    assert trainer.grids[2:5] == [None, trainer.lower, None]
    assert [set(grid or ()) for grid in trainer.grids[5:]] == [{*trainer.grid, *trainer.lower}, {*trainer.grid}]
    ends = [[run.end for run in each.measurement.probe.runs] for each in (blown, sound)]  # type: ignore[union-attr]
    assert ends == [[3.0, 0.4, 0.6, 0.6], [0.5, 0.65, 0.65]]
    found = [each.measurement.probe.best_loss_over_chance for each in (blown, sound)]  # type: ignore[union-attr]
    assert found == [0.6, 0.65]


def test_the_unchanged_model_is_trained_once_and_not_at_all_where_its_own_probe_held_samples_out() -> None:
    cells = experiment(mlp(3, "Tanh", xavier()))
    cells.run_plan(cures=False)
    cells.proving.trainer = Rehearsed(1.0, 1.0, 0.5, 0.5, 0.5, 0.5)  # type: ignore[assignment]
    cells.proving.prove(["he"])
    cells.proving.prove(["xavier"])
    assert cells.unchanged is not None
    assert cells.unchanged.best_loss_over_chance == 1.0
    other = experiment(mlp(3, "Tanh", xavier()))
    other.run_plan(cures=False)
    own = probe_of(run(0.9, held_out=(1.0, 0.9)), held_out=64)
    other.cells.put_probe("baseline", own)
    other.proving.trainer = Rehearsed(0.5, 0.5)  # type: ignore[assignment]
    other.proving.prove(["he"])
    assert other.unchanged == own


def test_what_no_seed_changes_is_trained_once_and_counts_for_all_seeds() -> None:
    """64 samples are one batch: only what a seed draws anew can come out otherwise."""
    cells = experiment(mlp(6, "Tanh", xavier()), vectors(64))
    cells.run_plan(cures=False)
    proven = cells.proving.prove(["batch_norm", "he"])
    probes = {each.info.id: each.measurement.probe for each in proven if each.measurement is not None}
    probes["baseline"] = cells.unchanged
    curves: dict[str, list[set[tuple[float, ...]]]] = {}
    for name, probe in probes.items():
        assert probe is not None
        assert len({run.seed for run in probe.runs}) == 3
        adam = [run.curve for run in probe.runs if run.optimizer == "adam"]
        curves[name] = [set(adam), {curve[:1] for curve in adam}]
    assert {name: len(found) for name, (found, _) in curves.items()} == {"batch_norm": 1, "he": 3, "baseline": 1}
    assert all(each.info.replicates == 3 for each in proven)


def test_nothing_is_trained_where_nothing_is_wanted() -> None:
    proving = proving_of(cells_of(), trainer := Rehearsed())
    assert proving.prove([]) == []
    assert trainer.trained == []


def test_progress_runs_from_the_first_treatment_to_the_further_seeds() -> None:
    told: list[float] = []
    clock = Clock(1000.0, lambda _, fraction: told.append(fraction))
    cells = experiment(mlp(3, "Tanh", xavier()), clock=clock)
    cells.run_plan(cures=False)
    told.clear()
    cells.proving.trainer = Rehearsed(1.0, 1.0, 0.5, 0.9, 0.5, 0.9)  # type: ignore[assignment]
    cells.proving.prove(["he", "xavier"])
    assert told == pytest.approx([0.6, 0.775, 0.95, 0.95])


# ------------------------------------------------------------------ minibatches


def test_the_best_are_asked_in_turn_until_one_learns_and_nobody_twice() -> None:
    cells = cells_of(*(cell(name, probe_of(run(0.3))) for name in "abc"))
    proving = proving_of(cells, trainer := Rehearsed(learning=["no", "yes", "no"]))
    told: list[float] = []
    proving.clock = Clock(1000.0, lambda _, fraction: told.append(fraction))
    assert proving.confirm(["a", "b", "c"])
    assert [cells[name].info.learns for name in "abc"] == [False, True, None]
    assert told == pytest.approx([0.6, 0.6 + 0.35 / 3])
    assert not proving.confirm(["a", "b", "c"])
    assert cells["c"].info.learns is False
    assert not proving.confirm(["a", "b", "c"])
    assert len(trainer.asked) == 3


def test_too_few_samples_and_samples_held_out_leave_nothing_to_ask() -> None:
    few = proving_of(cells_of(cell("a", probe_of(run(0.3)))), Rehearsed(kind=ProbeKind.MEMORIZING))
    assert few.confirm(["a"])
    cells = cells_of(cell("a", probe_of(run(0.3))), cell("b", probe_of(run(0.3)), learns=False))
    asked = proving_of(cells, trainer := Rehearsed())
    asked.unchanged = probe_of(run(0.9), held_out=64)
    assert asked.confirm(["a"])
    assert not asked.confirm(["b"])
    assert not asked.confirm([])
    assert trainer.asked == []


def test_a_budget_that_ends_in_the_question_ends_the_looking() -> None:
    cells = cells_of(cell("a", probe_of(run(0.3))))
    proving = proving_of(cells)

    def learns(*_: object, **__: object) -> bool:
        raise OutOfTime

    proving.trainer.learns = learns  # type: ignore[method-assign]
    assert proving.confirm(["a"])
    assert cells["a"].info.learns is None
    assert proving.clock.left_out == [("training of a from minibatches", BUDGET_REACHED)]


@pytest.mark.parametrize(
    ("unchanged", "alone"),
    [
        (None, False),
        (probe_of(run(0.9), run(0.3, optimizer="adam")), True),
        (probe_of(run(0.3), run(0.3, optimizer="adam")), False),
        (probe_of(run(0.9), run(0.9, optimizer="adam")), False),
    ],
)
def test_plain_gradient_descent_has_to_learn_where_it_alone_fails(unchanged: Probe | None, alone: bool) -> None:
    cells = cells_of(cell("a", probe_of(run(0.3))), unchanged=unchanged)
    proving_of(cells, trainer := Rehearsed(learning=["yes"])).confirm(["a"])
    assert trainer.asked == [alone]


# ------------------------------------------------------------------ a shortlist at a time


@dataclass
class Looking:
    """A search whose trainings are rehearsed."""

    proving: Proving
    shortlists: list[list[str]] = field(default_factory=list)
    confirmed: list[list[str]] = field(default_factory=list)

    def until(self, hopeful: Sequence[str], proven: Ranked, furthest: Ranked = lambda _: ()) -> tuple[str, ...]:
        return self.proving.prove_until(hopeful, proven, furthest)


def looking(learning: Sequence[str] = (), unchanged: Probe | None = None, untrained: Sequence[str] = ()) -> Looking:
    """`learning`: which treatments learn from minibatches; `untrained`: for which the budget does not suffice."""
    search = Looking(proving_of(cells_of(unchanged=unchanged)))

    def prove(wanted: Sequence[str]) -> list[Measured]:
        search.shortlists.append([*wanted])
        return [cell(name, probe_of(run(0.3))) for name in wanted if name not in untrained]

    def confirm(ranked: Sequence[str]) -> bool:
        search.confirmed.append([*ranked])
        return any(name in learning for name in ranked)

    search.proving.prove = prove  # type: ignore[assignment]
    search.proving.confirm = confirm  # type: ignore[assignment]
    return search


MANY = [*"abcdefghijklmnopqrstuvwxyz"]
FAILS, LEARNS = (probe_of(run(end), run(0.3, optimizer="adam")) for end in (0.9, 0.3))


def everyone(tried: Sequence[str]) -> Sequence[str]:
    return tried


def nobody(_: Sequence[str]) -> Sequence[str]:
    return ()


def test_three_shortlists_of_five_are_trained_while_nobody_learns() -> None:
    search = looking()
    assert search.until(MANY, everyone) == tuple("abcdefghijklmno")
    assert search.shortlists == [[*"abcde"], [*"fghij"], [*"klmno"]]
    assert search.confirmed == [[*"abcde"], [*"abcdefghij"], [*"abcdefghijklmno"]]


@pytest.mark.parametrize(
    ("hopeful", "shortlists"),
    [("", []), ("abc", ["abc"]), ("abcde", ["abcde"]), ("abcdef", ["abcde", "f"])],
)
def test_no_more_are_trained_than_there_are(hopeful: str, shortlists: list[str]) -> None:
    search = looking()
    assert search.until([*hopeful], everyone) == tuple(hopeful)
    assert ["".join(each) for each in search.shortlists] == shortlists


def test_the_first_shortlist_with_one_that_learns_is_the_last() -> None:
    search = looking(learning=["g"])
    assert search.until(MANY, everyone) == tuple("abcdefghij")
    assert len(search.shortlists) == 2


def test_a_spent_budget_ends_the_search_and_what_was_trained_stays() -> None:
    search = looking(untrained=MANY[5:])
    assert search.until(MANY, everyone) == tuple("abcde")
    assert len(search.shortlists) == 2
    assert search.confirmed == [[*"abcde"]]


def test_those_not_trained_are_not_among_the_tried() -> None:
    assert looking(untrained=["b"], learning=["a"]).until(MANY, everyone) == tuple("acde")


def backwards(tried: Sequence[str]) -> Sequence[str]:
    return tried[::-1]


def test_where_none_learns_a_batch_the_two_that_came_furthest_get_minibatches() -> None:
    search = looking(unchanged=FAILS)
    search.until([*"abcdefg"], nobody, backwards)
    assert search.confirmed == [[], [], ["g", "f"]]


@pytest.mark.parametrize(("unchanged", "proven"), [(None, nobody), (LEARNS, nobody), (FAILS, everyone)])
def test_the_furthest_are_not_asked_where_the_unchanged_model_learns_or_one_is_proven(
    unchanged: Probe | None, proven: Ranked
) -> None:
    search = looking(unchanged=unchanged)
    search.until([*"abc"], proven, backwards)
    assert len(search.confirmed) == 1
