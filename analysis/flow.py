"""How much gradient survives along the trunk: the numbers of a Flow.

Flow (decades): log10 of the gradient at the start of the trunk over that at the logits, by RMS and by norm.

Leverage of a weight W: |W| |G_B| / sqrt(N), where G_B is its gradient under independent unit cotangents v_b for each
of N samples; its expectation is |W| times the RMS over samples of |d(v_b f(x_b))/dW|. It does not change under
function-preserving rescaling, nor with the loss, nor with the size of the batch.

Nonlinearity coefficient: sqrt(C / D) rms|J'v| sqrt(tr Cov x) / sqrt(tr Cov f) with D inputs and C outputs a sample
(Philipp and Carbonell 2018, "The Nonlinearity Coefficient"), by random cotangents; holds for isotropic inputs.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from analysis.facts import Flow, LayerStats, Range
from analysis.options import LossName
from analysis.statistics import Summary, summarize
from analysis.subject import Subject
from analysis.taps import Backward, Forward, sample_axis

CONVERGED: Final = 1e-6
"""dL/dlogits per sample below which the loss itself is flat and flow is read from pass B."""


def measure_flow(
    subject: Subject, forward: Forward, by_loss: Backward, by_cotangent: Sequence[Backward], stats: Sequence[LayerStats]
) -> Flow:
    """Everything that is read off the trunk."""
    trunk, logits = subject.trunk, subject.trunk.end
    absent: dict[str, str] = {}
    decades = _decades(by_loss, trunk.start, logits)
    transported = _mean_pairs(_decades(each, trunk.start, logits) for each in by_cotangent)
    if trunk.start is None:
        absent["decades_rms"] = trunk.reason
    elif _is_converged(subject, by_loss, logits):
        absent["decades_rms"] = "the loss is flat (converged or saturated): decades are those of a random cotangent"
        decades = transported
    rms, norm = decades or (None, None)
    on_trunk = [layer.id for layer in subject.layers if layer.on_trunk]
    entry = summarize(forward.entry[0]) if forward.entry else None
    return Flow(
        decades_rms=rms,
        decades_norm=norm,
        decades_per_layer=rms / len(on_trunk) if rms is not None and on_trunk else None,
        transport_decades=transported[0] if transported else None,
        collapse_decades=_least_collapse(stats),
        leverage_log10=_leverage_on_trunk(subject, stats),
        input_rms=None if entry is None else entry.rms,
        nonlinearity_coefficient=_nonlinearity(forward, by_cotangent, trunk.entry, subject.batch.size),
        trunk=tuple(on_trunk),
        absent=absent,
    )


def leverage_log10(weight: Summary, gradients: Iterable[Summary | None], samples: int) -> float | None:
    """Log10 of the leverage over several cotangents (their mean square); -inf for no gradient, None for no pass."""
    squares = [gradient.sum_squares for gradient in gradients if gradient is not None]
    if not squares:
        return None
    value = weight.norm * math.sqrt(sum(squares) / len(squares) / samples)
    return math.log10(value) if value > 0 else -math.inf if value == 0 else value


def _decades(backward: Backward, start: str | None, logits: str) -> tuple[float, float] | None:
    """(by RMS, by norm); None where either end has no gradient."""
    near, far = backward.activations.get(logits), backward.activations.get(start or "")
    if near is None or far is None or not near.rms:
        return None
    if not far.rms:
        return -math.inf, -math.inf
    return math.log10(far.rms / near.rms), math.log10(far.norm / near.norm)


def _mean_pairs(pairs: Iterable[tuple[float, float] | None]) -> tuple[float, float] | None:
    present = [pair for pair in pairs if pair is not None]
    if not present:
        return None
    first, second = zip(*present, strict=True)
    return sum(first) / len(first), sum(second) / len(second)


def _is_converged(subject: Subject, by_loss: Backward, logits: str) -> bool:
    """Whether dL/dlogits of a sample is down at the noise of float32; a graph's own loss has any scale."""
    if subject.objective.name is LossName.GRAPH:
        return False
    seed = by_loss.activations.get(logits)
    return seed is not None and seed.norm * math.sqrt(subject.batch.size) < CONVERGED


def _leverage_on_trunk(subject: Subject, stats: Sequence[LayerStats]) -> Range | None:
    levers = [
        each.leverage_log10
        for each, layer in zip(stats, subject.layers, strict=True)
        if layer.on_trunk and each.leverage_log10 is not None
    ]
    return Range(least=min(levers), largest=max(levers)) if levers else None


def _least_collapse(stats: Sequence[LayerStats]) -> float | None:
    collapses = [
        each.activation.collapse_log10
        for each in stats
        if each.activation is not None and each.activation.collapse_log10 is not None
    ]
    return min(collapses, default=None)


def _nonlinearity(forward: Forward, by_cotangent: Sequence[Backward], entry: str | None, samples: int) -> float | None:
    arriving = [each.activations[entry].sum_squares for each in by_cotangent if entry in each.activations]
    if not arriving or not forward.entry or samples < 2:
        return None
    x, f = forward.entry[0].detach().double(), forward.logits[0].detach().double()
    axis_in, axis_out = sample_axis(x, samples), sample_axis(f, samples)
    if axis_in is None or axis_out is None:
        return None
    spread_in = float(x.var(axis_in, correction=0).sum())
    spread_out = float(f.var(axis_out, correction=0).sum())
    if not spread_out or not math.isfinite(spread_out):
        return None
    jacobian = math.sqrt(sum(arriving) / len(arriving) / samples)
    return math.sqrt(f.numel() / x.numel()) * jacobian * math.sqrt(spread_in / spread_out)
