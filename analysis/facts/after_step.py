"""What an optimiser sees of a measured gradient: clipped first, then decayed, by arithmetic on numbers.

Clipping by global norm scales everything by min(1, c / |g|); decay adds lambda w, so |g + lambda w|^2 = |g|^2 + 2
lambda <g, w> + lambda^2 |w|^2. Both follow from norms and products of a pass that was run anyway (torch's order:
clip_grad_norm_, then the optimiser's weight_decay). Clipping by value or in proportion to the weights needs the
elements and is measured.
"""

import math
from dataclasses import replace

from analysis.facts.layers import ActivationGradient, GradientStats, LayerStats
from analysis.facts.measurement import Measurement
from analysis.facts.steps import ClipKind, GradientStep


def after_step(measurement: Measurement, step: GradientStep) -> Measurement:
    """The measurement as the optimiser would see it."""
    clip = step.clip
    if clip is not None and clip.kind is ClipKind.GLOBAL_NORM and measurement.total_gradient_norm > clip.max_norm:
        measurement = scaled(measurement, clip.max_norm / measurement.total_gradient_norm)
    return decayed(measurement, step.weight_decay) if step.weight_decay else measurement


def as_trained(measurement: Measurement) -> Measurement:
    """Gradients of the loss as it is trained, not divided by the variance of the targets."""
    factor = measurement.loss.target_variance
    if factor == 1:
        return measurement
    whole, samples, flow = scaled(measurement, factor), measurement.sample_gradients, measurement.flow
    arriving = flow.logits_gradient_rms
    return replace(
        whole,
        stats=tuple(
            replace(
                each,
                activation_gradient=_arriving(each.activation_gradient, factor),
                block_gradient=_arriving(each.block_gradient, factor),
            )
            for each in whole.stats
        ),
        flow=replace(flow, logits_gradient_rms=None if arriving is None else arriving * factor),
        sample_gradients=None
        if samples is None
        else replace(
            samples,
            least_norm=samples.least_norm * factor,
            median_norm=samples.median_norm * factor,
            largest_norm=samples.largest_norm * factor,
        ),
    )


def _arriving(gradient: ActivationGradient | None, factor: float) -> ActivationGradient | None:
    return None if gradient is None else ActivationGradient(rms=gradient.rms * factor, norm=gradient.norm * factor)


def scaled(measurement: Measurement, factor: float) -> Measurement:
    """All gradients of the parameters times a factor."""
    return replace(
        measurement,
        stats=tuple(_scaled(each, factor) for each in measurement.stats),
        total_gradient_norm=measurement.total_gradient_norm * factor,
        gradient_dot_weight=measurement.gradient_dot_weight * factor,
    )


def decayed(measurement: Measurement, decay: float) -> Measurement:
    """Decay times the weights added to their gradients."""
    gradient, weight = measurement.total_gradient_norm, measurement.total_weight_norm
    product = measurement.gradient_dot_weight
    return replace(
        measurement,
        stats=tuple(_decayed(each, decay) for each in measurement.stats),
        total_gradient_norm=_norm(gradient, product, weight, decay),
        gradient_dot_weight=product + decay * weight**2,
    )


def _norm(gradient: float, product: float, weight: float, decay: float) -> float:
    return math.sqrt(max(gradient**2 + 2 * decay * product + (decay * weight) ** 2, 0.0))


def _scaled(stats: LayerStats, factor: float) -> LayerStats:
    return replace(
        stats,
        weight_gradient=_times(stats.weight_gradient, factor),
        vector_gradient=_times(stats.vector_gradient, factor),
        update_ratio=None if stats.update_ratio is None else stats.update_ratio * factor,
        gradient_dot_weight=None if stats.gradient_dot_weight is None else stats.gradient_dot_weight * factor,
    )


def _times(gradient: GradientStats | None, factor: float) -> GradientStats | None:
    if gradient is None:
        return None
    return replace(gradient, norm=gradient.norm * factor, rms=gradient.rms * factor, max_abs=gradient.max_abs * factor)


def _decayed(stats: LayerStats, decay: float) -> LayerStats:
    """Norm and ratio of the weight matrices; what cannot be told without the elements is left as it was."""
    gradient, weight, product = stats.weight_gradient, stats.weight, stats.gradient_dot_weight
    if gradient is None or weight is None or product is None or not gradient.norm:
        return stats
    norm = _norm(gradient.norm, product, weight.norm, decay)
    factor = norm / gradient.norm
    return replace(
        stats,
        weight_gradient=replace(gradient, norm=norm, rms=gradient.rms * factor),
        update_ratio=None if stats.update_ratio is None else stats.update_ratio * factor,
        gradient_dot_weight=product + decay * weight.norm**2,
    )
