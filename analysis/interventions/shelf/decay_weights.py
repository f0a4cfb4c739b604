"""Decay the weights a little with each step: L2 regularisation.

lambda times the weight is added to its gradient, after clipping, so that weights shrink where the loss does not hold
them. It limits how far weights and, with them, gradients grow in training (seed document, "Regularization"); at the
start it changes next to nothing, and it never repairs a vanishing gradient. In front of a normalisation it changes
only the effective learning rate. Costs nothing. Training only. Source: Krogh and Hertz 1991; Loshchilov and Hutter
2019.
"""

from collections.abc import Mapping
from typing import Final

from analysis.facts import Effect, GradientStep
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """A gradient step with the decay the options ask for."""
    return Recipe(
        model=model,
        effect=Effect.TRAINING_ONLY,
        words=f"decay the weights by {context.weight_decay:g} (L2)",
        cost="no change to the model",
        gradient_step=GradientStep(weight_decay=context.weight_decay),
    )


TREATMENTS: Final[Mapping[str, Apply]] = {"decay": apply}
