"""What the loss is taken of and what it asks for: outputs and targets, as numbers."""

import math

from analysis.facts.kinds import fact


@fact
class OutputFacts:
    """The values that the loss reads, and what they can reach at best."""

    reading: str
    """How the output was read, in one sentence."""
    rms: float | None = None
    """On the sample batch, of the values that the loss reads."""
    least: float | None = None
    """The least and the most that the graph lets these values be, whatever its weights; left out: no limit."""
    most: float | None = None
    floor: float | None = None
    """Least loss over chance that values within these limits can reach on this batch; 0 where nothing is in the way."""
    link: str = ""
    """Softmax or Sigmoid where the graph ends in one."""
    link_units: int | None = None
    """Over how many units the Softmax at the end is taken."""
    link_misses_classes: bool = False
    """The Softmax at the end is taken over another axis than that of the classes."""
    doubled: bool = False
    """The loss brings a softmax or sigmoid, and is taken behind the one in the graph."""
    doubled_floor: float | None = None
    """Least loss over chance behind the graph's Softmax or Sigmoid, if the loss brings its own."""
    off_logarithms: float | None = None
    """Of scores that a negative log-likelihood was asked for: how far, in nats, log sum exp over the classes is from
    the 0 that it is of logarithms of probabilities; left out where they are such logarithms."""
    guessed: bool = False
    """Nobody asked for that loss: PyTorch, which made the network, has no other for class ids."""


@fact
class TargetFacts:
    """What the network is asked for, all samples of the batch together."""

    kind: str
    """labels (class ids), bits (for a binary cross-entropy) or numbers."""
    least: float
    most: float
    mean: float
    std: float
    """Standard deviation over samples, root mean square over outputs; of numbers."""
    rms: float
    tail_share: float | None = None
    """Of the variance of numbers, what the hundredth of them farthest from the mean holds."""
    far_decades: float | None = None
    """log10 of how far one of the numbers lies from the median of its output, in deviations as the middle half has
    them; left out where none lies 1000 away."""
    classes: int | None = None
    """That the outputs can tell apart; of labels and single bits."""
    present: int | None = None
    """Classes that occur."""
    rarest_share: float | None = None
    """Of the labels, those of the rarest class that occurs."""
    imbalance: float | None = None
    """Labels of the most frequent class for each of the rarest that occurs."""
    floor: float | None = None
    """Least loss over chance of what answers equal inputs alike: 1 where all inputs are equal."""


def is_softmax_of_bits(outputs: OutputFacts, targets: TargetFacts | None) -> bool:
    """Whether a softmax, whose values add up to 1, is asked for a yes or no of each of its units."""
    return outputs.link == "Softmax" and targets is not None and targets.kind == "bits"


def range_of_scores(classes: int, loss: float) -> float:
    """How far the score of the right class has to be over all others for a cross-entropy as low as this."""
    return math.log((classes - 1) / math.expm1(loss))


def scale_between(outputs: OutputFacts | None, targets: TargetFacts) -> tuple[float, float]:
    """(what is taken off targets that are numbers, what divides them), so that a fresh network reaches them.

    Mean and deviation; outputs with limits get the targets within these.
    """
    least, most = (None, None) if outputs is None else (outputs.least, outputs.most)
    unit = targets.std
    if least is not None and most is not None:
        unit = (targets.most - targets.least) / (most - least)
    if least is not None:
        return targets.least - least * unit, unit
    if most is not None:
        return targets.most - most * unit, unit
    return targets.mean, unit
