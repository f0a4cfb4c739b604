"""Statistics the moment a tensor appears; then the tensor is dropped.

Activations are read as the forward pass writes them, gradients by hooks as the backward pass makes them, so memory
stays near weights, activations and one gradient.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import torch
from torch.utils.hooks import RemovableHandle

from analysis.convert.program import Watcher
from analysis.convert.registry import lookup
from analysis.facts import Clip, Layer
from analysis.graph.attention import AttentionSite
from analysis.graph.trunk import block_ends
from analysis.measure.clipping import clip_elements
from analysis.measure.statistics import (
    Summary,
    attention_statistics,
    between_tokens_log10,
    collapse_log10,
    dead_fraction,
    dot,
    effective_rank,
    near_dead_fraction,
    saturated_fraction,
    sum_of_squares,
    summarize,
    underflow_fraction,
    with_zeros,
)
from analysis.measure.units import Units
from analysis.model.nodes import attributes_of, label
from analysis.subject.subject import Subject

UNSCORED: Final = frozenset({"qk_matmul_output_mode", "softmax_precision"})
AFTER_MASK: Final = 2
"""Which scores the operator Attention is to hand out (its attribute qk_matmul_output_mode)."""
CHANNELS_SECOND: Final = frozenset(
    {"Conv", "ConvTranspose", "BatchNormalization", "InstanceNormalization", "GroupNormalization",
     "QLinearConv", "ConvInteger"}
)  # fmt: skip


@dataclass(slots=True)
class Backward:
    """What one backward pass leaves behind."""

    brief: bool = False
    """Of a random cotangent only norms of weight gradients are read, and the gradients at the ends of the trunk."""
    gradients: dict[str, Summary] = field(default_factory=dict)
    """By initialiser."""
    products: dict[str, float] = field(default_factory=dict)
    """Sum of gradient times weight, by initialiser."""
    activations: dict[str, Summary] = field(default_factory=dict)
    """Gradient at a value, its size and norm alone, by value."""
    underflow: dict[str, float] = field(default_factory=dict)
    """Share of gradient elements under half precision's floor, by initialiser."""
    rows: dict[str, torch.Tensor] = field(default_factory=dict)
    """Rows of an embedding that got a gradient, by initialiser."""
    entry: list[torch.Tensor] = field(default_factory=list)
    """Gradient at the entry of the trunk, where the taps are detailed: no other pass pays for one at the inputs."""


@dataclass(slots=True)
class Forward:
    """What the forward pass leaves behind, by value."""

    outputs: dict[str, Summary] = field(default_factory=dict)
    collapse: dict[str, float | None] = field(default_factory=dict)
    observations: dict[str, int] = field(default_factory=dict)
    """Samples times positions that each unit sees."""
    dead: dict[str, float | None] = field(default_factory=dict)
    near_dead: dict[str, float | None] = field(default_factory=dict)
    saturated: dict[str, float | None] = field(default_factory=dict)
    ranks: dict[str, tuple[float, int] | None] = field(default_factory=dict)
    tokens: dict[str, float | None] = field(default_factory=dict)
    """Between-token share, by trunk value."""
    attention: dict[str, tuple[float, float, int]] = field(default_factory=dict)
    """Entropy share, score deviation and keys, by node."""
    logits: list[torch.Tensor] = field(default_factory=list)
    """End of the trunk."""
    head: list[torch.Tensor] = field(default_factory=list)
    """What the loss is computed from: the logits, or the loss itself."""
    entry: list[torch.Tensor] = field(default_factory=list)
    branches: set[tuple[str, bool]] = field(default_factory=set)
    """(node, whether its then_branch was taken) of every If that ran."""


