"""What the passes left behind, as facts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from analysis.convert.fuse import writes_normalization
from analysis.facts import (
    ActivationGradient,
    ActivationStats,
    Anatomy,
    AttentionStats,
    BatchFacts,
    Confidence,
    GradientStats,
    Layer,
    LayerStats,
    LossFacts,
    Measurement,
    OutputFacts,
    Provenance,
    TargetFacts,
    WeightStats,
    is_matrix,
)
from analysis.graph.anatomy import find_anatomy
from analysis.graph.biases import cancelling_operator
from analysis.graph.families import NORMALIZATIONS
from analysis.graph.fans import fans, gain
from analysis.graph.layers import own_uses
from analysis.graph.training_state import has_fresh_statistics, with_running_statistics
from analysis.graph.trunk import block_ends
from analysis.graph.units import PresentWeights, duplicate_fraction, units_of
from analysis.measure.blocked import leading_to_loss, sloping_to_loss, told_what_blocks, told_what_is_skipped
from analysis.measure.fed import told_what_is_fed_nothing
from analysis.measure.flow import STEPWISE, layer_leverage, measure_flow
from analysis.measure.non_finite import locate_non_finite
from analysis.measure.statistics import Summary, combine, moments
from analysis.measure.taps import Backward, Forward
from analysis.model.nodes import label
from analysis.subject.equal_inputs import floor_of_equal_inputs
from analysis.subject.outputs import describe_outputs, describe_targets
from analysis.subject.subject import FEWEST_PER_CHANNEL, Subject

FEWEST_OBSERVATIONS: Final = 32
"""Of a unit, before anything is said about it: with n of them an activity under 3 / n cannot be told from none."""
FEW_SAMPLES: Final = 8
"""Fewer than this lower confidence."""
RUNNING: Final = (
    f"BatchNormalization works with its running statistics: some layer sees fewer than {FEWEST_PER_CHANNEL} values a "
    "channel in this batch"
)
IDLE: Final = (
    "those statistics are still 0 and 1, so nothing is normalised, as in no training: send more samples, or export "
    "with an open batch axis"
)
ATTENTION: Final = frozenset({"Attention", "MultiHeadAttention", "GroupQueryAttention", "LinearAttention"})


@dataclass(frozen=True)
class PassReading:
    """What the passes left behind, about to become numbers."""

    subject: Subject
    forward: Forward
    by_loss: Backward
    by_cotangent: Sequence[Backward]
    learning_rate: float | None

    def measurement(self, loss: float, training: bool) -> Measurement:  # noqa: FBT001 - a fact, not a switch
        """Everything the passes showed. `loss`: value of pass A; `training`: BatchNormalization used the batch."""
        subject = self.subject
        weights = {name: self.weight_summary(name) for name in subject.converted.initializers}
        leading, sloping = leading_to_loss(subject), sloping_to_loss(subject)
        ends = block_ends(subject.model, subject.trunk, subject.layers)
        stats = self.with_gains(
            self.layer(layer, weights, leading, sloping, ends.get(layer.id)) for layer in subject.layers
        )
        anatomy, outputs = self.anatomy(), self.outputs()
        stats = told_what_is_skipped(subject, stats, self.forward.branches)
        stats = told_what_blocks(subject, told_what_is_fed_nothing(subject, stats), anatomy)
        total = combine(self.by_loss.gradients.values())
        broken = not math.isfinite(loss) or total.non_finite or self._leaves_the_numbers()
        operators = {node.op_type for node in subject.model.nodes}
        idle = not training and has_fresh_statistics(subject.model)
        reasons = (*_cap_reasons(subject), *([IDLE] if idle else []))
        return Measurement(
            layers=subject.layers,
            stats=stats,
            batch=_batch_facts(subject, training=training),
            loss=_loss_facts(subject, loss),
            flow=measure_flow(subject, self.forward, self.by_loss, self.by_cotangent, stats, weights),
            total_gradient_norm=total.norm,
            total_weight_norm=combine(weights.values()).norm,
            gradient_dot_weight=sum(self.by_loss.products.values()),
            batch_statistics=training,
            idle_normalization=idle,
            recurrent=bool(operators & STEPWISE) or subject.survey.unrolled is not None,
            unrolled=subject.survey.unrolled is not None and not operators & STEPWISE,
            normalized=bool(operators & NORMALIZATIONS) or writes_normalization(subject.model),
            convolutional=bool(operators & {"Conv", "ConvTranspose"}),
            attentive=bool(subject.attention or operators & ATTENTION),
            anatomy=anatomy,
            outputs=outputs,
            targets=_targets(subject, self.classes()) if outputs else None,
            attention=self.attention(),
            trained=subject.trained,
            learning_rate=self.learning_rate,
            non_finite=locate_non_finite(subject, training=training) if broken else None,
            cotangents=len(self.by_cotangent),
            values_per_channel=subject.values_per_channel() if self.by_cotangent and subject.batch.size == 1 else None,
            confidence_cap=Confidence.MEDIUM if reasons else Confidence.HIGH,
            cap_reasons=reasons,
        )

    def _leaves_the_numbers(self) -> bool:
        """Whether a value does; a table of masks may hold -inf, which a softmax makes zeros of."""
        tables = {layer.output for layer in self.subject.layers if layer.op == "Gather"}
        return any(seen.non_finite for name, seen in self.forward.outputs.items() if name not in tables)

    @cached_property
    def weights(self) -> PresentWeights:
        """All initialisers as they are now."""
        return self.subject.weights()

    def weight_summary(self, name: str) -> Summary:
        """Size, mean and norm of a weight; of an embedding those of the rows that the batch reads."""
        parameter, rows = self.subject.converted.initializers[name], self.by_loss.rows.get(name)
        return moments(parameter if rows is None or not bool(rows.any()) else parameter.detach()[rows])

    def anatomy(self) -> Anatomy:
        """What the graph shows with its present weights; looked at where the rules are to explain it."""
        if not self.by_cotangent:
            return Anatomy()
        subject = self.subject
        objective = subject.objective
        return find_anatomy(
            self.weights, subject.model, subject.sources, subject.layers, objective.head, subject.attention,
            objective.unit,
        )  # fmt: skip

    def outputs(self) -> OutputFacts | None:
        """What the loss reads, where the rules are to judge it."""
        if not self.by_cotangent or not self.forward.head:
            return None
        return describe_outputs(self.subject, self.forward.head[0].detach().cpu().double().numpy())

    def classes(self) -> int | None:
        """How many the outputs tell apart."""
        axis = self.subject.objective.class_axis
        shape = self.forward.head[0].shape if self.forward.head else ()
        return shape[axis] if axis < len(shape) else None

    def attention(self) -> tuple[AttentionStats, ...]:
        """In topological order."""
        found = ((label(site.node), self.forward.attention.get(label(site.node))) for site in self.subject.attention)
        return tuple(
            AttentionStats(node=node, entropy_share=seen[0], score_std=seen[1], keys=seen[2])
            for node, seen in found
            if seen is not None
        )

    def with_gains(self, stats: Iterable[LayerStats]) -> tuple[LayerStats, ...]:
        """Each layer of the trunk compared with the one before it."""
        compared: list[LayerStats] = []
        before: Layer | None = None
        for layer, each in zip(self.subject.layers, stats, strict=True):
            if layer.on_trunk:
                compared.append(each if before is None else self._with_gain(before, layer, each))
                before = layer
            else:
                compared.append(each)
        return tuple(compared)

    def _with_gain(self, before: Layer, layer: Layer, stats: LayerStats) -> LayerStats:
        outputs, gradients = self.forward.outputs, self.by_loss.activations
        forward = _ratio(outputs.get(layer.output), outputs.get(before.output))
        return replace(
            stats,
            gain_forward=forward,
            gain_backward=_ratio(gradients.get(before.output), gradients.get(layer.output)),
        )

    def layer(
        self,
        layer: Layer,
        weights: Mapping[str, Summary],
        leading: AbstractSet[str],
        sloping: AbstractSet[str],
        block_end: str | None,
    ) -> LayerStats:
        """One layer; its matrices are taken together, and so are its other parameters.

        `leading`, `sloping`: values that lead to the loss, and those that do by operators with a slope alone.
        """
        matrices = [info.initializer for role, info in layer.parameters.items() if is_matrix(role)]
        vectors = [info.initializer for role, info in layer.parameters.items() if not is_matrix(role)]
        gradient = self._gradient(matrices)
        weight = combine(weights[name] for name in matrices)
        ratio = gradient.norm / weight.norm if gradient is not None and weight.norm else None
        return LayerStats(
            id=layer.id,
            weight_gradient=gradient,
            vector_gradient=_gradient_stats(self.by_loss.gradients.get(name) for name in vectors),
            activation_gradient=self._arriving(layer.output),
            block_gradient=self._arriving(block_end),
            activation=self._activation(layer),
            weight=self._weight(layer, weight, matrices) if matrices else None,
            gradient_dot_weight=sum(self.by_loss.products.get(name, 0.0) for name in matrices) if matrices else None,
            update_ratio=None if ratio is None else ratio * (self.learning_rate or 1.0),
            leverage_log10=layer_leverage(layer, weights, self.by_cotangent, self.subject.batch.size),
            leads_to_loss=layer.output in leading,
            has_slope=layer.output in sloping,
            cancelled_by=cancelling_operator(self.subject.model, layer),
            absent=_absent(
                layer,
                matrices,
                gradient,
                self.forward.observations.get(layer.output),
                self.subject.objective.head.value,
            ),
        )

    def _arriving(self, value: str | None) -> ActivationGradient | None:
        found = None if value is None else self.by_loss.activations.get(value)
        return None if found is None else ActivationGradient(rms=found.rms, norm=found.norm)

    def _gradient(self, matrices: Sequence[str]) -> GradientStats | None:
        found = _gradient_stats(self.by_loss.gradients.get(name) for name in matrices)
        shares = [self.by_loss.underflow[name] for name in matrices if name in self.by_loss.underflow]
        return replace(found, fp16_underflow_fraction=max(shares)) if found is not None and shares else found

    def _weight(self, layer: Layer, weight: Summary, matrices: Sequence[str]) -> WeightStats:
        """Norms, the initialisation gain where the operator has a fan-in, and units that equal each other."""
        subject = self.subject
        uses = [use for use in own_uses(subject.sources, layer) if use.initializer in matrices and is_matrix(use.role)]
        use = uses[0] if uses else None
        shape = None if use is None else subject.model.shape(use.value)
        known = None if use is None or shape is None else fans(use.node, list(use.node.input).index(use.value), shape)
        rows = units_of(self.weights, subject.sources, layer) if self.by_cotangent else None
        touched = next((self.by_loss.rows[name] for name in matrices if name in self.by_loss.rows), None)
        return WeightStats(
            norm=weight.norm,
            rms=weight.rms,
            initialization_gain=None if known is None else math.sqrt(known.fan_in) * weight.std,
            target_gain=None if known is None else gain(layer.activation),
            touched_fraction=None if touched is None else float(touched.float().mean()),
            duplicate_fraction=None if rows is None else duplicate_fraction(rows),
            units=None if rows is None else len(rows),
        )

    def _activation(self, layer: Layer) -> ActivationStats | None:
        forward, output = self.forward, self.forward.outputs.get(layer.output)
        if output is None or not output.count:
            return None
        rank, name = forward.ranks.get(layer.output), layer.pre_activation or ""
        enough = forward.observations[layer.output] >= FEWEST_OBSERVATIONS
        return ActivationStats(
            mean=output.mean,
            std=output.std,
            zero_fraction=output.zeros / output.count,
            non_finite=output.non_finite,
            observations=forward.observations[layer.output],
            dead_fraction=forward.dead.get(name) if enough else None,
            near_dead_fraction=forward.near_dead.get(name) if enough else None,
            saturated_fraction=forward.saturated.get(name) if enough else None,
            collapse_log10=forward.collapse[layer.output],
            effective_rank=None if rank is None else rank[0],
            rank_limit=None if rank is None else rank[1],
        )


def _absent(
    layer: Layer, matrices: Sequence[str], gradient: GradientStats | None, observations: int | None, logits: str
) -> dict[str, str]:
    absent: dict[str, str] = {}
    if not matrices:
        absent["weight_gradient"] = "the layer has no weight matrix"
    elif gradient is None:
        absent["weight_gradient"] = "no gradient reaches the weight"
    if layer.pre_activation is None:
        absent["activation.dead_fraction"] = "no activation function follows"
    elif layer.pre_activation == logits:
        reason = "the loss is read in front of the activation"
        absent["activation.dead_fraction"] = absent["activation.saturated_fraction"] = reason
    elif observations is not None and observations < FEWEST_OBSERVATIONS:
        reason = f"insufficient evidence: {observations} observations of a unit, {FEWEST_OBSERVATIONS} needed"
        absent["activation.dead_fraction"] = absent["activation.saturated_fraction"] = reason
    if "embedding" in layer.parameters:
        absent["activation.collapse_log10"] = "a look-up tells samples apart where their ids differ, whatever it holds"
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


def _ratio(one: Summary | None, other: Summary | None) -> float | None:
    return None if one is None or other is None or not other.rms else one.rms / other.rms


def _batch_facts(subject: Subject, *, training: bool) -> BatchFacts:
    batch = subject.batch
    return BatchFacts(
        sha256=batch.sha256,
        size=batch.size,
        provenance=batch.provenance,
        constant_inputs=batch.constant_inputs,
        along_samples=subject.rows.along,
        notes=batch.notes if training or not with_running_statistics(subject.model) else (*batch.notes, RUNNING),
    )


def _targets(subject: Subject, classes: int | None) -> TargetFacts | None:
    facts = describe_targets(subject.objective, classes)
    return None if facts is None else replace(facts, floor=floor_of_equal_inputs(subject))


def _loss_facts(subject: Subject, value: float) -> LossFacts:
    objective = subject.objective
    return LossFacts(
        name=objective.name.value,
        chosen=objective.chosen,
        value=value,
        target_variance=objective.scale,
        chance=objective.chance,
        targets=objective.provenance,
        target_count=0 if objective.targets is None else objective.targets.size,
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
        reasons.append(f"only {subject.batch.size} sample{'s' * (subject.batch.size > 1)}")
    return tuple(reasons)
