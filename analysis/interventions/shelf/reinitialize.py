"""Redraw the weights: He or Xavier initialisation, biases zero.

He: N(0, (gain / sqrt(fan_in))^2) with the gain of the activation that follows, which keeps the forward scale through
ReLU-like functions; `he_fan_out` keeps the backward scale instead, `he_uniform` draws from a uniform law of the same
variance. Xavier: N(0, 2 / (fan_in + fan_out)), gain 1, the compromise between both directions for linear and tanh
units; `xavier_gain` multiplies it by the gain of the activation, `xavier_uniform` draws from a uniform law. Recurrent
weights per gate. Destroys what was learnt: for trained weights it answers "what if you trained from scratch". Changes
the function. Source: Glorot and Bengio 2010 (eq. 16); He et al. 2015 (eq. 10 and 14).
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.draws import Draw, Normal, Uniform
from analysis.interventions.kit.redraw import WeightSite, he, he_fan_out, redraw, xavier, xavier_gain
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel


def _normal(deviation: Callable[[WeightSite], float], site: WeightSite) -> Draw:
    return Normal(deviation(site))


def _uniform(deviation: Callable[[WeightSite], float], site: WeightSite) -> Draw:
    return Uniform(math.sqrt(3.0) * deviation(site))


SCHEMES: Final[dict[str, tuple[Callable[[WeightSite], Draw], str]]] = {
    "he": (partial(_normal, he), "with He"),
    "xavier": (partial(_normal, xavier), "with Xavier"),
    "xavier_gain": (partial(_normal, xavier_gain), "with Xavier times the activation's gain"),
    "he_uniform": (partial(_uniform, he), "with He (uniform)"),
    "he_fan_out": (partial(_normal, he_fan_out), "with He (fan-out)"),
    "xavier_uniform": (partial(_uniform, xavier), "with Xavier (uniform)"),
}


def reinitialize(token: str, model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """All weights by one scheme."""
    draw, title = SCHEMES[token]
    return redraw(model, context, draw, title)


TREATMENTS: Final[Mapping[str, Apply]] = {token: partial(reinitialize, token) for token in SCHEMES}
