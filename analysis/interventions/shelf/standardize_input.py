"""Standardise the input: subtract its mean, divide by its standard deviation.

Inputs of 0 to 255 multiply every gradient of the first layer by 255, inputs of 0.001 leave it none. Mean and
deviation are those of the sample batch, per feature of vectors and sequences, per channel of images, and become
constants in front of the network; what does not vary in the batch is only centred. Values far from all others of their
feature, such as -9999 for what is missing, are first moved to ten deviations of the others, where they stay what they
are, a mark. Costs two nodes, with such values four. Changes the function. Source: LeCun et al. 1998 (Efficient
BackProp, section 4.3).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from onnx import NodeProto

from analysis.batch.far_values import USUAL, far_values
from analysis.facts import Effect
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel
from analysis.model.weights import Array

STANDARD_WITHIN: Final = 0.05
"""Mean and deviation this near to 0 and 1 are standard already."""
IMAGE_RANK: Final = 4
OLDEST: Final = 8
"""Before, Max and Min did not broadcast."""


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Sub and Div behind the input that the trunk begins with; Max and Min in front of them where values are far."""
    name = context.trunk[0] if context.trunk else ""
    values = context.inputs.get(name)
    if values is None or values.dtype.kind != "f":
        return NotApplicable("the trunk does not begin at a floating-point input")
    if model.opset() < OLDEST:
        return NotApplicable(f"opset {model.opset()} is older than {OLDEST}")
    far = far_values(values, context.batch_size)
    usual = values if far is None else values.clip(far.least, far.most)
    mean, deviation = _statistics(usual.astype(np.float64), context.batch_size)
    if np.abs(mean).max() < STANDARD_WITHIN and np.abs(deviation - 1).max() < STANDARD_WITHIN:
        return NotApplicable("the input is standardised already")
    editor = Editor(model)
    steps = [] if far is None else [("Max", "least", far.least), ("Min", "most", far.most)]
    steps += [("Sub", "mean", mean), ("Div", "deviation", deviation)]
    nodes, value = list[NodeProto](), name
    for op_type, title, constant in steps:
        held = editor.add_constant(f"{name}_{title}", constant.astype(values.dtype))
        nodes.append(editor.node(op_type, [value, held], name))
        (value,) = nodes[-1].output
    editor.insert(name, nodes)
    limited = "" if far is None else f"bring values {far.times:.1g} deviations from all others within {USUAL:g}, "
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"{limited}standardise the input with the mean and deviation of the sample batch",
        cost=f"{len(nodes)} nodes inserted",
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
