"""How much gradient survives along the trunk: the numbers of a Flow.

Flow (decades): log10 of the gradient at the start of the trunk over that at the logits, by RMS and by norm. Outputs
that are numbers are counted in the unit that the network was made for (`Objective.unit`), so that metres or millimetres
give the same flow, and targets of thousands do not change it.

Leverage of a weight W: |W| |G_B| / sqrt(N), where G_B is its gradient under independent unit cotangents v_b for each
of N samples; its expectation is |W| times the RMS over samples of |d(v_b f(x_b))/dW|. It does not change under
function-preserving rescaling, nor with the loss, nor with the size of the batch.

Nonlinearity coefficient: sqrt(C mean_b g_b' Cov_x g_b / tr Cov_f) with C outputs a sample and g_b = J_b' v_b
(Philipp and Carbonell 2018, "The Nonlinearity Coefficient", by random cotangents): how much further a linear step of
the size by which samples differ would carry the outputs than they really differ. 1 for a linear network.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch

from analysis.batch.far_values import far_values
from analysis.facts import Flow, Layer, LayerStats, Range, is_matrix
from analysis.graph.families import LINEAR
from analysis.graph.slots import RECURRENT
from analysis.measure.statistics import Summary, log10, summarize
from analysis.measure.taps import Backward, Forward, sample_axis
from analysis.options import LossName
from analysis.subject.subject import Subject

CONVERGED: Final = 1e-6
"""dL/dlogits per sample below which the loss itself is flat and flow is read from pass B."""

STEPWISE: Final = RECURRENT | {"Loop", "Scan"}
FEWEST_POINTS: Final = 3
MOST_POINTS: Final = 500
"""Layers between which slopes are taken."""
MOST_DIRECTIONS: Final = 1024
"""Samples, or features, along which the spread of the inputs is looked at."""


def measure_flow(
    subject: Subject,
    forward: Forward,
    by_loss: Backward,
    by_cotangent: Sequence[Backward],
    stats: Sequence[LayerStats],
    weights: Mapping[str, Summary],
) -> Flow:
    """Everything that is read off the trunk."""
    logits, samples = subject.trunk.end, subject.batch.size
    decades, absent = _flow(subject, by_loss, by_cotangent)
    rms, norm = decades or (None, None)
    transported = _transported(subject, by_cotangent)
    on_trunk = [layer.id for layer in subject.layers if layer.on_trunk]
    entry = summarize(forward.entry[0]) if forward.entry else None
    far = far_values(forward.entry[0].detach().cpu().numpy(), samples) if forward.entry else None
    coefficients = _nonlinearity(forward, by_cotangent, samples, output_unit(subject))
    arriving = by_loss.activations.get(logits)
    seed = None if subject.objective.name is LossName.GRAPH else arriving
    spread, unit = _spread(forward.logits[0], samples) if forward.logits else None, output_unit(subject)
    return Flow(
        decades_rms=rms,
        decades_norm=norm,
        decades_per_layer=rms / len(on_trunk) if rms is not None and on_trunk else None,
        transport_decades=transported[0] if transported else None,
        collapse_decades=_least_collapse(stats),
        leverage_log10=_range(subject, [each.leverage_log10 for each in stats]),
        leverage_by_seed=_leverage_by_seed(subject, weights, by_cotangent),
        leverage_decades_per_layer=_leverage_slope(subject, stats),
        logits_gradient_rms=None if arriving is None else arriving.rms * unit,
        input_rms=None if entry is None else entry.rms,
        input_far_decades=None if far is None else math.log10(far.times),
        input_far_share=None if far is None else far.share,
        input_mean_over_std=abs(entry.mean) / entry.std if entry is not None and entry.std else None,
        nonlinearity_coefficient=_root_mean_square(coefficients),
        nonlinearity_by_seed=coefficients,
        gain_log10=_gain(forward.entry, spread, samples),
        blindness_log10=None if spread is None else log10(spread.over_rms),
        logit_std_log10=None if spread is None else log10(spread.deviation / unit),
        head_gradient_log10=None if seed is None else log10(seed.norm * target_unit(subject) * math.sqrt(samples)),
        tokens_decades=min((each for each in forward.tokens.values() if each is not None), default=None),
        width_sum=_width_sum(subject, forward),
        trunk=tuple(on_trunk),
        absent=absent,
    )


def _flow(
    subject: Subject, by_loss: Backward, by_cotangent: Sequence[Backward]
) -> tuple[tuple[float, float] | None, dict[str, str]]:
    """Decades by the loss, or by random cotangents where the loss has nothing to send back; and why."""
    trunk = subject.trunk
    if trunk.start is None:
        return None, {"decades_rms": trunk.reason}
    decades = _decades(by_loss, trunk.start, trunk.end, output_unit(subject))
    if _is_converged(subject, by_loss, trunk.end):
        reason = "the loss is flat (converged or saturated): decades are those of a random cotangent"
    elif decades is None and subject.trunk.end != subject.objective.head.value:
        reason = "the last layer is zero and passes nothing yet: decades are those of a random cotangent in front of it"
    else:
        return decades, {}
    return _transported(subject, by_cotangent), {"decades_rms": reason}


def _transported(subject: Subject, by_cotangent: Sequence[Backward]) -> tuple[float, float] | None:
    start, end, unit = subject.trunk.start, subject.trunk.end, output_unit(subject)
    return _mean_pairs(_decades(each, start, end, unit) for each in by_cotangent)


def output_unit(subject: Subject) -> float:
    """The unit at the end of the trunk; 1 where it does not end at the outputs."""
    return subject.objective.unit if subject.trunk.end == subject.objective.head.value else 1.0


def target_unit(subject: Subject) -> float:
    """The deviation of the targets, in which a loss is near its end or far from it; 1 as for `output_unit`."""
    return subject.objective.deviation if subject.trunk.end == subject.objective.head.value else 1.0


def leverage_log10(weight: Summary, gradients: Iterable[Summary | None], samples: int) -> float | None:
    """Log10 of the leverage over several cotangents (their mean square); -inf for no gradient, None for no pass."""
    squares = [gradient.sum_squares for gradient in gradients if gradient is not None]
    if not squares:
        return None
    value = weight.norm * math.sqrt(sum(squares) / len(squares) / samples)
    return math.log10(value) if value > 0 else -math.inf if value == 0 else value


def _decades(backward: Backward, start: str | None, logits: str, unit: float) -> tuple[float, float] | None:
    """(by RMS, by norm); None where either end has no gradient."""
    near, far = backward.activations.get(logits), backward.activations.get(start or "")
    if near is None or far is None or not near.rms:
        return None
    if not far.rms:
        return -math.inf, -math.inf
    return math.log10(far.rms / (near.rms * unit)), math.log10(far.norm / (near.norm * unit))


def _mean_pairs(pairs: Iterable[tuple[float, float] | None]) -> tuple[float, float] | None:
    present = [pair for pair in pairs if pair is not None]
    if not present:
        return None
    first, second = zip(*present, strict=True)
    return sum(first) / len(first), sum(second) / len(second)


def _is_converged(subject: Subject, by_loss: Backward, logits: str) -> bool:
    """Whether dL/dlogits of a sample is down at the noise of float32; the scale of a graph's own loss says nothing."""
    if subject.objective.name is LossName.GRAPH:
        return False
    seed = by_loss.activations.get(logits)
    return seed is not None and seed.norm * target_unit(subject) * math.sqrt(subject.batch.size) < CONVERGED


