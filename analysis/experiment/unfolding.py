"""The network as its owner trains it, where an exporter folded its BatchNormalization away.

What trains with BatchNormalization need not train without it, so a folded graph that does not learn says nothing of the
network. BatchNormalization is put back in front of the activations, with the statistics of the batch, and that is
trained as the unchanged model was.
"""

from functools import partial

from analysis.experiment.measuring import Measuring
from analysis.facts import Probe
from analysis.interventions.variants import cell_of
from analysis.training.grid import PATIENCE
from analysis.training.trainer import Trainer

NORMALIZED = "batch_norm"
WHAT = "training with BatchNormalization put back"


def probe_unfolded(measuring: Measuring, trainer: Trainer) -> Probe | None:
    """None where nothing looks folded or plain gradient descent learns as it is, or where the budget ends before."""
    baseline = measuring.cells.baseline
    if not baseline.looks_folded or baseline.probe is None or baseline.probe.learns("sgd"):
        return None
    measured = trainer.clock.finished(f"variant {NORMALIZED}", partial(measuring.run, cell_of(NORMALIZED)))
    if measured is None or measured.measurement is None or measured.recipe is None:
        return None
    subject, kind = measuring.structures.subject_of(measured.recipe), baseline.probe.kind
    train = partial(trainer.train, subject, kind, trainer.seeds[:1], measured.measurement)
    proof = trainer.clock.finished(WHAT, train)
    if proof is None or proof.learns("sgd"):
        return proof
    return trainer.clock.finished(WHAT, partial(train, lengthen=PATIENCE[kind])) or proof
