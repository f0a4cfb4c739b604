"""Insert ReLU between layers that together are one linear map.

Layers with nothing between them that bends compute what a single one could, and no initialisation, rate or
normalisation changes that. A ReLU is put behind each of them but the last; the weights are kept, and He's
initialisation, with which it is combined, draws them anew for it. Costs a node for each layer but one. Changes the
function. Source: Cybenko 1989; Leshno et al. 1993 (what bends is enough); Nair and Hinton 2010.
"""

from collections.abc import Mapping
from typing import Final

from analysis.facts import Effect
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """A ReLU behind every layer of the linear map but the last."""
    linear = set(context.baseline.anatomy.linear_layers)
    layers = [layer for layer in context.layers if layer.id in linear]
    if len(layers) <= 1:
        return NotApplicable("something bends between the layers already")
    editor = Editor(model)
    for layer in layers[:-1]:
        editor.insert_after(layer.output, "Relu")
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words="insert ReLU between the layers",
        cost=f"{len(layers) - 1} nodes inserted",
    )


TREATMENTS: Final[Mapping[str, Apply]] = {"inserted_relu": apply}
