"""The unchanged model, looked at as closely as effort allows: what all variants are measured for, and more.

In float64 where gradients fall out of float32's range. At effort thorough also the gradients of single samples and how
smooth the gradient is in the input.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import torch

from analysis.clock import BUDGET_REACHED, Clock
from analysis.facts import Confidence, LayerStats, Measurement, Parity, ParityStatus
from analysis.measure.cotangent import paired, random_cotangent
from analysis.measure.passes import cotangent_seeds, measure
from analysis.measure.per_sample import measure_sample_gradients
from analysis.measure.taps import sample_axis
from analysis.options import AnalysisOptions, Effort
from analysis.subject.preparation import in_float64
from analysis.subject.subject import Subject

UNDERFLOW: Final = 1e-35
"""Gradients below this are at the end of float32: measure again in float64."""
SHATTER_STEP: Final = 0.1
"""Of the standard deviation of the input."""


def examine(
    subject: Subject, parity: Parity, options: AnalysisOptions, clock: Clock | None = None
) -> tuple[Subject, Measurement]:
    """The unchanged model: both passes, in float64 where float32 runs out; the subject goes on at that precision.

    The first measurement is never cut, as there is no report without it (its batch was chosen to fit, see
    `analysis.subject.sizing`); what comes after it ends with the budget of the clock.
    """
    clock, thorough = clock or Clock(math.inf, None), options.effort is Effort.THOROUGH
    seeds = cotangent_seeds(options)
    measured = partial(measure, cotangents=seeds, learning_rate=options.learning_rate, ranked=thorough)
    measurement = measured(subject)
    with subject.converted.interrupted_by(clock.look):
        subject, measurement = _in_range(subject, measurement, measured, clock)
    if parity.status is ParityStatus.UNAVAILABLE:
        reasons = (*measurement.cap_reasons, parity.detail)
        measurement = replace(measurement, confidence_cap=Confidence.MEDIUM, cap_reasons=reasons)
    with subject.converted.interrupted_by(clock.look):
        measurement = (
            _examined_closely(subject, measurement, seeds[0], clock) if thorough else _with_absent(measurement)
        )
    return subject, replace(measurement, parity=parity)


def _in_range(
    subject: Subject, measurement: Measurement, measured: Callable[[Subject], Measurement], clock: Clock
) -> tuple[Subject, Measurement]:
    """Both in float64, where gradients fall out of float32's range and the budget lasts."""
    if not _needs_float64(measurement):
        return subject, measurement
    double = in_float64(subject)
    again = clock.finished("measurement in float64", partial(measured, double))
    return (subject, measurement) if again is None else (double, again)


def _examined_closely(subject: Subject, measurement: Measurement, seed: int, clock: Clock) -> Measurement:
    """With what takes passes of its own: gradients of single samples, and how smooth they are in the input."""
    batch_statistics = measurement.batch_statistics
    agree = partial(measure_sample_gradients, subject, batch_statistics=batch_statistics)
    agreement = clock.finished("gradients of single samples", agree) or BUDGET_REACHED
    smooth = partial(shatter_cosine, subject, batch_statistics=batch_statistics, seed=seed)
    found = clock.finished("smoothness of the gradient in the input", smooth)
    smoothness = BUDGET_REACHED if found is None else found
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
    end = seen[0]
    (gradient,) = torch.autograd.grad(paired(end, random_cotangent(end, subject.batch.size, seed)), leaf)
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
