"""What several rules ask of a measurement."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from analysis.facts import (
    ENOUGH_HELD_OUT,
    LATE_BY_HEART,
    Flow,
    Layer,
    LayerStats,
    Measurement,
    Probe,
    ProbeKind,
    Provenance,
)
from analysis.report import Evidence, Severity


def was_trained(measurement: Measurement) -> bool:
    """Whether a training can decide what statistics leave open."""
    return measurement.probe is not None or measurement.own_loss is not None


def knows_too_few(probe: Probe) -> bool:
    """Whether the samples that were trained on are known by heart, and too few others were asked about to be sure."""
    return 0 < probe.held_out < ENOUGH_HELD_OUT and any(run.curve[-1] < LATE_BY_HEART for run in probe.runs)


COMES_DOWN: Final = 0.1
"""Of where a graph's own loss starts: what it has to come down by to count as learnt."""


def learns(measurement: Measurement) -> bool:
    """Whether the network learnt in a training probe: with some optimiser, clipped, as its owner trains or warmed up.

    Of a graph that ends in its own loss: whether that was brought down.
    """
    probe, own = measurement.probe, measurement.own_loss
    if own is not None:
        return own.fall() > COMES_DOWN
    return probe is not None and (
        probe.clipped_at is not None
        or probe.warmed is not None
        or probe.own_learns
        or any(map(probe.learns, ("sgd", "adam")))
    )


def learns_by_descent(measurement: Measurement) -> bool:
    """Whether plain gradient descent did."""
    probe, own = measurement.probe, measurement.own_loss
    return own.fall("sgd") > COMES_DOWN if own is not None else probe is not None and probe.learns("sgd")


REFERENCE_SHARE: Final = 0.05
"""Of the targets' variance, on samples not seen: what a network of known health explains of targets that follow."""


def targets_do_not_follow(measurement: Measurement) -> bool:
    """Whether no reader makes more of the targets than of permuted ones, and no healthy network learns them either."""
    reading = measurement.target_reading
    if reading is None or reading.reference >= REFERENCE_SHARE:
        return False
    return max(reading.linear, reading.neighbours) <= reading.permuted


def is_relearning(measurement: Measurement) -> bool:
    """Whether trained weights are asked for targets that were made up."""
    return measurement.trained and measurement.loss.targets is Provenance.SYNTHETIC


def amber(measurement: Measurement) -> Severity:
    """Evidence that is often right and often harmless: a warning, but a remark where plain gradient descent learns.

    A remark also where the targets do not follow from the inputs: that nothing is learnt is no second witness then; and
    of weights that look trained, where nobody sent targets: they were learnt on such inputs, at this scale.
    """
    probe = measurement.probe
    trains = learns_by_descent(measurement) or (probe is not None and probe.own_learns) or is_relearning(measurement)
    return Severity.INFO if trains or targets_do_not_follow(measurement) else Severity.WARNING


LEAST_USUAL_RATE: Final = 1e-4


def of_scale(measurement: Measurement) -> Severity:
    """As `amber`; a warning also where plain gradient descent learns at rates that nobody would try.

    They are what inputs or targets of thousands ask for; in the user's own units.
    """
    probe = measurement.probe
    learnt = [] if probe is None or probe.own_learns else probe.rates_that_learnt("sgd")
    return Severity.WARNING if learnt and max(learnt) < LEAST_USUAL_RATE else amber(measurement)


def settled(measurement: Measurement, *, doubtful: bool = False, by_heart: bool = True) -> Severity:
    """An error; a warning where the network learns in spite of it, or where a doubt has no probe to end it.

    One batch that is learnt by heart with patience may say nothing, see `Probe.crams`; without `by_heart` none does.

    Never an error where BatchNormalization normalises nothing, or was folded: nobody trains the network like that. It
    stays one where the network does not learn with BatchNormalization put back, either.
    """
    probe = measurement.probe
    undecided = not was_trained(measurement) or (probe is not None and probe.unfinished)
    bereft = measurement.idle_normalization or (measurement.looks_folded and measurement.unfolded is None)
    says_nothing = probe is not None and (probe.crams or (probe.kind is ProbeKind.MEMORIZING and not by_heart))
    withstands = learns(measurement) and not says_nothing
    return Severity.WARNING if withstands or bereft or (doubtful and undecided) else Severity.ERROR


BORDERLINE_DECADES: Final = 1.5
"""Of networks with no witness so far beyond its threshold, about half were trained all the same."""


def is_borderline(evidence: Iterable[Evidence]) -> bool:
    """Whether no witness is far beyond its threshold."""
    return all(each.margin_decades is None or each.margin_decades < BORDERLINE_DECADES for each in evidence)