class Taps:
    """Listens to one subject; `backward` is where gradients are noted at present."""

    def __init__(
        self, subject: Subject, *, detailed: bool = False, ranked: bool = False, clip: Clip | None = None
    ) -> None:
        """Nothing heard yet. `detailed`: also what takes passes of its own; `ranked`: also effective ranks.

        `clip`: weight gradients are clipped by value or in proportion before anything is noted.
        """
        self.subject = subject
        self.detailed = detailed
        self.ranked = ranked
        self.clip = clip
        self.forward = Forward()
        self.backward = Backward()
        self._watchers: dict[str, list[Watcher]] = {}
        self._units = Units(subject.model)
        self._hooks: list[RemovableHandle] = []
        self._tables = {
            info.initializer for layer in subject.layers for role, info in layer.parameters.items()
            if role.startswith("embedding") and len(info.shape) > 1
        }  # fmt: skip

    def run(self, inputs: Sequence[torch.Tensor], targets: torch.Tensor | None) -> torch.Tensor:
        """One forward pass, its statistics taken; returns the loss."""
        subject = self.subject
        entry, logits = subject.trunk.entry, subject.trunk.end
        self._watch(entry, self.forward.entry.append)
        self._watch(subject.objective.head.value, self.forward.head.append)
        self._watch(logits, self.forward.logits.append)
        outputs = {layer.output: layer for layer in subject.layers}
        ends = block_ends(subject.model, subject.trunk, subject.layers)
        arriving = [entry] if self.detailed or entry in {logits, subject.trunk.start} else []
        for name in dict.fromkeys([*outputs, logits, subject.trunk.start, *arriving, *ends.values()]):
            self._watch(name, self._gradient_tap(name or ""))
        for site in subject.attention:
            watch_scores(site, subject.model.opset(), self._watch, self._attention_tap(site))
        for name in subject.trunk.values if subject.attention else ():
            self._watch(name, self._token_tap(name))
        for layer in outputs.values():
            self._watch(layer.output, self._output_tap(layer))
        for layer in {layer.pre_activation: layer for layer in subject.layers}.values():
            if layer.pre_activation != subject.objective.head.value:  # else the loss is read in front of the activation
                self._watch(layer.pre_activation, self._activation_tap(layer))
        names = subject.converted.input_names
        leaves = [
            value.requires_grad_() if name in arriving and value.is_floating_point() else value
            for name, value in zip(names, inputs, strict=True)
        ]
        with subject.converted.watching_branches(lambda node, first: self.forward.branches.add((node, first))):
            subject.converted.observe(leaves, self._watchers)
        return subject.objective.loss(self.forward.head[0], targets)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Statistics of every weight gradient as it is complete; the gradient is dropped.

        All hooks are removed at the end: with the tensors noted here they form cycles that Python's collector cannot
        see, and the whole analysis would stay in memory.
        """
        for name, parameter in self.subject.converted.initializers.items():
            parameter.grad = None
            self._hooks.append(parameter.register_post_accumulate_grad_hook(self._weight_tap(name)))
        try:
            yield
        finally:
            while self._hooks:
                self._hooks.pop().remove()

    def _watch(self, value: str | None, watcher: Watcher) -> None:
        if value is not None:
            self._watchers.setdefault(value, []).append(self._units.shown(value, watcher))

    def _weight_tap(self, name: str) -> Watcher:
        def on_gradient(parameter: torch.Tensor) -> None:
            gradient, parameter.grad = parameter.grad, None
            if gradient is not None:
                gradient = gradient if self.clip is None else clip_elements(gradient, parameter, self.clip)
                if self.backward.brief:
                    self.backward.gradients[name] = _norm_alone(gradient)
                    return
                weight, elements = parameter, gradient.numel()
                if name in self._tables:  # of which a batch reads few rows: all others are zeros
                    self.backward.rows[name], present = _rows_read(gradient)
                    gradient, weight = gradient[present], weight[present]
                summary, left_out = summarize(gradient), elements - gradient.numel()
                self.backward.gradients[name] = with_zeros(summary, left_out) if left_out else summary
                self.backward.products[name] = dot(gradient, weight)
                if self.detailed:
                    self.backward.underflow[name] = underflow_fraction(gradient, self.backward.gradients[name])

        return on_gradient

    def _gradient_tap(self, name: str) -> Watcher:
        trunk = self.subject.trunk

        def on_gradient(gradient: torch.Tensor) -> None:
            if not self.backward.brief or name in {trunk.start, trunk.end}:
                self.backward.activations[name] = _norm_alone(gradient)
            if self.detailed and name == trunk.entry:
                self.backward.entry.append(gradient.detach())

        def on_value(value: torch.Tensor) -> None:
            if value.requires_grad:
                self._hooks.append(value.register_hook(on_gradient))

        return on_value

    def _output_tap(self, layer: Layer) -> Watcher:
        forward, name, samples = self.forward, layer.output, self.subject.batch.size

        def on_value(value: torch.Tensor) -> None:
            forward.outputs[name] = summarize(value)
            units = value.shape[unit_axis(layer, value)] if value.ndim else 1
            forward.observations[name] = value.numel() // max(units, 1)
            axis = None if "embedding" in layer.parameters else sample_axis(value, samples)
            forward.collapse[name] = None if axis is None else collapse_log10(value, axis, forward.outputs[name])
            if self.ranked and value.ndim:
                forward.ranks[name] = effective_rank(value, unit_axis(layer, value))

        return on_value

    def _activation_tap(self, layer: Layer) -> Watcher:
        forward, name, activation = self.forward, layer.pre_activation or "", layer.activation or ""

        def on_value(value: torch.Tensor) -> None:
            if value.ndim:
                forward.dead[name] = dead_fraction(value, activation, unit_axis(layer, value))
                forward.saturated[name] = saturated_fraction(value, activation)
                if self.detailed:
                    forward.near_dead[name] = near_dead_fraction(value, activation, unit_axis(layer, value))

        return on_value

    def _token_tap(self, name: str) -> Watcher:
        def on_value(value: torch.Tensor) -> None:
            if value.is_floating_point():
                self.forward.tokens[name] = between_tokens_log10(value)

        return on_value

    def _attention_tap(self, site: AttentionSite) -> Watcher:
        def on_scores(scores: torch.Tensor) -> None:
            found = attention_statistics(scores, site.axis, site.masked_below)
            if found is not None:
                self.forward.attention[label(site.node)] = (*found, scores.shape[site.axis])

        return on_scores


def _rows_read(gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which rows of a table have a gradient, and which have anything but zeros: what is no number is no gradient."""
    rows = gradient.detach().flatten(1)
    highest, lowest = rows.amax(1), rows.amin(1)
    return (highest > 0) | (lowest < 0), (highest != 0) | (lowest != 0)


