"""What further seeds of a training leave undone: what the first one has shown, and what cannot come out otherwise.

Every optimiser goes on at the rate that did best with the first seed. A training from the same weights on the same
batch is the same with every seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from analysis.facts import Probe, Run
from analysis.training.grid import Training

Train = Callable[[Sequence[int], Sequence[Training]], Probe]
"""(seeds, grid): these trainings. Raises OutOfTime."""


def further_seeds(first: Probe, seeds: Sequence[int], grid: Sequence[Training], train: Train, *, alike: bool) -> Probe:
    """The same training with these seeds at each optimiser's best rate of the first; `alike`: no seed changes it."""
    best = best_rates(first, grid)
    if not alike:
        return train(seeds, best)
    runs = [run for run in first.runs if any(is_run_of(run, entry) for entry in best)]
    return replace(first, runs=tuple(replace(run, seed=seed) for seed in seeds for run in runs))


def best_rates(proof: Probe, grid: Sequence[Training]) -> tuple[Training, ...]:
    """Of each optimiser the entry of the grid that ended lowest; of several as low, the first."""
    best: dict[str, tuple[float, Training]] = {}
    for entry in grid:
        end = min(run.end for run in proof.runs if is_run_of(run, entry))
        known = best.get(entry.optimizer.value)
        if known is None or end < known[0]:
            best[entry.optimizer.value] = end, entry
    return tuple(entry for _, entry in best.values())


def joined_probes(first: Probe, second: Probe) -> Probe:
    """The same training with more seeds; the worst of them counts."""
    worst = max(first.best_loss_over_chance, second.best_loss_over_chance)
    return replace(first, runs=(*first.runs, *second.runs), best_loss_over_chance=worst)


def is_run_of(run: Run, entry: Training) -> bool:
    """Whether a run is of this entry of a grid."""
    return (run.optimizer, run.learning_rate) == (entry.optimizer.value, entry.learning_rate)
