"""Balance the scales of layers without changing the function.

Behind ReLU, LeakyReLU or nothing a layer may be multiplied by any positive number if the next one is divided by it.
Where the sizes of weights differ by powers of ten, no one learning rate fits them: each layer of such a chain is
scaled until the ratios of gradient to weight are equal, which follows from their leverage. Preserves the output
exactly, costs nothing, destroys nothing. Source: Neyshabur, Salakhutdinov and Srebro 2015 (Path-SGD, rescaling
invariance); Stock et al. 2019 (Equi-normalization of Neural Networks).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from analysis.facts import Effect, Layer
from analysis.graph.families import LAYING_OUT, LINEAR, POOLING
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.draws import Draw, Scaled
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel

HOMOGENEOUS: Final = LAYING_OUT | POOLING | {"Relu", "LeakyRelu", "PRelu", "Identity", "Dropout", "Flatten"}
"""f(c x) = c f(x) for c > 0."""
REACH: Final = 8
WORTH: Final = 0.5
"""Decades between the largest and the smallest change from which balancing is worth it."""


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Factors along each chain of layers, their product 1."""
    decades: dict[str, float] = {}
    for chain in _chains(model, context):
        decades.update(_balance(context, chain))
    if not decades or max(decades.values()) - min(decades.values()) < WORTH:
        return NotApplicable("the layers are balanced, or nothing between them keeps proportions")
    draws: dict[str, Draw] = {}
    for chain in _chains(model, context):
        reached = 0.0
        for layer in chain:
            reached += decades.get(layer.id, 0.0)
            draws[layer.parameters["weight"].initializer] = Scaled(10 ** decades.get(layer.id, 0.0))
            if "bias" in layer.parameters:
                draws[layer.parameters["bias"].initializer] = Scaled(10**reached)
    return Recipe(
        model=model,
        effect=Effect.PRESERVES_OUTPUT,
        words="balance the scales of the layers without changing the function",
        cost=f"{len(draws)} tensors scaled",
        draws=draws,
    )


def _chains(model: CheckedModel, context: Context) -> Iterator[list[Layer]]:
    """Layers that follow one another through nothing but homogeneous operators, at least two."""
    by_input = {_entering(model, context, layer): layer for layer in context.layers if _is_free(context, layer)}
    followers = {layer.id: _follower(model, by_input, layer) for layer in by_input.values()}
    behind = {follower.id for follower in followers.values() if follower is not None}
    for layer in by_input.values():
        if layer.id in behind:
            continue
        chain = [layer]
        while (follower := followers[chain[-1].id]) is not None:
            chain.append(follower)
        if len(chain) > 1:
            yield chain


def _is_free(context: Context, layer: Layer) -> bool:
    """A linear layer whose weight and bias are used once."""
    names = {info.initializer for info in layer.parameters.values()}
    uses = sum(len(context.sources.by_initializer[name]) for name in names)
    return layer.op in LINEAR and set(layer.parameters) <= {"weight", "bias"} and uses == len(layer.parameters)


def _entering(model: CheckedModel, context: Context, layer: Layer) -> str:
    use = context.sources.by_initializer[layer.parameters["weight"].initializer][0]
    return next(name for name in use.node.input if name not in context.sources.of)


def _follower(model: CheckedModel, by_input: dict[str, Layer], layer: Layer) -> Layer | None:
    value = layer.output
    for _ in range(REACH):
        if value in by_input and len(model.consumers[value]) == 1:
            return by_input[value]
        uses = model.consumers.get(value, ())
        if len(uses) != 1 or uses[0].node.op_type not in HOMOGENEOUS:
            return None
        value = uses[0].node.output[0]
    return None


def _balance(context: Context, chain: list[Layer]) -> dict[str, float]:
    """Decades by which to scale each weight: |W| should be proportional to the root of its leverage."""
    measured = {each.id: each for each in context.baseline.stats}
    wanted: dict[str, float] = {}
    for layer in chain:
        stats = measured.get(layer.id)
        if stats is None or stats.weight is None or not stats.weight.norm or stats.leverage_log10 is None:
            return {}
        wanted[layer.id] = stats.leverage_log10 / 2 - math.log10(stats.weight.norm)
    mean = sum(wanted.values()) / len(wanted)
    return {name: decades - mean for name, decades in wanted.items()} if math.isfinite(mean) else {}


TREATMENTS: Final[Mapping[str, Apply]] = {"rebalanced": apply}
