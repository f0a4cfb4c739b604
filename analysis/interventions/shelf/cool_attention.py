"""Divide the scores of saturated attention by a temperature.

A Softmax over scores that spread by more than a few units looks at one key only and passes no gradient to queries and
keys. Each such attention gets a factor on its scores, in front of the mask, that brings their standard deviation on
the sample batch to 1. Costs a node. Changes the function. Source: Vaswani et al. 2017 (scaled dot product); Zhai et
al. 2023 (attention entropy collapse).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from analysis.facts import Effect
from analysis.graph.attention import find_product
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.sites import dtype_of
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel
from analysis.model.nodes import label

HOT: Final = 2.0
"""Standard deviation of scores from which a temperature helps; after it: 1."""
OLDEST: Final = 7


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """A factor behind the product of queries and keys."""
    if not context.attention:
        return NotApplicable("there is no attention")
    if model.opset() < OLDEST:
        return NotApplicable(f"opset {model.opset()} is older than {OLDEST}")
    spread = {each.node: each.score_std for each in context.baseline.attention}
    editor, factors = Editor(model), list[float]()
    for site in context.attention:
        deviation, product = spread.get(label(site.node), 0.0), find_product(model, context.sources, site)
        if deviation <= HOT or product is None:
            continue
        value = product.output[0]
        factor = editor.add_constant(f"{value}_temperature", np.array(1 / deviation, dtype_of(model, value)))
        editor.insert_after(value, "Mul", [factor])
        factors.append(deviation)
    if not factors:
        return NotApplicable(f"no scores spread by more than {HOT:g}")
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"divide the attention scores by a temperature of {min(factors):.1f} to {max(factors):.1f}",
        cost=f"{len(factors)} nodes inserted",
    )


TREATMENTS: Final[Mapping[str, Apply]] = {"temperature": apply}
