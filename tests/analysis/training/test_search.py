"""In which order rates are tried, and when the search ends; the trainings are told in advance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from analysis.clock import BUDGET_REACHED, Clock, OutOfTime
from analysis.facts import Outcome, Probe, ProbeKind, Run
from analysis.options import OptimizerName
from analysis.training.grid import Training
from analysis.training.search import Search
from tests.analysis.experiment.small_cells import probe_of, run

Key = tuple[str, float, bool]
"""(optimiser, rate, whether it gets 200 steps)."""


@dataclass
class Trainings:
    """Ends of runs by optimiser, rate and length; what is not told ends at 0.95 of chance, or diverges."""

    ends: Mapping[Key, float] = field(default_factory=dict)
    holds_from: float = math.inf
    """The largest rate at which SGD does not diverge."""
    kind: ProbeKind = ProbeKind.LEARNING
    hurries: bool = False
    """Whether SGD gets a third of the steps, as attention does, but where it is the user's own."""
    budget: int = 100
    asked: list[Key] = field(default_factory=list)

    def __call__(self, *, lengthen: int, late: bool, go_on: bool, grid: Sequence[Training]) -> Probe:
        if len(self.asked) == self.budget:
            raise OutOfTime
        (entry,) = grid
        hurried = late and self.hurries and entry.optimizer is OptimizerName.SGD and not entry.own
        assert go_on is (late and not hurried)
        assert lengthen == (1 if not late else 3 if hurried else 4 if self.kind is ProbeKind.LEARNING else 10)
        key = (entry.optimizer.value, entry.learning_rate, late)
        self.asked.append(key)
        limit = 0.2 if late else 0.7
        end = self.ends.get(key, 0.95)
        outcome = Outcome.LEARNT if end < limit else Outcome.STALLED
        if entry.learning_rate > 1.5 * self.holds_from and entry.optimizer is OptimizerName.SGD:
            end, outcome = 9.0, Outcome.DIVERGED
        trained = run(end, 0, entry.optimizer.value, entry.learning_rate, outcome=outcome, own=entry.own)
        return probe_of(trained, steps=200 if late else 50, late=late)


def diverged(rate: float, optimizer: str = "sgd", **facts: object) -> Run:
    return run(9.0, 0, optimizer, rate, outcome=Outcome.DIVERGED, **facts)


def gridded(large: float, small: float, adam: float, *own: Run, **facts: object) -> Probe:
    return probe_of(run(large), run(small, rate=0.01), run(adam, 0, "adam", 0.003), *own, **facts)


def searched(proof: Probe, trainings: Trainings, *, patient: bool = True) -> tuple[Probe, list[Key]]:
    found = Search(trainings, Clock(1000.0, None), (0,), proof, patient=patient).run()
    return found, trainings.asked


LOWER_SGD, LOWER_ADAM = [("sgd", 0.001, False)], [("adam", 0.001, False), ("adam", 0.0003, False)]


@pytest.mark.parametrize("adam", [0.3, 0.9])
def test_a_network_that_sgd_trains_costs_no_more_than_the_grid(adam: float) -> None:
    proof = gridded(0.9, 0.3, adam)
    assert searched(proof, Trainings()) == (proof, [])


def test_where_nothing_learns_all_is_tried_small_rates_first_and_the_best_and_the_largest_rate_get_time() -> None:
    found, asked = searched(gridded(0.97, 0.96, 0.99), Trainings())
    assert asked == [
        *LOWER_SGD, ("sgd", 0.001, True), ("sgd", 0.1, True),
        *LOWER_ADAM, ("adam", 0.001, True), ("adam", 0.003, True),
    ]  # fmt: skip
    assert (found.late, found.steps, found.unfinished) == (True, 200, False)
    assert not found.learns("sgd")
    assert not found.learns("adam")


def test_the_search_ends_with_the_first_run_of_sgd_that_learns() -> None:
    _, asked = searched(gridded(0.9, 0.9, 0.9), Trainings({("sgd", 0.001, False): 0.6}))
    assert asked == LOWER_SGD
    found, asked = searched(gridded(0.8, 0.9, 0.9), Trainings({("sgd", 0.1, True): 0.1}))
    assert asked == [*LOWER_SGD, ("sgd", 0.1, True)]
    assert found.learns("sgd")
    assert found.best_loss_over_chance == 0.1


