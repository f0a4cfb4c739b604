"""Which layers have an open path to the loss: what no gradient can come through, and what closes it.

A layer of zeros ends every gradient, and so do units that are all dead. What lies behind on every path has no gradient
because of it, which is another story than a weight that nothing connects with the loss.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from analysis.facts import Anatomy, Layer, LayerStats
from analysis.graph.sources import gradient_inputs
from analysis.model.nodes import captures
from analysis.subject.subject import Subject

ALL_DEAD: Final = 0.99
SIZES: Final = frozenset({"Shape", "Size"})


def leading_to_loss(subject: Subject) -> set[str]:
    """Values that the logits depend on, also through comparisons and indices that have no slope; sizes do not count."""
    found = {subject.objective.head.value}
    for node in reversed(subject.model.nodes):
        if not found.isdisjoint(node.output) and node.op_type not in SIZES:
            found.update(node.input, captures(node))
    return found


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


def _upstream(subject: Subject, closed: AbstractSet[str] = frozenset()) -> set[str]:
    """Values that lead to the logits differentiably, without passing a closed one."""
    found = {subject.objective.head.value}
    for node in reversed(subject.model.nodes):
        reached = found.intersection(node.output)
        if reached and not reached <= closed:
            found.update(gradient_inputs(subject.model, subject.sources, node))
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
