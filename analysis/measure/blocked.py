"""Which layers have an open path to the loss: what no gradient can come through, and what closes it.

A layer of zeros ends every gradient, and so do units that are all dead. What lies behind on every path has no gradient
because of it, which is another story than a weight that nothing connects with the loss. So is what stands in a branch
of an If that this batch does not take: another batch may.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from onnx import GraphProto, NodeProto

from analysis.facts import Anatomy, Layer, LayerStats
from analysis.graph.heads import FLAT
from analysis.graph.layers import own_uses
from analysis.graph.sources import gradient_inputs
from analysis.model.nodes import attributes_of, captured_by, captures, label
from analysis.subject.subject import Subject

ALL_DEAD: Final = 0.99
SIZES: Final = frozenset({"Shape", "Size"})
NOT_TAKEN: Final = "its way to the loss is a branch of an If that this batch does not take"
NOTHING_UNREAD: Final[Mapping[str, AbstractSet[str]]] = {}
Branches = AbstractSet[tuple[str, bool]]
"""(node, whether its then_branch was taken) of every If that ran."""


def leading_to_loss(subject: Subject) -> set[str]:
    """Values that the logits depend on, also through comparisons and indices that have no slope; sizes do not count."""
    found = {subject.objective.head.value}
    for node in reversed(subject.model.nodes):
        if not found.isdisjoint(node.output) and node.op_type not in SIZES:
            found.update(node.input, captures(node))
    return found


def sloping_to_loss(subject: Subject) -> set[str]:
    """Values that the logits depend on through operators with a slope alone."""
    return _upstream(subject, flat=FLAT)


def told_what_is_skipped(subject: Subject, stats: Sequence[LayerStats], branches: Branches) -> tuple[LayerStats, ...]:
    """Layers that a gradient would reach if another branch of an If were taken lead to no loss here, and say why.

        If (score > 0.5) --+-- then: a second network, asked where the score is high
                           +-- else: the score

    Where the score is low the second network is skipped, where it is high the network that made the score.
    """
    if not branches:
        return tuple(stats)
    written = list(_written(subject.model.nodes, branches, ran=True))
    skipped = {name for name, ran in written if not ran} - {name for name, ran in written if ran}
    waiting = _upstream(subject) - _upstream(subject, unread=dict(_unread(subject, branches)))
    return tuple(
        replace(each, leads_to_loss=False, absent={**each.absent, "weight_gradient": NOT_TAKEN})
        if layer.output in waiting or ((values := _values_of(subject, layer)) and values <= skipped)
        else each
        for layer, each in zip(subject.layers, stats, strict=True)
    )


def _unread(subject: Subject, branches: Branches) -> Iterator[tuple[str, set[str]]]:
    """Of every If the values that only a branch reads which did not run."""
    for node in subject.model.nodes:
        read: dict[bool, set[str]] = {True: set(), False: set()}
        for role, body in attributes_of(node).items() if node.op_type == "If" else ():
            read[(label(node), role == "then_branch") in branches] |= captured_by(body)
        yield label(node), read[False] - read[True]


def _written(nodes: Iterable[NodeProto], branches: Branches, *, ran: bool) -> Iterator[tuple[str, bool]]:
    """Every value with whether this batch wrote it, in bodies as well."""
    for node in nodes:
        yield from ((name, ran) for name in node.output if name)
        for role, body in attributes_of(node).items():
            if isinstance(body, GraphProto):
                taken = node.op_type != "If" or (label(node), role == "then_branch") in branches
                yield from _written(body.node, branches, ran=ran and taken)


def _values_of(subject: Subject, layer: Layer) -> set[str]:
    """What the operators write that read the weights of a layer."""
    return {name for use in own_uses(subject.sources, layer) for name in use.node.output if name}


def told_what_blocks(subject: Subject, stats: Sequence[LayerStats], anatomy: Anatomy) -> tuple[LayerStats, ...]:
    """Layers whose every path to the loss, or from the inputs, is closed know by which layer: the nearest one.

    A branch that starts closed has no collapse: with a bias it says the same of every sample, by design.
    """
    zero = {*anatomy.zero_branches, anatomy.zero_head}
    stats = tuple(_without_collapse(each) if each.id in anatomy.zero_branches else each for each in stats)
    closed = {
        value: place
        for place, (layer, each) in enumerate(zip(subject.layers, stats, strict=True))
        if (value := _closed(layer, each, zero)) is not None
    }
    if not closed:
        return stats
    reachable, fed = _upstream(subject, closed.keys()), _downstream(subject, closed.keys())
    places = sorted(closed.values())
    told = []
    for place, (layer, each) in enumerate(zip(subject.layers, stats, strict=True)):
        ahead = next((later for later in places if later >= place), None)
        behind = next((earlier for earlier in reversed(places) if earlier < place), None)
        blocking = ahead if layer.output not in reachable else behind if layer.output not in fed else None
        told.append(each if blocking is None else replace(each, blocked_by=subject.layers[blocking].id))
    return tuple(told)


def _closed(layer: Layer, stats: LayerStats, zero: AbstractSet[str | None]) -> str | None:
    """The value at which a layer of zeros, or of dead units, ends every gradient."""
    if layer.id in zero or (stats.weight is not None and stats.weight.norm == 0):
        return layer.output
    dead = None if stats.activation is None else stats.activation.dead_fraction
    return layer.activated if dead is not None and dead > ALL_DEAD else None


def _upstream(
    subject: Subject,
    closed: AbstractSet[str] = frozenset(),
    unread: Mapping[str, AbstractSet[str]] = NOTHING_UNREAD,
    flat: AbstractSet[str] = frozenset(),
) -> set[str]:
    """Values that lead to the logits differentiably, without passing a closed one.

    `unread`: what a node ignores; `flat`: operators that nothing passes.
    """
    found = {subject.objective.head.value}
    for node in reversed(subject.model.nodes):
        reached = found.intersection(node.output)
        if reached and not reached <= closed and node.op_type not in flat:
            entering = gradient_inputs(subject.model, subject.sources, node)
            found.update(name for name in entering if name not in unread.get(label(node), ()))
    return found


def _downstream(subject: Subject, closed: AbstractSet[str]) -> set[str]:
    """Values that something other than the zeros of a closed layer enters."""
    entering = {spec.name for spec in subject.model.inputs}
    found, passing = set(entering), set(entering)
    for node in subject.model.nodes:
        if not passing.isdisjoint(node.input) or not passing.isdisjoint(captures(node)):
            found.update(node.output)
            passing.update(name for name in node.output if name not in closed)
    return found


def _without_collapse(stats: LayerStats) -> LayerStats:
    if stats.activation is None:
        return stats
    absent = {**stats.absent, "activation.collapse_log10": "a branch that starts at zero"}
    return replace(stats, activation=replace(stats.activation, collapse_log10=None), absent=absent)
