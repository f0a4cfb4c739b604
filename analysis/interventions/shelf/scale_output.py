"""Standardise the targets: let the network write deviations from their mean, and scale them behind it.

Outputs that a Sigmoid, Tanh or ReLU keeps within limits write the targets brought within these: pixels of 0 to 255
divided by 255. What is undone behind the output is constant, and trains with nothing.

A fresh network writes numbers of about one. Where returns of thousands are asked for, the output becomes mean +
standard deviation times what it was, both of the targets of the sample batch and constant: the same as training on
(target - mean) / deviation, with the loss in the old unit. Mind the learning rate: squares in the old unit have a
gradient larger by the deviation squared, so divide the loss by that, or train on standardised targets. Costs two nodes.
Changes the function. Source: LeCun et al. 1998 (Efficient BackProp, section 4.3); van Hasselt et al. 2016 (Pop-Art).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from analysis.facts import Effect, OutputFacts, TargetFacts
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.sites import dtype_of
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel

STANDARD_WITHIN: Final = 0.05
"""Mean and deviation this near to 0 and 1 are standard already."""
OLDEST: Final = 7
WITHIN: Final = "bring the targets within the limits of the outputs"


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Mul and Add in front of the output."""
    targets, name = context.baseline.targets, context.trunk[-1] if context.trunk else ""
    if targets is None or targets.kind != "numbers" or not targets.std:
        return NotApplicable("the targets are no numbers that differ")
    if name not in model.producers or name not in {spec.name for spec in model.outputs}:
        return NotApplicable("the trunk does not end at an output")
    if model.opset() < OLDEST:
        return NotApplicable(f"opset {model.opset()} is older than {OLDEST}")
    words, centre, unit = _scale(context.baseline.outputs, targets)
    if abs(centre) < STANDARD_WITHIN and abs(unit - 1) < STANDARD_WITHIN:
        return NotApplicable("the targets are standardised already")
    editor, dtype = Editor(model), dtype_of(model, name)
    scale = editor.add_constant(f"{name}_scale", np.array(unit, dtype))
    offset = editor.add_constant(f"{name}_offset", np.array(centre, dtype))
    standard = editor.hand_over(name)
    scaled = editor.node("Mul", [standard, scale], name)
    editor.place(standard, [scaled, editor.node("Add", [scaled.output[0], offset], name, name)])
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"{words}: train on (target - {centre:.3g}) / {unit:.3g}, and undo it behind the output",
        cost="2 nodes inserted",
    )


def _scale(outputs: OutputFacts | None, targets: TargetFacts) -> tuple[str, float, float]:
    """(words, what is taken off the targets, what divides them) so that outputs within their limits reach them."""
    least, most = (None, None) if outputs is None else (outputs.least, outputs.most)
    unit = targets.std
    if least is not None and most is not None:
        unit = (targets.most - targets.least) / (most - least)
    if least is not None:
        return WITHIN, targets.least - least * unit, unit
    if most is not None:
        return WITHIN, targets.most - most * unit, unit
    return "standardise the targets", targets.mean, unit


TREATMENTS: Final[Mapping[str, Apply]] = {"scaled_output": apply}
