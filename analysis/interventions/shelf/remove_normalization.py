"""Take normalisation out.

BatchNormalization multiplies the gradient by about 1.21 on its way back each time, whatever the weights: in a plain
network of fifty layers it explodes by four decades. Where there is no skip path to go around, fewer normalisations
are better, and none with a fitting initialisation is best. Every BatchNormalization is replaced by nothing; its scale
and shift go with it. Changes the function. Source: Yang et al. 2019; Zhang, Dauphin and Ma 2019.

A normalisation within a sample that has one number to normalise (LayerNormalization of one feature, Instance- or
GroupNormalization of one place a group) subtracts that number from itself: it writes 0, whatever it reads, and lets no
gradient through. Each of these is replaced by nothing. Changes the function. Source: the definition of the operators,
(x - mean) / sqrt(variance + epsilon).
"""

import math
from collections.abc import Mapping
from typing import Final

from onnx import NodeProto

from analysis.facts import Effect
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel
from analysis.model.nodes import attributes_of


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


def remove_idle(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Without those that normalise one number each."""
    shapes = {name: value.shape for name, value in context.inputs.items()} | dict(context.shapes())
    nodes = [node for node in model.nodes if node.input and _numbers(node, shapes.get(node.input[0])) == 1]
    if not nodes:
        return NotApplicable("no normalisation has but one number to normalise")
    editor = Editor(model)
    for node in nodes:
        editor.bypass(node)
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"take out {len(nodes)} of the normalisations, which have one number each and make it 0",
        cost=f"{len(nodes)} nodes removed",
    )


def _numbers(node: NodeProto, shape: tuple[int, ...] | None) -> int | None:
    """How many numbers a normalisation within a sample takes together; None where it is none, or that is unknown.

    LayerNormalization: from its axis on. InstanceNormalization [N, C, places]: all places of a channel.
    GroupNormalization: those of the channels of a group.
    """
    if shape is None:
        return None
    if node.op_type == "LayerNormalization":
        return math.prod(shape[attributes_of(node).get("axis", -1) :])
    if node.op_type == "InstanceNormalization":
        return math.prod(shape[2:])
    if node.op_type == "GroupNormalization":
        groups: int = attributes_of(node)["num_groups"]
        return math.prod(shape[1:]) // groups
    return None


TREATMENTS: Final[Mapping[str, Apply]] = {"no_batch_norm": apply, "no_idle_norm": remove_idle}
