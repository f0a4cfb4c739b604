"""Redraw the weights orthogonal, recurrent ones gate by gate; with a forget or update bias of 1 where asked for.

An orthogonal matrix keeps the length of what passes it in both directions, whatever the depth; times the gain of the
activation it does so through the activation, too. In recurrent networks each gate of the recurrent weights is
orthogonal and the input weights are Xavier's, biases zero: the gradient neither vanishes nor explodes over the first
steps. `orthogonal_memory` also sets the bias of an LSTM's forget gate, or of a GRU's update gate, to 1, so that
states are kept until training says otherwise. Destroys what was learnt. Changes the function. Source: Saxe,
McClelland and Ganguli 2014; Jozefowicz, Zaremba and Sutskever 2015 (forget bias).
"""

from dataclasses import replace
from typing import Final

from analysis.facts import Layer
from analysis.interventions._base import Context, Factor, NotApplicable, Recipe, Treatment
from analysis.interventions._draws import GateBias
from analysis.interventions._redraw import GATES, draw_orthogonal, redraw
from analysis.model import CheckedModel

MEMORY_GATE: Final = {"LSTM": 2, "GRU": 0}
"""Place of the forget gate among i o f c, of the update gate among z r h."""
KEEPING: Final = 1.0


def orthogonal(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Orthogonal where a weight is a matrix, Xavier for what enters recurrent operators."""
    return redraw(model, context, draw_orthogonal, "orthogonal")


def orthogonal_memory(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """The same, and gates that keep the state."""
    biases = {initializer: layer for layer in context.layers for initializer in _gate_biases(layer)}
    if not biases:
        return NotApplicable("there is no LSTM or GRU with a bias")
    recipe = orthogonal(model, context)
    if isinstance(recipe, NotApplicable):
        return recipe
    kept = {name: GateBias(GATES[layer.op], MEMORY_GATE[layer.op], KEEPING) for name, layer in biases.items()}
    words = f"{recipe.words}, but the forget gate's (LSTM) or update gate's (GRU) with {KEEPING:g}"
    return replace(recipe, draws={**recipe.draws, **kept}, words=words)


def _gate_biases(layer: Layer) -> list[str]:
    if layer.op not in MEMORY_GATE:
        return []
    return [info.initializer for role, info in layer.parameters.items() if role.split(".")[0] == "bias"]


TREATMENTS: Final = (
    Treatment("orthogonal", Factor.INITIALIZATION, __doc__, orthogonal),
    Treatment("orthogonal_memory", Factor.INITIALIZATION, __doc__, orthogonal_memory),
)
