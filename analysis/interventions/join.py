"""Two recipes, one after the other."""

from dataclasses import replace
from typing import Final

from analysis.facts import Effect
from analysis.interventions.contract import Recipe
from analysis.interventions.draws import in_turn

EFFECTS: Final = (Effect.PRESERVES_OUTPUT, Effect.TRAINING_ONLY, Effect.CHANGES_FUNCTION)
"""From the mildest."""


def join(first: Recipe, second: Recipe) -> Recipe:
    """Both, one after the other."""
    step = first.gradient_step
    if second.gradient_step.clip is not None:
        step = replace(step, clip=second.gradient_step.clip)
    if second.gradient_step.weight_decay:
        step = replace(step, weight_decay=second.gradient_step.weight_decay)
    return Recipe(
        model=second.model,
        effect=max(first.effect, second.effect, key=EFFECTS.index),
        words=", ".join(filter(None, (first.words, second.words))),
        cost=_joined_cost(first, second),
        draws={**first.draws, **{name: in_turn(first.draws.get(name), each) for name, each in second.draws.items()}},
        gradient_step=step,
        sites=first.sites + second.sites,
        unit_variance=first.unit_variance + second.unit_variance,
    )


def _joined_cost(first: Recipe, second: Recipe) -> str:
    """What both change; a gradient step changes nothing that the first has not."""
    if not first.words:
        return second.cost
    return first.cost if second.effect is Effect.TRAINING_ONLY else f"{first.cost}, {second.cost}"
