"""Weaken Dropout: at most a tenth of the values is set to zero.

Dropout of .8 leaves a fifth of the units to each step; behind each of several narrow layers it leaves next to none of
them, and what a step learns is noise. Every stronger Dropout of the graph is set to .1. Preserves the output in use,
where Dropout is off, and the weights. Source: Srivastava et al. 2014 (section 7.3: what a unit's survival does).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from analysis.facts import Effect
from analysis.graph.dropout import RATIO, find_dropout, has_ratio_input
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel

WEAK: Final = 0.1
ROUNDED: Final = 1e-6
"""What storing a ratio in float32 adds to it."""


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Another ratio for every Dropout that is stronger."""
    strong = [(node, ratio) for node, ratio in find_dropout(model) if ratio > WEAK + ROUNDED]
    if not strong:
        return NotApplicable("there is no Dropout stronger than 0.1")
    editor, weak = Editor(model), ""
    for node, _ in strong:
        if not has_ratio_input(node):
            editor.set_attribute(node, "ratio", WEAK)
            continue
        weak = weak or editor.add_tensor("weak_dropout_ratio", np.array(WEAK, model.weights[node.input[RATIO]].dtype))
        editor.redirect(node, node.input[RATIO], weak)
    most = max(ratio for _, ratio in strong)
    return Recipe(
        model=editor.finish(),
        effect=Effect.PRESERVES_OUTPUT,
        words=f"weaken Dropout from {most:g} to {WEAK:g}",
        cost=f"{len(strong)} nodes changed",
    )


TREATMENTS: Final[Mapping[str, Apply]] = {"weak_dropout": apply}
