"""Forward, backward, statistics: a Measurement of one variant.

Pass A differentiates the loss ("what training would do now"), pass B a random unit cotangent at the logits ("what the
network can transport"), both on one forward. A tiny pass A beside a sound pass B is a converged or saturated loss, not
a vanishing gradient.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

import torch

from analysis.facts import (
    ActivationGradient,
    ActivationStats,
    BatchFacts,
    Confidence,
    GradientStats,
    Layer,
    LayerStats,
    LossFacts,
    Measurement,
    Parity,
    ParityStatus,
    Provenance,
    WeightStats,
    is_matrix,
)
from analysis.fans import fans
from analysis.flow import leverage_log10, measure_flow
from analysis.layers import NORMALIZATIONS, cancelling_operator
from analysis.localize import locate_non_finite
from analysis.options import AnalysisOptions
from analysis.sources import RECURRENT, gradient_inputs
from analysis.statistics import Summary, combine, summarize
from analysis.subject import Subject, in_float64, uses_batch_statistics
from analysis.taps import Backward, Forward, Taps, sample_axis

UNDERFLOW: Final = 1e-35
"""Gradients below this are at the end of float32: measure again in float64."""
FEW_SAMPLES: Final = 8
"""Fewer than this lower confidence."""
ATTENTION: Final = frozenset({"Attention", "MultiHeadAttention"})


def examine(subject: Subject, parity: Parity, options: AnalysisOptions) -> tuple[Subject, Measurement]:
    """The unchanged model: both passes, in float64 where float32 runs out; the subject goes on at that precision."""
    seeds = cotangent_seeds(options)
    measurement = measure(subject, cotangents=seeds, learning_rate=options.learning_rate)
    if _needs_float64(measurement):
        subject = in_float64(subject)
        measurement = measure(subject, cotangents=seeds, learning_rate=options.learning_rate)
    if parity.status is ParityStatus.UNAVAILABLE:
        reasons = (*measurement.cap_reasons, parity.detail)
        measurement = replace(measurement, confidence_cap=Confidence.MEDIUM, cap_reasons=reasons)
    return subject, replace(measurement, parity=parity)


def cotangent_seeds(options: AnalysisOptions) -> tuple[int, int]:
    """Two random cotangents for pass B."""
    return 2 * options.seed, 2 * options.seed + 1


def measure(subject: Subject, *, cotangents: Sequence[int], learning_rate: float | None = None) -> Measurement:
    """Pass A, and pass B once per cotangent seed; eval mode afterwards."""
    inputs, targets = subject.tensors()
    training = uses_batch_statistics(subject.model, subject.converted, inputs)
    subject.converted.train(training)
    taps = Taps(subject)
    try:
        with taps.listening_to_weights():
            loss = taps.run(inputs, targets)
            loss.backward(retain_graph=bool(cotangents))
            by_loss, by_cotangent = taps.backward, []
            logits = taps.forward.logits[0]
            for seed in cotangents:
                taps.backward = Backward()
                logits.backward(_cotangent(logits, subject.batch.size, seed), retain_graph=seed != cotangents[-1])
                by_cotangent.append(taps.backward)
    finally:
        subject.converted.eval()
    reading = _Reading(subject, taps.forward, by_loss, by_cotangent, learning_rate)
    return reading.measurement(float(loss.detach()), training)


def _cotangent(logits: torch.Tensor, samples: int, seed: int) -> torch.Tensor:
    """v ~ N(0, 1) over all elements, scaled to norm 1 per sample."""
    draw = torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    axis = sample_axis(logits, samples)
    others = [place for place in range(draw.ndim) if place != axis]
    norm = torch.linalg.vector_norm(draw, dim=others, keepdim=True) if others else draw.abs()
    return (draw / norm).to(logits)


def _needs_float64(measurement: Measurement) -> bool:
    """Whether gradients fell out of float32's range on the way back."""
    gradients = [stats.weight_gradient for stats in measurement.stats if stats.weight_gradient is not None]
    arrives = any(gradient.max_abs > UNDERFLOW for gradient in gradients)
    return measurement.non_finite is None and arrives and any(each.max_abs < UNDERFLOW for each in gradients)


