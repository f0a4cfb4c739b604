"""The user's own training on standardised inputs, where it fails as they are.

A rate that diverges on pixels of 0 to 255 may be a good one for pixels of mean 0 and deviation 1: then it is the inputs
that are to change, and not the rate. Asked where the network learns at another rate, so that nothing else is wrong with
it. The run is as long as the one that failed.
"""

from functools import partial
from typing import Final

from analysis.facts import Measurement, Outcome, Run
from analysis.options import OptimizerName
from analysis.subject.subject import Subject
from analysis.training.grid import PATIENCE, Training
from analysis.training.trainer import Trainer

WHAT: Final = "training with standardised inputs"


def own_rate_fails(measured: Measurement) -> bool:
    """Whether the user's own optimiser and rate do not train what another run trains."""
    probe = measured.probe
    return probe is not None and bool(probe.own) and not probe.own_learns and probe.working("sgd") is not None


def try_standard_inputs(trainer: Trainer, standardized: Subject, measured: Measurement) -> Run | None:
    """The user's own training of the network behind standardised inputs, if it learns there."""
    probe = measured.probe
    assert probe is not None
    own = probe.own[0]
    entry = Training(OptimizerName(own.optimizer), own.learning_rate, own=True)
    train = partial(
        trainer.train, standardized, probe.kind, (own.seed,), measured,
        lengthen=PATIENCE[probe.kind], late=True, grid=(entry,),
    )  # fmt: skip
    tried = trainer.clock.finished(WHAT, train)
    return None if tried is None or tried.runs[0].outcome is not Outcome.LEARNT else tried.runs[0]
