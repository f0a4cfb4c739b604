"""What further seeds of a training leave undone."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from analysis.experiment.seeds import as_for_treatments, best_rates, blew_up, further_seeds, joined_probes
from analysis.facts import Outcome, Probe, ProbeKind
from analysis.options import OptimizerName
from analysis.training.grid import GRID, Training
from analysis.training.probe import Enough
from tests.analysis.experiment.experiments import experiment
from tests.analysis.experiment.small_cells import probe_of, run
from tests.gallery import mlp, vectors, xavier

INFINITE = float("inf")


def first(large: float, small: float, adam: float = 0.3) -> Probe:
    """What the grid comes to with the first seed."""
    return probe_of(run(large), run(small, rate=0.01), run(adam, optimizer="adam", rate=0.003))


def rates(entries: Sequence[Training]) -> list[float]:
    return [entry.learning_rate for entry in entries]


@pytest.mark.parametrize(
    ("large", "small", "best"), [(0.2, 0.4, 0.1), (0.4, 0.2, 0.01), (0.4, 0.4, 0.1), (INFINITE, INFINITE, 0.1)]
)
def test_each_optimiser_goes_on_at_the_rate_that_did_best(large: float, small: float, best: float) -> None:
    assert rates(best_rates(first(large, small), GRID)) == [best, 0.003]


@pytest.mark.parametrize(
    ("large", "small", "adam", "expected"),
    [
        (INFINITE, 9.0, 3.0, True),
        (INFINITE, 9.0, 1.0, False),  # one of them is at chance
        (1.1, 1.1, 1.1, False),  # nothing shakes
        (1.1, 9.0, 1.1, True),
        (float("nan"), 9.0, 1.1, True),
    ],
)
def test_rates_are_too_large_where_all_end_over_chance_and_one_shakes(
    large: float, small: float, adam: float, expected: bool
) -> None:
    runs = first(large, small, adam).runs
    shaken = (replace(each, outcome=each.outcome if each.end <= 2 else Outcome.DIVERGED) for each in runs)
    assert blew_up(probe_of(*shaken)) is expected


def test_a_rate_that_was_left_out_is_none_of_them() -> None:
    proof = first(0.04, 0.02)
    without = probe_of(proof.runs[0], proof.runs[2])
    assert rates(best_rates(without, GRID)) == [0.1, 0.003]


def test_the_rate_of_the_user_is_one_of_them_where_it_did_best() -> None:
    own = Training(OptimizerName.SGD, 0.05, own=True)
    proof = first(0.4, 0.3)
    with_own = probe_of(*proof.runs, run(0.2, rate=0.05, own=True))
    assert best_rates(with_own, (*GRID, own)) == (own, GRID[2])


def test_further_seeds_train_at_the_best_rates_first_and_at_others_where_those_end_far_higher() -> None:
    asked: list[tuple[Sequence[int], list[float]]] = []

    def train(seeds: Sequence[int], grid: Sequence[Training], enough: Enough) -> Probe:
        asked.append((seeds, rates(grid)))
        assert [enough(run(end, 1)) for end in (0.2, 0.4, 0.41, INFINITE)] == [True, True, False, False]
        assert [enough(run(end, 1, "adam")) for end in (0.6, 0.61)] == [True, False]
        return probe_of(*(run(0.5, seed) for seed in seeds))

    assert {each.seed for each in further_seeds(first(0.4, 0.2), (1, 2), GRID, train, alike=False).runs} == {1, 2}
    assert asked == [((1, 2), [0.01, 0.003, 0.1])]


def test_a_training_that_no_seed_changes_is_not_run_again() -> None:
    def train(*_: object) -> Probe:
        raise AssertionError

    proof = further_seeds(first(0.4, 0.2), (1, 2), GRID, train, alike=True)
    assert [(each.seed, each.learning_rate, each.end) for each in proof.runs] == [
        (1, 0.01, 0.2), (1, 0.003, 0.3), (2, 0.01, 0.2), (2, 0.003, 0.3)
    ]  # fmt: skip
    assert proof.best_loss_over_chance == 0.2


def test_the_probe_of_one_batch_is_the_training_that_treatments_are_put_to() -> None:
    cells = experiment(mlp(12, "Sigmoid", xavier()), vectors(64))
    trained = cells.trainer.prove(cells.structures.unchanged, (0,), cells.baseline)
    proof = cells.trainer.train(cells.structures.unchanged, ProbeKind.MEMORIZING, (0,), cells.baseline)
    assert as_for_treatments(proof, 0, GRID) == trained


@pytest.mark.parametrize(("lengthen", "attentive"), [(2, False), (2, True), (1, True)])
def test_a_run_that_went_on_began_as_those_that_treatments_are_put_to(lengthen: int, *, attentive: bool) -> None:
    """And had to come no further, whatever the unchanged model has to."""
    cells = experiment(mlp(12, "Sigmoid", xavier()), vectors(64))
    trained = cells.trainer.prove(cells.structures.unchanged, (0,), cells.baseline)
    longer = cells.trainer.train(
        cells.structures.unchanged, ProbeKind.MEMORIZING, (0,), cells.baseline, lengthen=lengthen, attentive=attentive
    )
    assert {each.steps for each in longer.runs} == {20 * lengthen}
    begun = as_for_treatments(longer, 0, GRID)
    assert begun is not None
    assert (begun.steps, begun.best_loss_over_chance) == (20, pytest.approx(trained.best_loss_over_chance, rel=1e-6))
    for one, other in zip(begun.runs, trained.runs, strict=True):
        assert one.curve == pytest.approx(other.curve, rel=1e-6)
        assert (one.limit, one.outcome) == (other.limit, other.outcome)


def test_a_probe_with_a_run_that_ended_early_is_not() -> None:
    curve = (1.0,) * 21
    runs = [run(1.0, curve=curve), run(1.0, rate=0.01, curve=curve)]
    runs += [run(1.0, optimizer="adam", rate=0.003, curve=curve)]
    assert as_for_treatments(probe_of(*runs, kind=ProbeKind.MEMORIZING), 0, GRID) is not None
    for other in ((1.0,) * 20, (*curve[:19], 0.49, 0.49), (*curve[:19], 2e3, 2e3)):
        changed = [replace(runs[0], curve=other), *runs[1:]]
        assert as_for_treatments(probe_of(*changed, kind=ProbeKind.MEMORIZING), 0, GRID) is None
    assert as_for_treatments(probe_of(*runs, kind=ProbeKind.MEMORIZING), 1, GRID) is None


@pytest.mark.parametrize(("one", "other"), [(0.3, 0.4), (0.4, 0.3)])
def test_of_more_seeds_the_worst_counts(one: float, other: float) -> None:
    whole = joined_probes(probe_of(run(one, 0)), probe_of(run(other, 1), run(other / 2, 2)))
    assert [each.seed for each in whole.runs] == [0, 1, 2]
    assert whole.best_loss_over_chance == 0.4
