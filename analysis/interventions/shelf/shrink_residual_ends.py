"""Let residual branches start at zero, or small: zero or scaled last layers.

With branches that begin at zero a residual network of any depth starts as a shallow one, and every branch grows as
far as it helps; saturated attention and a stream that grows with depth have no part in the first steps. `zero_ends`
sets the last layer of each branch to zero (its scale, where a normalisation ends it), `scaled_ends` multiplies it by
1 / sqrt(number of branches). Everything else is kept. Destroys what these layers learnt. Changes the function.
Source: Zhang, Dauphin and Ma 2019 (Fixup); Goyal et al. 2017 (zero gamma); Radford et al. 2019 (GPT-2's scaled
projections).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from analysis.facts import Effect, Layer, is_matrix
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.draws import Constant, Draw, Scaled
from analysis.interventions.kit.sites import BranchEnd, branch_ends
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel

ZERO, SCALED = "zero_ends", "scaled_ends"


def apply(token: str, model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Draws for the ends of all branches."""
    ends = branch_ends(model, context)
    if not ends:
        return NotApplicable("there is no residual branch")
    factor, zero = 1 / math.sqrt(len(ends)), token == ZERO
    draws: dict[str, Draw] = {}
    for end in ends:
        draws.update(dict.fromkeys(_deciding(model, end.layer), Constant(0.0) if zero else Scaled(factor)))
    if _deciding_elsewhere(context, ends) & draws.keys():
        return NotApplicable("the last layers of the residual branches share their weights with other layers")
    how = "start at zero" if zero else f"start {factor:.2f} times as large"
    return Recipe(
        model=model,
        effect=Effect.CHANGES_FUNCTION,
        words=f"let the last layers of the {len(ends)} residual branches {how}",
        cost=f"{len(draws)} tensors changed",
        draws=draws,
    )


def _deciding_elsewhere(context: Context, ends: Sequence[BranchEnd]) -> set[str]:
    """What layers that end no branch read; some exporters let equal tensors share one initialiser."""
    ending = {end.layer.id for end in ends}
    others = [layer for layer in context.layers if layer.id not in ending]
    return {info.initializer for layer in others for info in layer.parameters.values()}


def _deciding(model: CheckedModel, layer: Layer) -> Iterator[str]:
    """What has to be small for the layer's output to be, and is not: its matrices and bias, or its scale and shift."""
    for role, info in layer.parameters.items():
        decides = is_matrix(role) or role.split(".")[0] in {"scale", "bias"}
        if decides and np.any(model.weights[info.initializer]):
            yield info.initializer


TREATMENTS: Final[Mapping[str, Apply]] = {ZERO: partial(apply, ZERO), SCALED: partial(apply, SCALED)}
