"""Standardise the input: subtract its mean, divide by its standard deviation.

Inputs of 0 to 255 multiply every gradient of the first layer by 255, inputs of 0.001 leave it none. Mean and
deviation are those of the sample batch, per feature of vectors and sequences, per channel of images, and become
constants in front of the network; what does not vary in the batch is only centred. Costs two nodes. Changes the
function. Source: LeCun et al. 1998 (Efficient BackProp, section 4.3).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from analysis.facts import Effect
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel
from analysis.model.weights import Array

STANDARD_WITHIN: Final = 0.05
"""Mean and deviation this near to 0 and 1 are standard already."""
IMAGE_RANK: Final = 4
OLDEST: Final = 7


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Sub and Div behind the input that the trunk begins with."""
    name = context.trunk[0] if context.trunk else ""
    values = context.inputs.get(name)
    if values is None or values.dtype.kind != "f":
        return NotApplicable("the trunk does not begin at a floating-point input")
    if model.opset() < OLDEST:
        return NotApplicable(f"opset {model.opset()} is older than {OLDEST}")
    mean, deviation = _statistics(values.astype(np.float64), context.batch_size)
    if np.abs(mean).max() < STANDARD_WITHIN and np.abs(deviation - 1).max() < STANDARD_WITHIN:
        return NotApplicable("the input is standardised already")
    editor = Editor(model)
    centre = editor.add_constant(f"{name}_mean", mean.astype(values.dtype))
    scale = editor.add_constant(f"{name}_deviation", deviation.astype(values.dtype))
    centred = editor.node("Sub", [name, centre], name)
    editor.insert(name, [centred, editor.node("Div", [centred.output[0], scale], name)])
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words="standardise the input with the mean and deviation of the sample batch",
        cost="2 nodes inserted",
    )


def _statistics(values: Array, samples: int) -> tuple[Array, Array]:
    """Of each channel of images, of each feature of everything else; broadcast against the input."""
    kept = 1 if values.ndim >= IMAGE_RANK else values.ndim - 1
    if values.ndim == 1 or values.shape[kept] == samples:
        kept = values.ndim  # samples along the last axis: one mean for all
    axes = tuple(axis for axis in range(values.ndim) if axis != kept)
    mean, deviation = values.mean(axes, keepdims=True), values.std(axes, keepdims=True)
    return mean, np.where(deviation > 0, deviation, 1.0)


TREATMENTS: Final[Mapping[str, Apply]] = {"standardized": apply}
