"""Clip the gradient to a global norm before each step.

All gradients are scaled by max_norm / norm where their joint norm is larger: the direction stays, the step is bounded.
The graph is untouched, so flow, leverage and every statistic of the network stay what they are: clipping contains an
explosion during training, permits a larger learning rate on a healthy network, and repairs neither a bad start nor a
vanishing gradient. Costs nothing. Training only. Source: Pascanu, Mikolov and Bengio 2013.
"""

from typing import Final

from analysis.facts import Clip, Effect, GradientStep
from analysis.interventions._base import Context, Factor, NotApplicable, Recipe, Treatment
from analysis.model import CheckedModel


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """A gradient step with a clip at the norm the options ask for."""
    return Recipe(
        model=model,
        effect=Effect.TRAINING_ONLY,
        words=f"clip gradients to a global norm of {context.clip_norm:g}",
        cost="no change to the model",
        gradient_step=GradientStep(clip=Clip(kind="global_norm", max_norm=context.clip_norm)),
    )


TREATMENT: Final = Treatment("clip", Factor.CLIP, __doc__, apply)
