"""Redraw the weights orthogonal, recurrent ones gate by gate; so that states are kept where asked for.

An orthogonal matrix keeps the length of what passes it in both directions, whatever the depth; times the gain of the
activation it does so through the activation, too. In recurrent networks each gate of the recurrent weights is
orthogonal and the input weights are Xavier's, biases zero: the gradient neither vanishes nor explodes over the first
steps. `orthogonal_memory` also sets the bias of an LSTM's forget gate, or of a GRU's update gate, to 1, so that
states are kept until training says otherwise; `orthogonal_long` to the logarithm of the number of steps in the batch,
so that a state lasts about that long. A plain cell has no such gate: there the weights of the data that enters are
drawn 0.03 times as large, so that a tanh stays where its slope is 1, and ReLU, which halves what passes it at every
step, gives way to tanh. Destroys what was learnt. Changes the function.
Source: Saxe, McClelland and Ganguli 2014; Jozefowicz, Zaremba and Sutskever 2015 (forget bias); Tallec and Ollivier
2018 (bias for a span of time).
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from analysis.facts import Layer
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.draws import Draw, GateBias, Scaled
from analysis.interventions.kit.cells import with_cells
from analysis.interventions.kit.redraw import GATES, draw_orthogonal, redraw
from analysis.interventions.kit.sites import values_before
from analysis.interventions.kit.wiring import Wired, wiring
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel

MEMORY_GATE: Final = {"LSTM": 2, "GRU": 0}
"""Place of the forget gate among i o f c, of the update gate among z r h."""
KEEPING: Final = 1.0
QUIET: Final = 0.03
"""Times Xavier's deviation: a plain cell of 32 units then tells after 60 steps of noise what it saw at the first."""


def orthogonal(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Orthogonal where a weight is a matrix, Xavier for what enters recurrent operators."""
    return redraw(model, context, draw_orthogonal, "orthogonal")


def orthogonal_memory(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """The same, and gates that keep the state."""
    recipe, kept = orthogonal(model, context), _kept(model, context, KEEPING)
    if isinstance(recipe, NotApplicable) or not kept:
        return recipe if isinstance(recipe, NotApplicable) else NotApplicable("there is no LSTM or GRU with a bias")
    words = f"{recipe.words}, but the forget gate's (LSTM) or update gate's (GRU) with {KEEPING:g}"
    return replace(recipe, draws={**recipe.draws, **kept}, words=words)


def orthogonal_long(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """The same, for a memory as long as the sequences of the batch; a plain cell of ReLU becomes one of tanh."""
    steps = _steps(context)
    if steps is None:
        return NotApplicable("it is not known how many steps the states run through")
    edited = with_cells(model, "Tanh")
    recipe = orthogonal(edited or model, context)
    if isinstance(recipe, NotApplicable):
        return recipe
    entering = set() if edited is None else _entering_plain_cells(model, context)
    quiet = {name: Scaled(QUIET, recipe.draws[name]) for name in sorted(entering & {*recipe.draws})}
    bias = round(math.log(steps), 2)
    kept = _kept(model, context, bias)
    if not quiet and not kept:
        return NotApplicable("there is no plain RNN with tanh or ReLU, and no LSTM or GRU with a bias")
    words = ["use tanh in the recurrent cells"] * (edited not in {None, model}) + [recipe.words]
    words += [f"but the forget gate's (LSTM) or update gate's (GRU) with {bias:g}, for {steps} steps"] * bool(kept)
    words += [f"{QUIET:g} times as large where data enters plain cells"] * bool(quiet)
    return replace(recipe, draws={**recipe.draws, **quiet, **kept}, words=", ".join(words))


def _kept(model: CheckedModel, context: Context, bias: float) -> dict[str, Draw]:
    """The biases of LSTMs and GRUs, as operators read them, of however many initialisers they are made."""
    biases = {initializer: layer for layer in context.layers for initializer in _gate_biases(layer)}
    kept: dict[str, Draw] = {}
    for initializer, layer in biases.items():
        drawn = GateBias(GATES[layer.op], MEMORY_GATE[layer.op], bias)
        use = next(use for use in context.sources.by_initializer[initializer] if use.role == "bias")
        found = None if use.value == initializer else wiring(model, context.sources, use.value)
        kept[initializer] = drawn if found is None else Wired([(drawn, found)])
    return kept


def _steps(context: Context) -> int | None:
    return max((len(each.gradient_log10) for each in context.baseline.through_time), default=0) or None


def _entering_plain_cells(model: CheckedModel, context: Context) -> set[str]:
    """Input weights of RNN operators that no other one feeds."""
    outputs = {name for node in model.nodes if node.op_type == "RNN" for name in node.output}
    uses = [use for use in context.sources.uses if use.node.op_type == "RNN" and use.role == "weight"]
    entering = {use.initializer: use.node.input[0] for use in uses}
    return {name for name, x in entering.items() if outputs.isdisjoint({x, *values_before(model, [x])})}


def _gate_biases(layer: Layer) -> list[str]:
    if layer.op not in MEMORY_GATE:
        return []
    return [info.initializer for role, info in layer.parameters.items() if role.split(".")[0] == "bias"]


TREATMENTS: Final[Mapping[str, Apply]] = {
    "orthogonal": orthogonal,
    "orthogonal_memory": orthogonal_memory,
    "orthogonal_long": orthogonal_long,
}
