"""Redraw the weights: He or Xavier initialisation, biases zero.

He: N(0, (gain / sqrt(fan_in))^2) with the gain of the activation that follows, which keeps the forward scale through
ReLU-like functions. Xavier: N(0, 2 / (fan_in + fan_out)), gain 1, the compromise between both directions for linear
and tanh units. Recurrent weights per gate, embeddings N(0, 1) (0.02 where the table is tied to a head), scales of
normalisations 1, slopes 0.25, biases and initial states 0. Positions, tokens and other free parameters are kept.
Destroys what was learnt: for trained weights it answers "what if you trained from scratch". Changes the function.
Source: Glorot and Bengio 2010 (eq. 16, normal form); He et al. 2015 (eq. 10).
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

from analysis.facts import Effect, Layer
from analysis.fans import Fans, fans, gain
from analysis.interventions._base import Context, Draw, Factor, NotApplicable, Recipe, Treatment
from analysis.model import CheckedModel
from analysis.sources import Use

FIXED: Final[Mapping[str, Draw]] = {
    "bias": Draw(mean=0.0),
    "initial_state": Draw(mean=0.0),
    "initial_cell": Draw(mean=0.0),
    "peephole": Draw(mean=0.0),
    "scale": Draw(mean=1.0),
    "slope": Draw(mean=0.25),
}
TIED_EMBEDDING_STD: Final = 0.02
Deviation = Callable[[Fans, str | None], float]


def he_deviation(found: Fans, activation: str | None) -> float:
    """Gain of the activation over sqrt(fan_in)."""
    return gain(activation) / math.sqrt(found.fan_in)


def xavier_deviation(found: Fans, activation: str | None) -> float:
    """sqrt(2 / (fan_in + fan_out)), whatever follows."""
    return math.sqrt(2.0 / (found.fan_in + found.fan_out))


def _apply(model: CheckedModel, context: Context, deviation: Deviation, title: str) -> Recipe | NotApplicable:
    draws: dict[str, Draw] = {}
    redrawn = 0
    for layer in context.layers:
        for role, info in layer.parameters.items():
            draw = _draw(model, context, layer, role.split(".")[0], info.initializer, deviation)
            if draw is not None and info.initializer not in draws:
                draws[info.initializer] = draw
                redrawn += draw.std > 0
    if not redrawn:
        return NotApplicable("no weight has a fan-in to initialise by")
    return Recipe(
        model=model,
        effect=Effect.CHANGES_FUNCTION,
        words=f"initialise the weights with {title} and the biases with zero",
        cost=f"{redrawn} weights redrawn",
        draws=draws,
    )


def _draw(
    model: CheckedModel, context: Context, layer: Layer, role: str, initializer: str, deviation: Deviation
) -> Draw | None:
    uses = [use for use in context.sources.uses if use.initializer == initializer and use.role != "other"]
    if role in {"weight", "recurrent_weight"}:
        use = next(use for use in uses if use.role == role)
        found = _fans(model, use)
        return None if found is None else Draw(std=deviation(found, layer.activation))
    if role == "embedding":
        return Draw(std=TIED_EMBEDDING_STD if any(use.role == "weight" for use in uses) else 1.0)
    if role == "scale" and layer.op == "Mul":
        return None
    return FIXED.get(role)


def _fans(model: CheckedModel, use: Use) -> Fans | None:
    shape = model.shape(use.value)
    return None if shape is None else fans(use.node, list(use.node.input).index(use.value), shape)


def apply_he(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """He initialisation, fan-in, gain of the activation that follows."""
    return _apply(model, context, he_deviation, "He")


def apply_xavier(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Xavier initialisation, gain 1."""
    return _apply(model, context, xavier_deviation, "Xavier")


HE: Final = Treatment("he", Factor.INITIALIZATION, __doc__, apply_he)
XAVIER: Final = Treatment("xavier", Factor.INITIALIZATION, __doc__, apply_xavier)