def _norm_alone(gradient: torch.Tensor) -> Summary:
    return Summary(count=gradient.numel(), sum_squares=sum_of_squares(gradient))


def watch_scores(site: AttentionSite, opset: int, watch: Callable[[str, Watcher], None], on_scores: Watcher) -> None:
    """Show the scores of an attention to a watcher; those within an operator are computed once more."""
    if site.scores is not None:
        watch(site.scores, on_scores)
        return
    node, seen = site.node, dict[str, torch.Tensor]()
    for name in filter(None, node.input):
        watch(name, partial(seen.__setitem__, name))
    operator = lookup("", node.op_type, opset)
    given = {name: value for name, value in attributes_of(node).items() if name not in UNSCORED}

    def on_output(_: torch.Tensor) -> None:
        assert operator is not None
        inputs = [seen[name].detach() if name in seen else None for name in node.input]
        with torch.no_grad():
            on_scores(operator.function(*inputs, **given, qk_matmul_output_mode=AFTER_MASK, outputs=4)[3])

    watch(node.output[0], on_output)


def sample_axis(value: torch.Tensor, samples: int) -> int | None:
    """The axis that counts samples: the first of that length."""
    return next((axis for axis, length in enumerate(value.shape) if length == samples), None)


def unit_axis(layer: Layer, value: torch.Tensor) -> int:
    """Channels for convolutions and image normalisations, the last axis else."""
    return 1 if layer.op in CHANNELS_SECOND and value.ndim > 1 else value.ndim - 1