def test_adam_is_searched_where_sgd_has_not_learnt_until_it_does() -> None:
    found, asked = searched(gridded(0.9, 0.9, 0.9), Trainings({("adam", 0.001, False): 0.5}))
    assert asked[-1] == ("adam", 0.001, False)
    assert found.fails_sgd_alone
    _, asked = searched(gridded(0.9, 0.9, 0.3), Trainings())
    assert {each for each, _, _ in asked} == {"sgd"}


def test_larger_rates_come_first_in_tiny_networks_unless_one_of_the_grid_blew_up() -> None:
    trainings = Trainings({("adam", 0.03, True): 0.1})
    found = Search(trainings, Clock(1000.0, None), (0,), gridded(0.97, 0.96, 0.99), patient=True, tiny=True).run()
    short = [(name, rate) for name, rate, late in trainings.asked if not late]
    assert short == [("sgd", 1.0), ("sgd", 0.001), ("adam", 0.03), ("adam", 0.001), ("adam", 0.0003)]
    assert trainings.asked[-1] == ("adam", 0.03, True)
    assert found.fails_sgd_alone
    proof = probe_of(diverged(0.1), run(0.9, rate=0.01), run(0.3, 0, "adam", 0.003))
    trainings = Trainings()
    Search(trainings, Clock(1000.0, None), (0,), proof, patient=True, tiny=True).run()
    assert ("sgd", 1.0, False) not in trainings.asked


@pytest.mark.parametrize(("holds_from", "tried"), [(1e-4, 2), (1e-6, 4), (0.0, 5)])
def test_sgd_goes_down_by_tens_while_even_the_smallest_rate_blows_up(holds_from: float, tried: int) -> None:
    proof = probe_of(diverged(0.1), diverged(0.01), run(0.3, 0, "adam", 0.003))
    _, asked = searched(proof, Trainings(holds_from=holds_from))
    short = [rate for _, rate, late in asked if not late]
    assert short == pytest.approx([10.0**-power for power in range(3, 3 + tried)])
    patient = [rate for _, rate, late in asked if late]
    assert patient == pytest.approx([holds_from] if holds_from else [])


def test_what_blew_up_or_ends_far_over_its_start_gets_no_more_time() -> None:
    proof = probe_of(diverged(0.1), run(3.0, rate=0.01), run(0.3, 0, "adam", 0.003))
    _, asked = searched(proof, Trainings())
    assert [each for each in asked if each[2]] == [("sgd", 0.001, True)]


def test_the_next_one_that_came_down_gets_time_where_the_best_does_not_learn() -> None:
    slow = run(0.98, rate=0.01, outcome=Outcome.SLOW), run(0.985, rate=0.001, outcome=Outcome.SLOW)
    proof = probe_of(diverged(0.1), *slow, run(0.3, 0, "adam", 0.003))
    found, asked = searched(proof, Trainings({("sgd", 0.001, True): 0.1}))
    assert asked == [("sgd", 0.01, True), ("sgd", 0.001, True)]
    assert found.learns("sgd")


def test_what_knows_its_samples_by_heart_gets_no_more_time() -> None:
    """It stopped early on what it was trained on, and not for what it was asked."""
    stopped = run(0.0, 0, "sgd", 0.1, curve=(0.1,) * 50, held_out=(1.0, 0.95), outcome=Outcome.STALLED)
    whole = run(0.0, 0, "sgd", 0.01, curve=(1.0,) * 51, held_out=(1.0, 0.96), outcome=Outcome.STALLED)
    _, asked = searched(probe_of(stopped, whole, run(0.3, 0, "adam", 0.003), held_out=64), Trainings())
    assert ("sgd", 0.1, True) not in asked
    assert ("sgd", 0.01, True) in asked


def test_where_samples_are_held_out_the_rate_that_gets_on_with_the_others_gets_time() -> None:
    stuck = [
        run(end, rate=rate, curve=(1.0,) * 50 + (end,), held_out=(1.0, held_out), outcome=Outcome.STALLED)
        for rate, end, held_out in ((0.1, 1.0, 1.4), (0.01, 0.8, 1.07), (0.001, 0.95, 0.995))
    ]
    proof = probe_of(*stuck, run(0.3, 0, "adam", 0.003), held_out=64)
    _, asked = searched(proof, Trainings({("sgd", 0.01, True): 0.1}))
    assert asked == [("sgd", 0.01, True)]


