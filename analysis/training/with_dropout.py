"""What the Dropout of a graph makes of a training: the runs that learnt, once more with Dropout on.

Dropout is off in all other trainings, as it is in measurement. Steps with Dropout are noisy: four times as many are
given, and the loss at the end is taken with Dropout off.
"""

from functools import partial

from analysis.facts import DropoutTrial, Measurement, Outcome, Run
from analysis.graph.dropout import find_dropout
from analysis.options import OptimizerName
from analysis.training.grid import PATIENCE, Training
from analysis.training.trainer import Trainer

WHAT = "training with the graph's Dropout on"


def try_dropout(trainer: Trainer, measured: Measurement) -> DropoutTrial | None:
    """The first run that learns with Dropout as well, or else the one that came furthest.

    None where the graph has no Dropout, where nothing learns without it, or where the budget ends before.
    """
    ratios = [ratio for _, ratio in find_dropout(trainer.baseline.model)]
    learnt = [] if measured.probe is None else [run for run in measured.probe.runs if run.outcome is Outcome.LEARNT]
    best: dict[str, Run] = {}
    for run in sorted(learnt, key=lambda run: run.end):
        best.setdefault(run.optimizer, run)
    tried: list[DropoutTrial] = []
    for without in best.values() if ratios else ():
        again = trainer.clock.finished(WHAT, partial(_again, trainer, measured, without))
        if again is None:
            break
        tried.append(DropoutTrial(nodes=len(ratios), most=max(ratios), without=without, run=again))
        if again.outcome is Outcome.LEARNT:
            break
    return min(tried, key=lambda each: each.run.end, default=None)


def _again(trainer: Trainer, measured: Measurement, without: Run) -> Run:
    """The same run with Dropout on, for longer."""
    assert measured.probe is not None
    entry = Training(OptimizerName(without.optimizer), without.learning_rate)
    kind = measured.probe.kind
    probe = trainer.dropping().train(
        trainer.baseline, kind, (without.seed,), measured, lengthen=PATIENCE[kind], grid=(entry,)
    )
    return probe.runs[0]
