"""Redraw the weights orthogonal and scale each layer until its output has variance 1 on the sample batch (LSUV).

Where He and Xavier compute the right scale from an idealised activation, this measures it, layer by layer from the
inputs on, with whatever stands between the layers: pooling, normalisation, skip paths, and the factor that a layer of
sines multiplies by. Biases zero. Takes one forward pass. Recurrent weights are orthogonal and not scaled; a weight that
is used twice is not either. Destroys what was learnt. Changes the function. Source: Mishkin and Matas 2016 (All you
need is a good init).
"""

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Final

from analysis.graph.families import ACTIVATIONS, LINEAR
from analysis.interventions.contract import Context, NotApplicable, Recipe, UnitVariance
from analysis.interventions.kit.redraw import draw_orthogonal, redraw
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel

BENT: Final = ACTIVATIONS | {"Sin", "Cos", "Exp", "Softmax", "LogSoftmax"}
"""What is as sensitive to the scale of its input as an activation."""


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Orthogonal draws, then a scale for each linear layer."""
    recipe = redraw(model, context, draw_orthogonal, "orthogonal")
    if isinstance(recipe, NotApplicable):
        return recipe
    trained = {each.initializer for layer in context.layers for each in layer.parameters.values()}
    scaled = tuple(
        UnitVariance(layer.parameters["weight"].initializer, _multiplied(model, layer.output, trained))
        for layer in context.layers
        if layer.op in LINEAR
        and "weight" in layer.parameters
        and len(context.sources.by_initializer[layer.parameters["weight"].initializer]) == 1
    )
    if not scaled:
        return NotApplicable("no linear layer has a weight of its own")
    words = (
        "initialise the weights orthogonal, scale each layer to unit variance on the sample batch (LSUV), biases zero"
    )
    return replace(recipe, unit_variance=scaled, words=words, cost=f"{recipe.cost}, {len(scaled)} of them scaled")


def _multiplied(model: CheckedModel, value: str, trained: Container[str]) -> str:
    """What a layer writes, or what fixed numbers make of it where that enters an activation, or is the answer.

    layer -> Mul (30) -> Sin              the product: a network of sines
    layer -> Mul (.2) -> Add              the output: the end of a branch, small on purpose
    """
    reached = value
    while (product := _product(model, reached, trained)) is not None:
        reached = product
    return reached if {use.node.op_type for use in model.consumers.get(reached, ())} <= BENT else value


def _product(model: CheckedModel, value: str, trained: Container[str]) -> str | None:
    """The value times a fixed number, if nobody reads the value itself."""
    uses = model.consumers.get(value, ())
    node = uses[0].node if len(uses) == 1 else None
    if node is None or node.op_type not in {"Mul", "Div"} or (node.op_type == "Div" and node.input[0] != value):
        return None
    factor = next(name for name in (*node.input[1:], node.input[0]) if name != value)
    fixed = factor in model.weights and model.weights[factor].size == 1 and factor not in trained
    return node.output[0] if fixed else None


TREATMENTS: Final[Mapping[str, Apply]] = {"lsuv": apply}
