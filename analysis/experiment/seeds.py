"""What further seeds of a training leave undone: what the first one has shown, and what cannot come out otherwise.

Every optimiser goes on at the rate that did best with the first seed, as long as that does. A training from the same
weights on the same batch is the same with every seed, and that of the unchanged model its own probe.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from analysis.facts import Outcome, Probe, ProbeKind, Run
from analysis.options import OptimizerName
from analysis.training.grid import STEPS, Training
from analysis.training.outcome import LEARNT, outcome_of
from analysis.training.probe import BLOWN_UP, EARLY, Enough

HOPELESS: Final = 2.0
"""What ends this many times over the best is no match for it."""
WITHIN_REACH: Final = 0.1
"""Over chance: the best counts for no less, so that good ones beside an excellent one are a match for it."""
Train = Callable[[Sequence[int], Sequence[Training], Enough], Probe]
"""(seeds, grid, what is enough): these trainings. Raises OutOfTime."""


def is_hopeless(end: float, best: float) -> bool:
    """Whether a loss is no match for the best one."""
    return end > HOPELESS * max(best, WITHIN_REACH)


def further_seeds(first: Probe, seeds: Sequence[int], grid: Sequence[Training], train: Train, *, alike: bool) -> Probe:
    """The same training with these seeds at each optimiser's best rate of the first; `alike`: no seed changes it.

    Where that ends far over what it came to with the first seed, a large rate may have had luck: the others follow.
    """
    best = best_rates(first, grid)
    ends = {run.optimizer: run.end for entry in best for run in first.runs if is_run_of(run, entry)}
    if not alike:
        ordered = (*best, *(entry for entry in grid if entry not in best))
        return train(seeds, ordered, lambda run: not is_hopeless(run.end, ends[run.optimizer]))
    runs = [run for run in first.runs if any(is_run_of(run, entry) for entry in best)]
    return replace(first, runs=tuple(replace(run, seed=seed) for seed in seeds for run in runs))


def best_rates(proof: Probe, grid: Sequence[Training]) -> tuple[Training, ...]:
    """Of each optimiser the entry of the grid that ended lowest, of those that ran; of several as low, the first."""
    best: dict[str, tuple[float, Training]] = {}
    for entry in grid:
        known, ends = best.get(entry.optimizer.value), [run.end for run in proof.runs if is_run_of(run, entry)]
        if ends and (known is None or min(ends) < known[0]):
            best[entry.optimizer.value] = min(ends), entry
    return tuple(entry for _, entry in best.values())


def as_for_treatments(proof: Probe, seed: int, grid: Sequence[Training]) -> Probe | None:
    """The unchanged model's probe of one batch as the training that treatments are put to, with this seed.

    Such runs go to the end: None where one of them stopped before. Of those that were given more steps, the first ones.
    """
    found: list[Run] = []
    for entry in grid:
        found += [run for run in proof.runs if is_run_of(run, entry) and run.seed == seed and _went_to_the_end(run)][:1]
    if len(found) < len(grid):
        return None
    found = [_begun(run) for run in found]
    return Probe(
        kind=proof.kind,
        steps=STEPS[proof.kind],
        samples=proof.samples,
        minibatch=proof.minibatch,
        best_loss_over_chance=min(run.end for run in found),
        runs=tuple(found),
    )


def _went_to_the_end(run: Run) -> bool:
    """Whether a run of a probe took all steps of one batch, or more, and was not over before the last of these."""
    steps = STEPS[ProbeKind.MEMORIZING]
    return run.steps >= steps and not run.warm_up and EARLY <= run.curve[steps - 1] <= BLOWN_UP


def _begun(run: Run) -> Run:
    """The first steps of a run on one batch: the loss before its next step is the one that they came to.

    Read as a treatment's are, also where the unchanged model has to come further.
    """
    curve = run.curve[: STEPS[ProbeKind.MEMORIZING] + 1]
    limit = LEARNT[ProbeKind.MEMORIZING, OptimizerName(run.optimizer)]
    return replace(run, curve=curve, limit=limit, outcome=outcome_of(curve, (), limit))


def joined_probes(first: Probe, second: Probe) -> Probe:
    """The same training with more seeds; the worst of them counts."""
    worst = max(first.best_loss_over_chance, second.best_loss_over_chance)
    return replace(first, runs=(*first.runs, *second.runs), best_loss_over_chance=worst)


def was_tried(proof: Probe, entry: Training) -> bool:
    """Whether a run is of this entry of a grid."""
    return any(is_run_of(run, entry) for run in proof.runs)


def blew_up(proof: Probe) -> bool:
    """Whether every run ends over chance, and one of them shakes: the rates are too large for all that is known."""
    shaken = any(run.outcome in {Outcome.DIVERGED, Outcome.OSCILLATING} for run in proof.runs)
    return shaken and all(not run.end <= 1 for run in proof.runs)


def is_run_of(run: Run, entry: Training) -> bool:
    """Whether a run is of this entry of a grid."""
    return (run.optimizer, run.learning_rate) == (entry.optimizer.value, entry.learning_rate)
