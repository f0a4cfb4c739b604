"""Recurrent cells that an exporter wrote out step by step: one weight, read again and again along a chain.

    x_0 -- Gemm (W) -+              x_1 -- Gemm (W) -+
    h_0 -- Gemm (U) -+- Tanh - h_1 -- Gemm (U) ------+- Tanh - h_2 ...

U is read at every step, by a product whose input depends on the step before: what enters those products are the states.
W is read as often, by products that no other step enters: what enters them is the input, step by step. A weight that
is shared along the depth of a network (as in ALBERT) is read along a chain, too; it is none, as nothing enters there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from onnx import NodeProto

from analysis.graph.families import LINEAR
from analysis.graph.sources import Sources, Use
from analysis.model import CheckedModel
from analysis.model.nodes import captures, label

FEWEST_STEPS: Final = 4


@dataclass(frozen=True, slots=True)
class Unrolled:
    """A cell over time."""

    node: str
    """The product of the first step that reads a state."""
    states: tuple[str, ...]
    """What the products of the second step and of all later ones read of the step before."""
    entering: tuple[str, ...]
    """The input of the steps that wrote those states."""


def find_unrolled(model: CheckedModel, sources: Sources) -> Unrolled | None:
    """The first cell that was written out; None where there is none."""
    reads = [_steps_of(uses) for uses in _by_weight(sources.uses) if len(uses) >= FEWEST_STEPS]
    chained = [steps for steps in reads if _is_chain(model, steps)]
    if not chained:
        return None
    states = chained[0]
    for steps in reads:
        if len(steps) == len(states) and not _depends(model, steps[-1][1], {steps[0][0].output[0]}):
            entering = tuple(value for _, value in steps[:-1])
            return Unrolled(label(states[0][0]), tuple(value for _, value in states[1:]), entering)
    return None


_Step = tuple[NodeProto, str]
"""A product, and what enters it beside the weight."""


def _by_weight(uses: Sequence[Use]) -> list[list[Use]]:
    found: dict[str, list[Use]] = {}
    for use in uses:
        if use.role == "weight" and use.node is use.owner and use.node.op_type in LINEAR:
            found.setdefault(use.initializer, []).append(use)
    return list(found.values())


def _steps_of(uses: Sequence[Use]) -> list[_Step]:
    return [(use.node, next(name for name in use.node.input[:2] if name != use.value)) for use in uses]


def _is_chain(model: CheckedModel, steps: Sequence[_Step]) -> bool:
    """Whether each product depends on the one before it."""
    return all(_depends(model, later[1], {earlier[0].output[0]}) for earlier, later in pairwise(steps))


def _depends(model: CheckedModel, value: str, on: set[str]) -> bool:
    """Whether a value is made of one of these."""
    waiting, seen = [value], set[str]()
    while waiting:
        name = waiting.pop()
        if name in on:
            return True
        node = model.producers.get(name)
        if name not in seen and node is not None:
            seen.add(name)
            waiting += [*filter(None, node.input), *captures(node)]
    return False
