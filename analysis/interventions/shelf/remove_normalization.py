"""Take BatchNormalization out.

Each BatchNormalization multiplies the gradient by about 1.21 on its way back, whatever the weights: in a plain
network of fifty layers it explodes by four decades. Where there is no skip path to go around, fewer normalisations
are better, and none with a fitting initialisation is best. Every BatchNormalization is replaced by nothing; its scale
and shift go with it. Changes the function. Source: Yang et al. 2019; Zhang, Dauphin and Ma 2019.
"""

from collections.abc import Mapping
from typing import Final

from analysis.facts import Effect
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Without a single BatchNormalization."""
    outputs = {spec.name for spec in model.outputs}
    nodes = [node for node in model.nodes if node.op_type == "BatchNormalization" and outputs.isdisjoint(node.output)]
    if not nodes:
        return NotApplicable("there is no BatchNormalization inside the network")
    editor = Editor(model)
    for node in nodes:
        editor.bypass(node)
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"take out the {len(nodes)} BatchNormalization layers",
        cost=f"{len(nodes)} nodes removed",
    )


TREATMENTS: Final[Mapping[str, Apply]] = {"no_batch_norm": apply}
