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

from analysis.facts import Effect, scale_between
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
    outputs = context.baseline.outputs
    centre, unit = scale_between(outputs, targets)
    limited = outputs is not None and (outputs.least is not None or outputs.most is not None)
    words = WITHIN if limited else "standardise the targets"
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


TREATMENTS: Final[Mapping[str, Apply]] = {"scaled_output": apply}
