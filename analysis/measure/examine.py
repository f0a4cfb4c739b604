"""The unchanged model, looked at as closely as effort allows: what all variants are measured for, and more.

In float64 where gradients fall out of float32's range. At effort thorough also the gradients of single samples and how
smooth the gradient is in the input.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch

from analysis.facts import Confidence, LayerStats, Measurement, Parity, ParityStatus
from analysis.measure.passes import cotangent, cotangent_seeds, measure
from analysis.measure.per_sample import measure_sample_gradients
from analysis.measure.taps import sample_axis
from analysis.options import AnalysisOptions, Effort
from analysis.subject.preparation import in_float64
from analysis.subject.subject import Subject

UNDERFLOW: Final = 1e-35
"""Gradients below this are at the end of float32: measure again in float64."""
SHATTER_STEP: Final = 0.1
"""Of the standard deviation of the input."""


def examine(subject: Subject, parity: Parity, options: AnalysisOptions) -> tuple[Subject, Measurement]:
    """The unchanged model: both passes, in float64 where float32 runs out; the subject goes on at that precision."""
    thorough = options.effort is Effort.THOROUGH
    seeds = cotangent_seeds(options)
    measurement = measure(subject, cotangents=seeds, learning_rate=options.learning_rate, ranked=thorough)
    if _needs_float64(measurement):
        subject = in_float64(subject)
        measurement = measure(subject, cotangents=seeds, learning_rate=options.learning_rate, ranked=thorough)
    if parity.status is ParityStatus.UNAVAILABLE:
        reasons = (*measurement.cap_reasons, parity.detail)
        measurement = replace(measurement, confidence_cap=Confidence.MEDIUM, cap_reasons=reasons)
    measurement = _examined_closely(subject, measurement, seeds[0]) if thorough else _with_absent(measurement)
    return subject, replace(measurement, parity=parity)


def _examined_closely(subject: Subject, measurement: Measurement, seed: int) -> Measurement:
    """With what takes passes of its own: gradients of single samples, and how smooth they are in the input."""
    agreement = measure_sample_gradients(subject, batch_statistics=measurement.batch_statistics)
    smoothness = shatter_cosine(subject, batch_statistics=measurement.batch_statistics, seed=seed)
    absent = {
        **({"sample_gradients": agreement} if isinstance(agreement, str) else {}),
        **({"shatter_cosine": smoothness} if isinstance(smoothness, str) else {}),
    }
    return replace(
        measurement,
        sample_gradients=None if isinstance(agreement, str) else agreement,
        flow=replace(measurement.flow, shatter_cosine=None if isinstance(smoothness, str) else smoothness),
        absent={**measurement.absent, **absent},
    )


def _with_absent(measurement: Measurement) -> Measurement:
    """What only effort thorough measures."""
    reason = "measured at effort thorough"
    names = ("sample_gradients", "shatter_cosine", "effective_rank")
    return replace(measurement, absent={**measurement.absent, **dict.fromkeys(names, reason)})


def shatter_cosine(subject: Subject, *, batch_statistics: bool, seed: int) -> float | str:
    """Mean cosine between the input gradients at x and at x + 0.1 std(x) xi, xi ~ N(0, 1) (Balduzzi et al. 2017).

    The reason where there is none.
    """
    inputs, _ = subject.tensors()
    names = subject.converted.input_names
    place = names.index(subject.trunk.entry) if subject.trunk.entry in names else -1
    if place < 0:
        return "the trunk does not begin at an input"
    draw = torch.randn(inputs[place].shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    moved = inputs[place] + SHATTER_STEP * inputs[place].std() * draw.to(inputs[place])
    subject.converted.train(batch_statistics)
    try:
        gradients = [_input_gradient(subject, inputs, place, x, seed) for x in (inputs[place], moved)]
    finally:
        subject.converted.eval()
    axis = sample_axis(gradients[0], subject.batch.size)
    if axis is None:
        return "the inputs do not tell samples apart"
    rows = [each.movedim(axis, 0).reshape(subject.batch.size, -1).double() for each in gradients]
    return float(torch.nn.functional.cosine_similarity(rows[0], rows[1], dim=1).mean())


def _input_gradient(
    subject: Subject, inputs: Sequence[torch.Tensor], place: int, x: torch.Tensor, seed: int
) -> torch.Tensor:
    """d(v f(x)) / dx with the cotangent v of this seed."""
    leaf = x.detach().clone().requires_grad_()
    seen: list[torch.Tensor] = []
    subject.converted.observe([*inputs[:place], leaf, *inputs[place + 1 :]], {subject.trunk.end: [seen.append]})
    (gradient,) = torch.autograd.grad(seen[0], leaf, cotangent(seen[0], subject.batch.size, seed))
    return gradient


def _needs_float64(measurement: Measurement) -> bool:
    """Whether gradients fell out of float32's range on the way back."""
    gradients = [stats.weight_gradient for stats in measurement.stats if stats.weight_gradient is not None]
    arrives = any(gradient.max_abs > UNDERFLOW for gradient in gradients)
    head = measurement.anatomy.zero_head
    return measurement.non_finite is None and arrives and any(_underflows(stats, head) for stats in measurement.stats)


def _underflows(stats: LayerStats, zero_head: str | None) -> bool:
    """Whether a gradient is lost to rounding: not one that a layer of zeros holds back."""
    if stats.weight_gradient is None or stats.weight_gradient.max_abs > UNDERFLOW:
        return False
    if stats.blocked_by != zero_head:
        return stats.blocked_by is None
    lost = stats.leverage_log10 is not None and stats.leverage_log10 < math.log10(UNDERFLOW)
    return zero_head is None or lost or stats.weight_gradient.max_abs > 0
