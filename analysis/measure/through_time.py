"""The gradient at every step of a recurrence: how far the loss reaches back, and whether it grows on the way.

dL/dh_t is the total derivative: through the output of step t and through all later states. Torch's fused loops hide the
states, so this pass runs them unrolled; a cell that an exporter wrote out is met at the values between its steps.
Losing gradient over time is no illness by itself; what counts is the gradient where the information is. The
informative step is found in the batch: where some feature of the input separates the classes better than it does for
any of 40 permutations of the labels. Where several steps tell about as much (a majority, a sum), reaching one of them
is enough to begin to learn.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np
import torch
from onnx import NodeProto

from analysis.convert.program import Watcher
from analysis.facts import Provenance, TimeProfile
from analysis.graph.slots import RECURRENT
from analysis.graph.unrolled import Unrolled
from analysis.measure.cotangent import paired
from analysis.measure.readable import readable_share
from analysis.measure.statistics import log10, summarize
from analysis.model.nodes import label
from analysis.model.weights import Array
from analysis.options import LossName
from analysis.subject.subject import Subject

LOOPS: Final = frozenset({"Loop", "Scan"})
PEAK_SHARE: Final = 0.01
"""Of the peak: what the loss still reaches."""
PERMUTATIONS: Final = 40
FEWEST_SAMPLES: Final = 16
MOST_SAMPLES: Final = 2048
"""Samples in which the informative steps are looked for, drawn at random: they show what tells classes apart, and
a linear reader costs the cube of their number."""
NO_LABELS: Final = "needs uploaded targets, a class or a number a sample"
FEW: Final = f"needs at least {FEWEST_SAMPLES} samples"
NOT_INFORMATIVE: Final = "no step of the input tells the classes apart better than it does for permuted labels"
UNKNOWN_INPUT: Final = "what enters the loop step by step is not known"
ALONG_SAMPLES: Final = "its steps are not those of samples: there is no label for each of its rows"


@dataclass
class _Chain:
    """The states of one direction of one node, by step in the order of time."""

    states: dict[int, Sequence[torch.Tensor]] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    """Steps in the order in which the chain runs through them."""


def measure_through_time(subject: Subject) -> tuple[TimeProfile, ...]:
    """A profile for each chain, nodes in topological order; none where nothing recurs."""
    chains, entering, loss = _run(subject)
    steps = [state for chain in chains.values() for states in chain.states.values() for state in states]
    if not steps or not loss.requires_grad:
        return ()
    gradients = torch.autograd.grad(loss, steps, allow_unused=True, retain_graph=True)
    norms = {id(state): 0.0 if g is None else summarize(g).norm for state, g in zip(steps, gradients, strict=True)}
    places = {label(node): place for place, node in enumerate(subject.model.nodes)}
    profiles: list[TimeProfile] = []
    for node in sorted({node for node, _ in chains}, key=lambda name: places.get(name, len(places))):
        own = {chain: found for (name, chain), found in chains.items() if name == node}
        count = 1 + max(max(found.states) for found in own.values())
        curves = {chain: _curve(found, norms, count) for chain, found in own.items()}
        memory = _memory(subject, entering.get(node), np.max(list(curves.values()), axis=0))
        profiles += [_profile(node, own[chain], curve, memory) for chain, curve in curves.items()]
    return tuple(profiles)


def _run(subject: Subject) -> tuple[dict[tuple[str, int], _Chain], dict[str, Array], torch.Tensor]:
    """One forward pass: the chains, what enters each recurrent node, and the loss."""
    chains: dict[tuple[str, int], _Chain] = {}
    entering: dict[str, Array] = {}
    logits: list[torch.Tensor] = []

    def on_states(node: str, chain: int, step: int, states: Sequence[torch.Tensor]) -> None:
        found = [state for state in states if state.requires_grad and state.is_floating_point() and state.ndim > 1]
        if found:
            kept = chains.setdefault((node, chain), _Chain())
            kept.states[step] = found
            kept.order.append(step)

    watchers: dict[str, list[Watcher]] = {subject.objective.head.value: [logits.append]}
    for node, value in _inputs(subject):
        watchers.setdefault(value, []).append(partial(_keep, entering, node))
    if subject.survey.unrolled is not None:
        for value, watch in _watch_unrolled(subject.survey.unrolled, on_states, entering):
            watchers.setdefault(value, []).append(watch)
    inputs, targets = subject.tensors()
    with subject.converted.watching_states(on_states):
        subject.converted.observe(inputs, watchers)
    return chains, entering, subject.objective.loss(logits[0], targets)


def _watch_unrolled(
    cell: Unrolled, on_states: Callable[[str, int, int, Sequence[torch.Tensor]], None], entering: dict[str, Array]
) -> Iterator[tuple[str, Watcher]]:
    """States of a cell that was written out, and what enters it, step by step."""

    def keep_state(step: int, value: torch.Tensor) -> None:
        on_states(cell.node, 0, step, [value])

    inputs: dict[int, Array] = {}

    def keep_input(step: int, value: torch.Tensor) -> None:
        if value.ndim == 2:
            inputs[step] = value.detach().cpu().double().numpy()
        if len(inputs) == len(cell.entering) and len({each.shape for each in inputs.values()}) == 1:
            entering[cell.node] = np.stack([inputs[place] for place in sorted(inputs)])

    yield from ((name, partial(keep_state, step)) for step, name in enumerate(cell.states))
    yield from ((name, partial(keep_input, step)) for step, name in enumerate(cell.entering))


def _inputs(subject: Subject) -> Iterator[tuple[NodeProto, str]]:
    """What enters recurrent nodes step by step; for a loop that is the start of the trunk."""
    for node in subject.model.nodes:
        if node.op_type in RECURRENT:
            yield node, node.input[0]
        elif node.op_type in LOOPS and subject.trunk.entry is not None:
            yield node, subject.trunk.entry


def _keep(entering: dict[str, Array], node: NodeProto, value: torch.Tensor) -> None:
    """Sequences [T, N, I]; RNN, GRU and LSTM say where the samples are, elsewhere they come first."""
    if value.ndim != 3:
        return
    samples_first = node.op_type in LOOPS or any(each.name == "layout" and each.i == 1 for each in node.attribute)
    sequences = value.detach().transpose(0, 1) if samples_first else value.detach()
    entering[label(node)] = sequences.cpu().double().numpy()


def _curve(chain: _Chain, norms: dict[int, float], steps: int) -> Array:
    """|dL/dh_t| in the order of time; of several states the larger."""
    states = (chain.states.get(step, ()) for step in range(steps))
    return np.array([max((norms[id(state)] for state in each), default=0.0) for each in states])


def _profile(node: str, chain: _Chain, curve: Array, memory: "_Memory") -> TimeProfile:
    backwards = len(chain.order) > 1 and chain.order[0] > chain.order[-1]
    running = curve[::-1] if backwards else curve
    reached = np.flatnonzero(running > 0)
    absent = dict(memory.absent)
    growth = horizon = None
    if len(reached) and np.isfinite(running).all():
        last = int(reached[-1])
        growth = log10(running[0]) - log10(running[last])
        if growth > 0:
            growth = min(growth, _transport(chain, chain.order[0], chain.order[last]))
        horizon = last - int(np.flatnonzero(running >= PEAK_SHARE * running.max())[0])
    else:
        absent["growth_decades"] = "no finite gradient reaches the states"
    return TimeProfile(
        node=node,
        direction="reverse" if backwards else "forward",
        gradient_log10=tuple(map(log10, curve)),
        growth_decades=growth,
        state_growth_decades=_state_growth(chain),
        horizon_steps=horizon,
        memory_decades=memory.decades,
        informative_step=memory.step,
        informative_share=memory.share,
        readable_share=memory.readable,
        absent=absent,
    )


def _state_growth(chain: _Chain) -> float | None:
    """Decades from the first state to the last one; None where either is zero or not finite."""
    first, last = (max(summarize(state).rms for state in chain.states[chain.order[place]]) for place in (0, -1))
    growth = log10(last) - log10(first) if first > 0 and last > 0 else math.nan
    return growth if math.isfinite(growth) else None


def _transport(chain: _Chain, first: int, last: int) -> float:
    """Decades that a random cotangent at a late state gains on its way to the first one.

    A loss that is read at an early step as well has its largest gradient there; that is no growth.
    """
    if first == last:
        return 0.0
    end = chain.states[last][0]
    draw = torch.randn(end.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(end)
    gradients = torch.autograd.grad(paired(end, draw), chain.states[first], retain_graph=True, allow_unused=True)
    arriving = max((summarize(gradient).norm for gradient in gradients if gradient is not None), default=0.0)
    return log10(arriving) - log10(summarize(draw).norm)


# ------------------------------------------------------------------ where the information is


@dataclass(frozen=True)
class _Memory:
    decades: float | None = None
    step: int | None = None
    share: float | None = None
    readable: float | None = None
    absent: dict[str, str] = field(default_factory=dict)


def _memory(subject: Subject, entering: Array | None, curve: Array) -> _Memory:
    """The gradient at an informative step, of several at the one that is reached best, against its peak over time."""
    labels = _labels(subject)
    reason = NO_LABELS if labels is None else FEW if len(labels) < FEWEST_SAMPLES else ""
    reason = reason or (UNKNOWN_INPUT if entering is None or len(entering) != len(curve) else "")
    if reason:
        return _Memory(absent={"memory_decades": reason})
    assert labels is not None
    assert entering is not None
    if entering.shape[1] != len(labels):
        return _Memory(absent={"memory_decades": ALONG_SAMPLES})
    if len(labels) > MOST_SAMPLES:
        rows = np.random.default_rng(3).permutation(len(labels))[:MOST_SAMPLES]
        entering, labels = entering[:, rows], labels[rows]
    shares = informative_steps(entering, labels)
    if not shares:
        return _Memory(absent={"memory_decades": NOT_INFORMATIVE})
    step = max(shares, key=lambda step: curve[step])
    told = entering[list(shares)].transpose(1, 0, 2).reshape(len(labels), -1)
    return _Memory(log10(curve[step]) - log10(curve.max()), step, shares[step], readable_share(told, labels))


def informative_steps(x: Array, labels: Array) -> dict[int, float]:
    """Steps of x [T, N, I] whose best feature separates the labels [N], with its between-class share.

    The best one, and those that come half as far over the usual step; none where 40 permutations of the labels do as
    well at some step.
    """
    random = np.random.default_rng(3)
    shares = _between_class_share(x, labels)
    by_chance = max(float(_between_class_share(x, random.permutation(labels)).max()) for _ in range(PERMUTATIONS))
    if shares.max() <= by_chance:
        return {}
    usual = min(float(np.median(shares)), by_chance)
    return {int(step): float(shares[step]) for step in np.flatnonzero(shares - usual >= (shares.max() - usual) / 2)}


def _between_class_share(x: Array, labels: Array) -> Array:
    """Best feature's between-class share of variance at each step [T]."""
    flat = x.transpose(1, 0, 2).reshape(x.shape[1], -1).astype(np.float64)
    flat = flat - flat.mean(0)
    total = np.square(flat).sum(0)
    membership = (labels[:, None] == np.unique(labels)[None]).astype(np.float64)
    sums = membership.T @ flat
    between = (np.square(sums) / membership.sum(0)[:, None]).sum(0)
    share = np.divide(between, total, out=np.zeros_like(between), where=total > 0)
    best: Array = share.reshape(x.shape[0], x.shape[2]).max(1)
    return best


def _labels(subject: Subject) -> Array | None:
    """One for each sample: its class, or of numbers the quarter they lie in."""
    objective = subject.objective
    targets = objective.targets
    if targets is None or objective.provenance is not Provenance.UPLOADED:
        return None
    flat = targets.reshape(len(targets), -1) if targets.ndim else targets
    if flat.ndim != 2 or flat.shape[1] != 1 or objective.name is LossName.GRAPH:
        return None
    return _quarters(flat[:, 0]) if objective.name is LossName.MSE else flat[:, 0]


def _quarters(numbers: Array) -> Array | None:
    """Which quarter of the batch a number lies in; None where there are not four."""
    limits = np.quantile(numbers, (0.25, 0.5, 0.75))
    return np.searchsorted(limits, numbers) if len(np.unique(limits)) == len(limits) else None