def _range(subject: Subject, levers: Sequence[float | None]) -> Range | None:
    """Over the layers on the trunk."""
    found = [each for each, layer in zip(levers, subject.layers, strict=True) if layer.on_trunk and each is not None]
    return Range(least=min(found), largest=max(found)) if found else None


def _leverage_by_seed(
    subject: Subject, weights: Mapping[str, Summary], by_cotangent: Sequence[Backward]
) -> tuple[Range, ...]:
    ranges = []
    for each in by_cotangent:
        levers = [layer_leverage(layer, weights, [each], subject.batch.size) for layer in subject.layers]
        ranges.append(_range(subject, levers))
    return tuple(each for each in ranges if each is not None)


def layer_leverage(
    layer: Layer, weights: Mapping[str, Summary], by_cotangent: Sequence[Backward], samples: int
) -> float | None:
    """The largest leverage among a layer's matrices."""
    names = [info.initializer for role, info in layer.parameters.items() if is_matrix(role)]
    found = (
        leverage_log10(weights[name], [each.gradients.get(name) for each in by_cotangent], samples) for name in names
    )
    return max((each for each in found if each is not None), default=None)


def _leverage_slope(subject: Subject, stats: Sequence[LayerStats]) -> float | None:
    """Median of the slopes between all pairs of layers (Theil 1950, Sen 1968)."""
    points = np.array(
        [
            (layer.depth, each.leverage_log10)
            for each, layer in zip(stats, subject.layers, strict=True)
            if layer.on_trunk and each.leverage_log10 is not None and math.isfinite(each.leverage_log10)
        ]
    )
    if len(points) < FEWEST_POINTS:
        return None
    points = points[:: max(1, len(points) // MOST_POINTS)]
    depth, lever = points.T
    one, other = np.triu_indices(len(points), 1)
    apart = depth[other] != depth[one]
    slopes = (lever[other] - lever[one])[apart] / (depth[other] - depth[one])[apart]
    return float(np.median(slopes)) if slopes.size else None


def _least_collapse(stats: Sequence[LayerStats]) -> float | None:
    collapses = [
        each.activation.collapse_log10
        for each in stats
        if each.activation is not None and each.activation.collapse_log10 is not None
    ]
    return min(collapses, default=None)


def _nonlinearity(forward: Forward, by_cotangent: Sequence[Backward], samples: int, unit: float) -> tuple[float, ...]:
    """One coefficient a cotangent; cotangents are drawn in units of the output."""
    if samples < 2 or not forward.entry or not forward.logits:
        return ()
    x, f = _by_sample(forward.entry[0], samples), _by_sample(forward.logits[0], samples)
    if x is None or f is None:
        return ()
    spread = float(f.var(0, correction=0).sum())
    if not spread or not math.isfinite(spread):
        return ()
    coefficients = []
    for each in by_cotangent:
        gradient = _by_sample(each.entry[0], samples) if each.entry else None
        if gradient is not None:
            moved = float(_spread_along(gradient, x).mean())
            coefficients.append(unit * math.sqrt(f.shape[1] * moved / spread))
    return tuple(coefficients)


def _spread_along(directions: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """g' Cov_x g for each row g of the directions [M, F], with the samples x [N, F] -> [M].

    With many samples by the covariance of their features; where there are many of both, along some of the samples,
    drawn at random: the work grows in proportion to the samples.
    """
    centred = x - x.mean(0)
    if len(x) > MOST_DIRECTIONS >= x.shape[1]:
        return ((directions @ (centred.T @ centred / len(x))) * directions).sum(1)
    if len(x) > MOST_DIRECTIONS:
        centred = centred[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:MOST_DIRECTIONS]]
    return (directions @ centred.T).var(1, correction=0)


def _by_sample(value: torch.Tensor, samples: int) -> torch.Tensor | None:
    """[N, everything else] in float64."""
    axis = sample_axis(value, samples)
    return None if axis is None else value.detach().movedim(axis, 0).reshape(samples, -1).double()


def _root_mean_square(values: Sequence[float]) -> float | None:
    return math.sqrt(sum(each * each for each in values) / len(values)) if values else None


class _Spread(NamedTuple):
    """How much values differ between samples."""

    deviation: float
    """Root mean square over elements of the standard deviation over samples."""
    over_rms: float


def _spread(value: torch.Tensor, samples: int) -> _Spread | None:
    """None for a single sample, or where a value is no number: the norm is none then, either."""
    rows = _by_sample(value, samples)
    if rows is None or samples < 2:
        return None
    rms = _root_mean_square_of(rows)
    if not math.isfinite(rms):
        return None
    deviation = _root_mean_square_of(rows - rows.mean(0))
    return _Spread(deviation, deviation / rms if rms else 0.0)


def _root_mean_square_of(rows: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(rows)) / math.sqrt(rows.numel()) if rows.numel() else math.nan


def _gain(entry: Sequence[torch.Tensor], logits: _Spread | None, samples: int) -> float | None:
    """log10 of how much more the logits differ than what enters the trunk."""
    before = _spread(entry[0], samples) if entry else None
    if before is None or logits is None or not before.deviation:
        return None
    return log10(logits.deviation / before.deviation)


def _width_sum(subject: Subject, forward: Forward) -> float | None:
    """Sum of 1 / width over the layers of a plain feed-forward trunk; None where paths part or steps repeat."""
    hidden = [layer for layer in subject.layers if layer.op in LINEAR][:-1]
    feed_forward = subject.attention == () and not any(node.op_type in STEPWISE for node in subject.model.nodes)
    if not hidden or not feed_forward or not all(layer.on_trunk for layer in hidden):
        return None
    counts = [forward.outputs[layer.output].count for layer in hidden if layer.output in forward.outputs]
    return sum(subject.batch.size / count for count in counts if count)
