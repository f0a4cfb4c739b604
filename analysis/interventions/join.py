"""Two recipes, one after the other."""

from dataclasses import replace
from typing import Final

from analysis.facts import Effect
from analysis.interventions.contract import Recipe
from analysis.interventions.draws import in_turn

EFFECTS: Final = (Effect.PRESERVES_OUTPUT, Effect.TRAINING_ONLY, Effect.CHANGES_FUNCTION)
"""From the mildest."""
COUNTED: Final = "nodes inserted"
"""How a cost ends that is counted."""


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
    if second.effect is Effect.TRAINING_ONLY:
        return first.cost
    return _added_up(f"{first.cost}, {second.cost}")


def _added_up(cost: str) -> str:
    """The same things of both counted together: `2 nodes inserted, 2 nodes inserted` are 4."""
    counted: dict[str, int] = {}
    """What is told -> how often, in the order of what was told first; 0: it is not counted."""
    for part in cost.split(", "):
        number, _, what = part.partition(" ")
        counts = number.isdigit() and what.endswith(COUNTED)
        name = what if counts else part
        counted[name] = counted.get(name, 0) + (int(number) if counts else 0)
    return ", ".join(f"{number} {name}" if number else name for name, number in counted.items())
