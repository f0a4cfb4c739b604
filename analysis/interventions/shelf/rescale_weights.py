"""Scale the weights by the change of gain that a swapped activation brings.

A network whose tanh became ReLU has weights that were right for tanh: each layer in front of a swapped activation is
multiplied by gain(new) / gain(old), so that signals keep their size and what was learnt keeps its direction. Only
beside an activation swap. Changes the function, destroys nothing. Source: He et al. 2015, section 2.2.
"""

from collections.abc import Mapping
from typing import Final

from analysis.facts import Effect
from analysis.graph.families import LINEAR
from analysis.graph.fans import gain
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.draws import Draw, Scaled
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """A factor for every layer whose activation is another one now."""
    before = {layer.output: layer.activation for layer in context.baseline.layers}
    draws: dict[str, Draw] = {}
    for layer in context.layers:
        old = before.get(layer.output, layer.activation)
        if layer.op in LINEAR and layer.activation != old and "weight" in layer.parameters:
            draws[layer.parameters["weight"].initializer] = Scaled(gain(layer.activation) / gain(old))
    if not draws:
        return NotApplicable("no activation was swapped")
    return Recipe(
        model=model,
        effect=Effect.CHANGES_FUNCTION,
        words="scale the weights by the new activation's gain over the old one's",
        cost=f"{len(draws)} weights scaled",
        draws=draws,
    )


TREATMENTS: Final[Mapping[str, Apply]] = {"rescaled": apply}