def test_without_patience_rates_are_tried_all_the_same() -> None:
    found, asked = searched(gridded(0.9, 0.9, 0.9), Trainings(), patient=False)
    assert asked == [*LOWER_SGD, *LOWER_ADAM]
    assert not found.late


def test_one_batch_gets_ten_times_as_many_steps() -> None:
    trainings = Trainings({("sgd", 0.1, True): 0.1}, kind=ProbeKind.MEMORIZING)
    _, asked = searched(gridded(0.94, 0.99, 0.99, kind=ProbeKind.MEMORIZING), trainings)
    assert asked[-1] == ("sgd", 0.1, True)


def test_attention_gets_few_of_them_where_sgd_learns_one_batch_by_heart() -> None:
    by_heart = gridded(0.9, 0.99, 0.99, run(0.99, rate=0.03, own=True), kind=ProbeKind.MEMORIZING)
    trainings = Trainings(kind=ProbeKind.MEMORIZING, hurries=True)
    Search(trainings, Clock(1000.0, None), (0,), by_heart, patient=True, attentive=True).run()
    late = [(optimizer, rate) for optimizer, rate, late in trainings.asked if late]
    assert late == [("sgd", 0.03), ("sgd", 0.1), ("adam", 0.001), ("adam", 0.003)]
    learning, trainings = gridded(0.9, 0.99, 0.3), Trainings()
    Search(trainings, Clock(1000.0, None), (0,), learning, patient=True, attentive=True).run()
    assert ("sgd", 0.1, True) in trainings.asked


def test_rates_of_the_grid_are_not_tried_twice() -> None:
    proof = replace(gridded(0.9, 0.9, 0.3), runs=(*gridded(0.9, 0.9, 0.3).runs, run(0.95, rate=0.001)))
    _, asked = searched(proof, Trainings())
    assert not any(not late for _, _, late in asked)


@pytest.mark.parametrize("ticks", [0, 1, 3])
def test_a_budget_that_ends_in_the_search_leaves_what_was_found(ticks: int) -> None:
    clock, trainings = Clock(1000.0, None), Trainings(budget=ticks)
    found = Search(trainings, clock, (0,), gridded(0.97, 0.96, 0.99), patient=True).run()
    assert found.unfinished
    assert len(found.runs) == 3 + (ticks > 0)
    assert [why for _, why in clock.left_out] == [BUDGET_REACHED]


def test_smaller_rates_are_in_units_of_the_loss() -> None:
    proof, trainings = probe_of(diverged(1e-4), diverged(1e-5), run(0.3, 0, "adam", 0.003)), Trainings()
    Search(trainings, Clock(1000.0, None), (0,), proof, patient=False, scale=1000.0).run()
    assert trainings.asked == [("sgd", 1e-6, False)]


# ------------------------------------------------------------------ the user's own


def test_where_the_users_own_training_learns_nothing_is_searched() -> None:
    proof = gridded(0.9, 0.9, 0.9, run(0.3, 0, "adam", 1e-4, own=True))
    assert searched(proof, Trainings()) == (proof, [])


def test_the_users_own_training_gets_time_even_where_others_learn() -> None:
    own = run(0.95, 0, "adam", 1e-5, own=True)
    found, asked = searched(gridded(0.3, 0.3, 0.3, own), Trainings({("adam", 1e-5, True): 0.1}))
    assert asked == [("adam", 1e-5, True)]
    assert found.own_learns
    descent = run(0.95, rate=1e-4, own=True)
    found, asked = searched(gridded(0.3, 0.3, 0.3, descent), Trainings())
    assert asked == [("sgd", 1e-4, True)]
    assert not found.own_learns


def test_a_rate_that_learns_is_looked_for_with_the_users_own_optimiser() -> None:
    own = diverged(1.0, "adam", own=True)
    _, asked = searched(gridded(0.3, 0.3, 0.9, own), Trainings({("adam", 0.001, False): 0.5}))
    assert asked == [("adam", 0.001, False)]
