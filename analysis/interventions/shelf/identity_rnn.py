"""Turn plain recurrent cells into ReLU cells that start as the identity (IRNN).

h = ReLU(x W + h): at the start the state is a sum over time, and the gradient comes back through any number of steps as
it left. Applies to RNN operators with tanh or ReLU; gated cells have their own way to keep a state. Input weights as
Xavier draws them, biases zero. Costs nothing; may explode on long sequences in training, so clip. Destroys what was
learnt. Changes the function. Source: Le, Jaitly and Hinton 2015 (A Simple Way to Initialize Recurrent Networks of
Rectified Linear Units).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.draws import Draw, Identity, Layout, Normal
from analysis.interventions.kit.cells import with_cells
from analysis.interventions.kit.redraw import WeightSite, redraw, xavier
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """ReLU in every plain cell, identities between its steps."""
    edited = with_cells(model, "Relu")
    if edited is None:
        return NotApplicable("there is no plain RNN with tanh or ReLU")
    recipe = redraw(edited, context, _draw, "with Xavier, between time steps with the identity,")
    if isinstance(recipe, NotApplicable):
        return recipe
    return replace(recipe, words=f"use ReLU in the recurrent cells, {recipe.words}")


def _draw(site: WeightSite) -> Draw:
    return Identity() if site.layout is Layout.GATES and site.recurrent else Normal(xavier(site))


TREATMENTS: Final[Mapping[str, Apply]] = {"identity_rnn": apply}
