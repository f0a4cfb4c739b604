"""Redraw the weights orthogonal and scale each layer until its output has variance 1 on the sample batch (LSUV).

Where He and Xavier compute the right scale from an idealised activation, this measures it, layer by layer from the
inputs on, with whatever stands between the layers: pooling, normalisation, skip paths. Biases zero. Takes one forward
pass. Recurrent weights are orthogonal and not scaled; a weight that is used twice is not either. Destroys what was
learnt. Changes the function. Source: Mishkin and Matas 2016 (All you need is a good init).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from analysis.graph.families import LINEAR
from analysis.interventions.contract import Context, NotApplicable, Recipe, UnitVariance
from analysis.interventions.kit.redraw import draw_orthogonal, redraw
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Orthogonal draws, then a scale for each linear layer."""
    recipe = redraw(model, context, draw_orthogonal, "orthogonal")
    if isinstance(recipe, NotApplicable):
        return recipe
    scaled = tuple(
        UnitVariance(layer.parameters["weight"].initializer, layer.output)
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


TREATMENTS: Final[Mapping[str, Apply]] = {"lsuv": apply}
