"""Give the outputs the scale that the targets ask for: numbers that of the targets, class scores room to differ.

Outputs that a Sigmoid, Tanh or ReLU keeps within limits write the targets brought within these: pixels of 0 to 255
divided by 255. What is undone behind the output is constant, and trains with nothing.

A fresh network writes numbers of about one. Where returns of thousands are asked for, the output becomes mean +
standard deviation times what it was, both of the targets of the sample batch and constant: the same as training on
(target - mean) / deviation, with the loss in the old unit. Mind the learning rate: squares in the old unit have a
gradient larger by the deviation squared, so divide the loss by that, or train on standardised targets. Costs two nodes.
Changes the function.

Scores of classes that can differ by 2 at most, such as cosines, never make one certain: they get a factor by which they
can differ ten times as far as it takes to come to a tenth of chance, about 20. Costs a node. Source: LeCun et al. 1998
(Efficient BackProp, section 4.3); van Hasselt et al. 2016 (Pop-Art); Wang et al. 2017 (NormFace, section 3.3).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from analysis.facts import Effect, Measurement, scale_between
from analysis.facts.outputs import range_of_scores
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.sites import dtype_of
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel

STANDARD_WITHIN: Final = 0.05
"""Mean and deviation this near to 0 and 1 are standard already."""
NEAR: Final = 0.1
"""Of chance: where the least loss is more, scores are too near to each other."""
ROOM: Final = 10.0
"""Times as far as it takes to come there: cosines of 8 classes get a factor of 17."""
OLDEST: Final = 7
WITHIN: Final = "bring the targets within the limits of the outputs"


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """In front of the output: Mul and Add, or for classes a Mul."""
    targets, name = context.baseline.targets, context.trunk[-1] if context.trunk else ""
    if name not in model.producers or name not in {spec.name for spec in model.outputs}:
        return NotApplicable("the trunk does not end at an output")
    if model.opset() < OLDEST:
        return NotApplicable(f"opset {model.opset()} is older than {OLDEST}")
    if targets is not None and targets.kind == "labels":
        return _spread(model, context.baseline, name)
    if targets is None or targets.kind != "numbers" or not targets.std:
        return NotApplicable("the targets are no numbers that differ")
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


def _spread(model: CheckedModel, measured: Measurement, name: str) -> Recipe | NotApplicable:
    """A factor for class scores that are too near to each other."""
    targets, outputs, chance = measured.targets, measured.outputs, measured.loss.chance
    assert targets is not None
    if outputs is None or outputs.least is None or outputs.most is None or (outputs.floor or 0.0) <= NEAR:
        return NotApplicable("class scores have room enough")
    if not chance or not targets.classes or outputs.most <= outputs.least:
        return NotApplicable("how far class scores should differ is unknown")
    factor = ROOM * range_of_scores(targets.classes, NEAR * chance) / (outputs.most - outputs.least)
    editor = Editor(model)
    scale = editor.add_constant(f"{name}_temperature", np.array(factor, dtype_of(model, name)))
    near = editor.hand_over(name)
    editor.place(near, [editor.node("Mul", [near, scale], name, name)])
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"multiply the class scores by {factor:.3g} (a temperature) in front of the loss",
        cost="1 node inserted",
    )


TREATMENTS: Final[Mapping[str, Apply]] = {"scaled_output": apply}
