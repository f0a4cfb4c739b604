"""Turn plain recurrent cells into ReLU cells that start as the identity (IRNN).

h = ReLU(x W + h): at the start the state is a sum over time, and the gradient comes back through any number of steps as
it left. Applies to RNN operators with tanh or ReLU; gated cells have their own way to keep a state. Input weights as
Xavier draws them, biases zero. Costs nothing; may explode on long sequences in training, so clip. Destroys what was
learnt. Changes the function. Source: Le, Jaitly and Hinton 2015 (A Simple Way to Initialize Recurrent Networks of
Rectified Linear Units).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from analysis.interventions._base import Context, Factor, NotApplicable, Recipe, Treatment
from analysis.interventions._draws import Draw, Identity, Layout, Normal
from analysis.interventions._redraw import WeightSite, redraw, xavier
from analysis.model import CheckedModel
from analysis.surgery import Editor, attributes_of

CELLS: Final = frozenset({"tanh", "relu"})


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """ReLU in every plain cell, identities between its steps."""
    nodes = [node for node in model.nodes if node.op_type == "RNN"]
    activations = {name.lower() for node in nodes for name in _activations(attributes_of(node))}
    if not nodes or not activations <= CELLS:
        return NotApplicable("there is no plain RNN with tanh or ReLU")
    editor = Editor(model)
    for node in nodes:
        both = attributes_of(node).get("direction", b"forward") == b"bidirectional"
        editor.set_attribute(node, "activations", ["Relu"] * (2 if both else 1))
    edited = editor.finish() if activations != {"relu"} else model
    recipe = redraw(edited, context, _draw, "with Xavier, between time steps with the identity,")
    if isinstance(recipe, NotApplicable):
        return recipe
    return replace(recipe, words=f"use ReLU in the recurrent cells, {recipe.words}")


def _activations(attributes: Mapping[str, Any]) -> list[str]:
    given = attributes.get("activations") or [b"Tanh"]
    return [each.decode() if isinstance(each, bytes) else str(each) for each in given]


def _draw(site: WeightSite) -> Draw:
    return Identity() if site.layout is Layout.GATES and site.recurrent else Normal(xavier(site))


TREATMENTS: Final = (Treatment("identity_rnn", Factor.INITIALIZATION, __doc__, apply),)
