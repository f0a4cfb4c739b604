"""Clip the gradient before each step: to a global norm, by value, or in proportion to the weights.

`clip`: all gradients are scaled by max_norm / norm where their joint norm is larger: the direction stays, the step is
bounded. `clip_value`: each element is cut at a limit of its own, which turns the direction. `clip_adaptive`: the
gradient of each unit is scaled where it is longer than a hundredth of the unit's weights. The graph is untouched, so
flow, leverage and every statistic of the network stay what they are: clipping contains an explosion during training,
permits a larger learning rate on a healthy network, and repairs neither a bad start nor a vanishing gradient. Costs
nothing. Training only. Source: Pascanu, Mikolov and Bengio 2013; Brock et al. 2021 (adaptive).
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from analysis.facts import Clip, ClipKind, Effect, GradientStep
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel

ADAPTIVE_SHARE: Final = 0.01
KINDS: Final = {
    "clip": (ClipKind.GLOBAL_NORM, "clip gradients to a global norm of {:g}"),
    "clip_value": (ClipKind.VALUE, "clip each element of the gradients at {:g}"),
    "clip_adaptive": (ClipKind.ADAPTIVE, "clip the gradient of each unit at {:g} of the length of its weights"),
}


def apply(token: str, model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """A gradient step with a clip at what the options ask for."""
    kind, words = KINDS[token]
    limits = {ClipKind.ADAPTIVE: ADAPTIVE_SHARE, ClipKind.VALUE: context.clip_value}
    limit = limits.get(kind, context.clip_norm)
    return Recipe(
        model=model,
        effect=Effect.TRAINING_ONLY,
        words=words.format(limit),
        cost="no change to the model",
        gradient_step=GradientStep(clip=Clip(kind=kind, max_norm=limit)),
    )


TREATMENTS: Final[Mapping[str, Apply]] = {token: partial(apply, token) for token in KINDS}
