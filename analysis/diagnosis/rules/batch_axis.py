"""# GH603 batch-axis

## What it detects
A recurrent layer, an attention, a mean or a softmax that takes the samples of the batch for the steps of one sequence
(batch_first? dim?); a Reshape that shares samples out among each other, where axes were to be exchanged (permute?).

## Why it matters
Such a network runs from sample to sample: what it says of one depends on those that happen to stand before it, and the
steps of a sequence never meet. It may even learn its batch by heart, and means nothing for a sample of its own.

## How it is measured
The graph runs node by node on the batch, and again on half of its samples in another order. The first node that makes
other numbers of the same sample is named, where it is recurrent or attends, where it is a softmax, where it sums up and
all samples are given one answer by it, and where it is a Reshape and samples in another order get other answers. The
softmax behind the logits is asked for its axis. BatchNormalization, which looks at all samples on purpose, is none, and
neither is one that is written out; nor is a layer behind an axis that the model calls a sequence (`seq_len`), or with
an input that is the state of one sequence. Error; a warning where some optimiser learns in the probe all the same, or
where there was no probe.

## Example
Data of 256 samples, 20 steps and 6 features in an LSTM that counts time first: it reads one sequence of 256 steps.

## When it is wrong
Attention between samples that is meant, as in set networks and contrastive losses. A batch whose samples really are one
sequence.

## Remedies
batch_first=True, or a Transpose of the first two axes before the layer and after it; x.permute(1, 0, 2) in place of
x.view(steps, samples, -1); Softmax over the classes, the mean over the steps (dim=1). No change of weights mends it.

## References
PyTorch documentation, torch.nn.LSTM and torch.nn.MultiheadAttention, `batch_first`.
"""

from collections.abc import Iterator

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.readings import settled
from analysis.facts import Factor, Measurement
from analysis.report import Evidence


@rule(
    "GH603",
    "batch-axis",
    "Samples of the batch are mixed, as if they were steps of one sequence (batch_first? dim? permute?).",
    place=Place.INPUT,
    factors=(Factor.TIME,),
    treatable=False,
)
def batch_axis(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """The layer at the node that runs along the samples."""
    node = measurement.batch.along_samples
    if node:
        layers = tuple(layer.id for layer in measurement.layers if layer.name == node)
        found = {"nodes_along_the_samples": Evidence(value=1, threshold=0)}
        yield Draft(severity=settled(measurement, doubtful=True), evidence=found, layers=layers)