@dataclass(frozen=True)
class _Reading:
    """What the passes left behind, about to become numbers."""

    subject: Subject
    forward: Forward
    by_loss: Backward
    by_cotangent: Sequence[Backward]
    learning_rate: float | None

    def measurement(self, loss: float, training: bool) -> Measurement:  # noqa: FBT001 - a fact, not a switch
        subject = self.subject
        weights = {name: summarize(parameter) for name, parameter in subject.converted.initializers.items()}
        upstream = _upstream(subject)
        stats = tuple(self.layer(layer, weights, upstream) for layer in subject.layers)
        total = combine(self.by_loss.gradients.values())
        broken = not math.isfinite(loss) or total.non_finite or any(s.non_finite for s in self.forward.outputs.values())
        operators = {node.op_type for node in subject.model.nodes}
        reasons = _cap_reasons(subject)
        return Measurement(
            layers=subject.layers,
            stats=stats,
            batch=_batch_facts(subject),
            loss=_loss_facts(subject, loss),
            flow=measure_flow(subject, self.forward, self.by_loss, self.by_cotangent, stats),
            total_gradient_norm=total.norm,
            total_weight_norm=combine(weights.values()).norm,
            gradient_dot_weight=sum(self.by_loss.products.values()),
            batch_statistics=training,
            recurrent=bool(operators & (RECURRENT | {"Loop", "Scan"})),
            normalized=bool(operators & NORMALIZATIONS),
            convolutional=bool(operators & {"Conv", "ConvTranspose"}),
            attentive=_attends(subject),
            non_finite=locate_non_finite(subject) if broken else None,
            cotangents=len(self.by_cotangent),
            confidence_cap=Confidence.MEDIUM if reasons else Confidence.HIGH,
            cap_reasons=reasons,
        )

    def layer(self, layer: Layer, weights: Mapping[str, Summary], upstream: AbstractSet[str]) -> LayerStats:
        """One layer; its matrices are taken together, and so are its other parameters."""
        matrices = [info.initializer for role, info in layer.parameters.items() if is_matrix(role)]
        vectors = [info.initializer for role, info in layer.parameters.items() if not is_matrix(role)]
        gradient = _gradient_stats(self.by_loss.gradients.get(name) for name in matrices)
        weight = combine(weights[name] for name in matrices)
        arriving = self.by_loss.activations.get(layer.output)
        levers = [self._leverage(name, weights[name]) for name in matrices]
        ratio = gradient.norm / weight.norm if gradient is not None and weight.norm else None
        return LayerStats(
            id=layer.id,
            weight_gradient=gradient,
            vector_gradient=_gradient_stats(self.by_loss.gradients.get(name) for name in vectors),
            activation_gradient=None if arriving is None else ActivationGradient(rms=arriving.rms, norm=arriving.norm),
            activation=self._activation(layer),
            weight=_weight_stats(self.subject, weight, matrices) if matrices else None,
            update_ratio=None if ratio is None else ratio * (self.learning_rate or 1.0),
            leverage_log10=max((lever for lever in levers if lever is not None), default=None),
            leads_to_loss=layer.output in upstream,
            cancelled_by=cancelling_operator(self.subject.model, layer),
            absent=_absent(layer, matrices, gradient),
        )

    def _leverage(self, name: str, weight: Summary) -> float | None:
        gradients = [each.gradients.get(name) for each in self.by_cotangent]
        return leverage_log10(weight, gradients, self.subject.batch.size)

    def _activation(self, layer: Layer) -> ActivationStats | None:
        forward, output = self.forward, self.forward.outputs.get(layer.output)
        if output is None or not output.count:
            return None
        return ActivationStats(
            mean=output.mean,
            std=output.std,
            zero_fraction=output.zeros / output.count,
            non_finite=output.non_finite,
            observations=forward.observations[layer.output],
            dead_fraction=forward.dead.get(layer.pre_activation or ""),
            saturated_fraction=forward.saturated.get(layer.pre_activation or ""),
            collapse_log10=forward.collapse[layer.output],
        )


def _absent(layer: Layer, matrices: Sequence[str], gradient: GradientStats | None) -> dict[str, str]:
    absent: dict[str, str] = {}
    if not matrices:
        absent["weight_gradient"] = "the layer has no weight matrix"
    elif gradient is None:
        absent["weight_gradient"] = "no gradient reaches the weight"
    if layer.pre_activation is None:
        absent["activation.dead_fraction"] = "no activation function follows"
    return absent


def _gradient_stats(summaries: Iterable[Summary | None]) -> GradientStats | None:
    present = [summary for summary in summaries if summary is not None]
    if not present:
        return None
    whole = combine(present)
    return GradientStats(
        norm=whole.norm,
        rms=whole.rms,
        max_abs=whole.max_abs,
        zero_fraction=whole.zeros / max(whole.count, 1),
        non_finite=whole.non_finite,
    )


def _weight_stats(subject: Subject, weight: Summary, matrices: Sequence[str]) -> WeightStats:
    """Norms, and the initialisation gain where the operator has a fan-in."""
    uses = [use for use in subject.sources.uses if use.initializer in matrices and is_matrix(use.role)]
    use = uses[0] if uses else None
    shape = None if use is None else subject.model.shape(use.value)
    known = None if use is None or shape is None else fans(use.node, list(use.node.input).index(use.value), shape)
    gain = None if known is None else math.sqrt(known.fan_in) * weight.std
    return WeightStats(norm=weight.norm, rms=weight.rms, initialization_gain=gain)


def _upstream(subject: Subject) -> set[str]:
    """Values that lead to the logits differentiably."""
    found = {subject.objective.head.value}
    for node in reversed(subject.model.nodes):
        if not found.isdisjoint(node.output):
            found.update(gradient_inputs(subject.model, subject.sources, node))
    return found


def _attends(subject: Subject) -> bool:
    """Whether a Softmax sits inside the network, not at its end."""
    ends = {spec.name for spec in subject.model.outputs}
    return any(
        node.op_type in ATTENTION or (node.op_type == "Softmax" and ends.isdisjoint(node.output))
        for node in subject.model.nodes
    )


def _batch_facts(subject: Subject) -> BatchFacts:
    batch = subject.batch
    return BatchFacts(
        sha256=batch.sha256,
        size=batch.size,
        provenance=batch.provenance,
        constant_inputs=batch.constant_inputs,
        notes=batch.notes,
    )


def _loss_facts(subject: Subject, value: float) -> LossFacts:
    objective = subject.objective
    return LossFacts(
        name=objective.name.value,
        chosen=objective.chosen,
        value=value,
        chance=objective.chance,
        targets=objective.provenance,
        absent={"chance": objective.absent_chance} if objective.absent_chance else {},
    )


def _cap_reasons(subject: Subject) -> tuple[str, ...]:
    """Why no statement about this subject can be of high confidence."""
    reasons = []
    if subject.batch.provenance is Provenance.SYNTHETIC:
        reasons.append("inputs are synthetic")
    if subject.objective.provenance is Provenance.SYNTHETIC:
        reasons.append("targets are synthetic")
    if subject.batch.size < FEW_SAMPLES:
        reasons.append(f"only {subject.batch.size} samples")
    return tuple(reasons)
