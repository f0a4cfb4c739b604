"""What BatchNormalization makes of the user's own training: minibatches of a few samples, statistics that are frozen.

With one value of a channel in a step the layer writes its bias, whatever comes in, and no gradient passes. Where the
user's minibatches teach nothing, the same network is trained with usual ones. Statistics are frozen where the user
names them among what is not to train, or where the graph was exported for training and a layer is not in that form:
then the runs that learnt are run once more with them.
"""

from collections.abc import Sequence
from functools import partial

from analysis.facts import Measurement, NormalizationTrial, Outcome, Probe, Run
from analysis.graph.training_state import frozen_statistics
from analysis.options import OptimizerName
from analysis.training.grid import PATIENCE, Training
from analysis.training.trainer import Trainer

WHAT = "training with BatchNormalization as in your own"
USUAL = "training with usual minibatches"


def try_normalization(trainer: Trainer, measured: Measurement) -> NormalizationTrial | None:
    """The trial that applies; None where BatchNormalization works as usual, or where the budget ends before."""
    if measured.probe is None:
        return None
    if frozen_statistics(trainer.baseline.model, trainer.options.freeze):
        return _try_frozen(trainer, measured, measured.probe)
    if trainer.minibatch is not None:
        return _try_usual_minibatches(trainer, measured, measured.probe)
    return None


def _try_usual_minibatches(trainer: Trainer, measured: Measurement, proof: Probe) -> NormalizationTrial | None:
    """Where plain gradient descent learns from usual minibatches, and not from the user's, which are smaller."""
    values = trainer.baseline.values_per_channel(range(proof.minibatch))
    if values is None or proof.learns("sgd") or proof.own_learns:
        return None
    usual = trainer.with_usual_minibatches()
    train = partial(usual.train, trainer.baseline, proof.kind, trainer.seeds[:1], measured)
    other = trainer.clock.finished(USUAL, train)
    if other is not None and other.minibatch > proof.minibatch and not other.learns("sgd"):
        other = trainer.clock.finished(USUAL, partial(train, lengthen=PATIENCE[proof.kind], late=True))
    if other is None or other.minibatch <= proof.minibatch or not other.learns("sgd"):
        return None
    by_descent = [run for run in proof.runs if run.optimizer == "sgd"]
    return NormalizationTrial(
        frozen=False,
        minibatch=proof.minibatch,
        usual_minibatch=other.minibatch,
        values=values,
        without=_learnt(other.runs)[0],
        run=min(by_descent, key=lambda run: run.end),
    )


def _try_frozen(trainer: Trainer, measured: Measurement, proof: Probe) -> NormalizationTrial | None:
    """The first run that learns with frozen statistics as well, or else the one that came furthest."""
    again = trainer.freezing()
    best: dict[str, Run] = {}
    for run in _learnt(proof.runs):
        best.setdefault(run.optimizer, run)
    tried: list[NormalizationTrial] = []
    for without in best.values():
        frozen = trainer.clock.finished(WHAT, partial(_again, again, measured, without, proof))
        if frozen is None:
            break
        tried.append(
            NormalizationTrial(
                frozen=True,
                minibatch=proof.minibatch,
                usual_minibatch=proof.minibatch,
                values=0,
                without=without,
                run=frozen,
            )
        )
        if frozen.outcome is Outcome.LEARNT:
            break
    return min(tried, key=lambda each: each.run.end, default=None)


def _again(trainer: Trainer, measured: Measurement, without: Run, proof: Probe) -> Run:
    """The same run, for longer."""
    entry = Training(OptimizerName(without.optimizer), without.learning_rate)
    return trainer.train(
        trainer.baseline, proof.kind, (without.seed,), measured, lengthen=PATIENCE[proof.kind], grid=(entry,)
    ).runs[0]


def _learnt(runs: Sequence[Run]) -> list[Run]:
    """Those that learnt, best first."""
    return sorted((run for run in runs if run.outcome is Outcome.LEARNT), key=lambda run: run.end)