STATE_GROWTH_DECADES: Final = 2.0
"""Saturating cells stay under 0.6; the state of a cell that explodes grows like its gradient, by over 3."""


def state_growth(measurement: Measurement) -> float | None:
    """Decades that the states of the chain which grows most gain over time; None where nothing recurs."""
    known = (each.state_growth_decades for each in measurement.through_time)
    return max((each for each in known if each is not None), default=None)


def has_bounded_states(measurement: Measurement) -> bool:
    """Whether cells keep their states in range: of those whose gradient grows all the same, half were trained."""
    growth = state_growth(measurement)
    return growth is not None and growth < STATE_GROWTH_DECADES


def layers_with_stats(measurement: Measurement) -> Iterator[tuple[Layer, LayerStats]]:
    """Layers and what was measured of them."""
    return zip(measurement.layers, measurement.stats, strict=True)


# ------------------------------------------------------------------ what several rules ask


LEARNT: Final = 0.2  # loss over chance
CONVERGED_GRADIENT: Final = -3.0  # log10 of a sample's gradient at the logits; about 0 at chance


def is_converged(measurement: Measurement) -> bool:
    """Whether the loss has next to nothing left to send back."""
    gradient, loss = measurement.flow.head_gradient_log10, measurement.loss
    low = loss.chance is None or loss.value < loss.chance
    return gradient is not None and gradient < CONVERGED_GRADIENT and low


def loss_over_chance(measurement: Measurement) -> float | None:
    """1 for the best constant prediction; None where chance is unknown."""
    chance = measurement.loss.chance
    return measurement.loss.value / chance if chance else None


def has_learnt(measurement: Measurement) -> bool:
    """Whether the batch is learnt before the first step, as GH105 asks for it after the last."""
    over_chance = loss_over_chance(measurement)
    return over_chance is not None and over_chance < LEARNT


def links_read_as_logits(measurement: Measurement) -> int:
    """Softmax and sigmoid nodes before the loss, but for that at the output where it was read as it stands: GH504."""
    outputs, anatomy = measurement.outputs, measurement.anatomy
    behind = outputs is not None and bool(outputs.link) and not anatomy.head_operators
    return max(len(anatomy.stacked_links) - behind, 0)


def trunk_ratios(measurement: Measurement) -> dict[str, float]:
    """Gradient norm over weight norm of the layers on the trunk that have both, by layer."""
    return {
        layer.id: stats.update_ratio
        for layer, stats in layers_with_stats(measurement)
        if layer.on_trunk and stats.update_ratio and math.isfinite(stats.update_ratio)
    }


def ratio_spread(measurement: Measurement) -> float:
    """Decades between the largest and the smallest of these ratios."""
    ratios = trunk_ratios(measurement).values()
    return math.log10(max(ratios) / min(ratios)) if ratios else 0.0


def reach_log10(measurement: Measurement) -> float | None:
    """Largest leverage over the RMS of the input, as both cotangents see it.

    Leverage follows the scale of the input, but not behind a normalisation: there a small input lends it no reach.
    """
    flow = measurement.flow
    if flow.leverage_log10 is None or not flow.input_rms:
        return None
    largest = agreed([each.largest for each in flow.leverage_by_seed], flow.leverage_log10.largest, min)
    scale = max(flow.input_rms, 1.0) if measurement.normalized else flow.input_rms
    return None if largest is None else largest - math.log10(scale)


LARGEST_INPUT_RMS: Final = 5.0


def has_large_input(measurement: Measurement) -> bool:
    """Whether inputs are large and nothing normalises them: what vanishes then often trains all the same."""
    rms = measurement.flow.input_rms
    return rms is not None and rms > LARGEST_INPUT_RMS and not measurement.normalized


def least_leverage(flow: Flow) -> float | None:
    """Least leverage on the trunk, as both cotangents see it."""
    together = None if flow.leverage_log10 is None else flow.leverage_log10.least
    return agreed([each.least for each in flow.leverage_by_seed], together, max)


def nonlinearity(flow: Flow) -> float | None:
    """The nonlinearity coefficient, as both cotangents see it."""
    return agreed(flow.nonlinearity_by_seed, flow.nonlinearity_coefficient, min)


def agreed(
    by_seed: Sequence[float], together: float | None, choose: Callable[[Sequence[float]], float]
) -> float | None:
    """The most cautious reading over cotangent seeds (`choose`: min or max), or the one value there is."""
    return choose(by_seed) if by_seed else together
