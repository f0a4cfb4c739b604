"""Replace the hidden activation functions by another one: ReLU and its variants, GELU, SiLU, or tanh.

ReLU has slope 1 wherever it is active, so the gradient does not shrink with every layer as it does through sigmoid and
tanh; LeakyReLU, ELU and SELU keep a slope below zero, so no unit dies; GELU and SiLU are smooth; tanh is for networks
that explode. Only activations behind a layer and in front of another are replaced: never the head, never a gate (a
sigmoid that multiplies something else, as in squeeze-excite), never what happens inside attention or a recurrent cell.
The weights are kept, which alone often makes things worse: combine it with an initialisation of the new gain, or with
`rescaled`. Changes the function. Source: Nair and Hinton 2010; Maas et al. 2013; Clevert et al. 2016; Klambauer et al.
2017; Hendrycks and Gimpel 2016; Elfwing et al. 2018.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from onnx import NodeProto

from analysis.facts import Effect
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.sites import counted, dtype_of, hidden_activations
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel

GELU_SINCE: Final = 20
OLDEST: Final = 7
"""Before, arithmetic did not broadcast, and new nodes would have to say how."""
SINCE: Final = {"gelu": 9}
"""Erf."""
Writer = Callable[[Editor, str, str], Sequence[NodeProto]]
"""(editor, value before, value after) -> the nodes that compute the one from the other."""


def _plain(op_type: str, **attributes: float) -> Writer:
    return lambda editor, before, after: [editor.node(op_type, [before], after, after, **attributes)]


def _swish(editor: Editor, before: str, after: str) -> Sequence[NodeProto]:
    gate = editor.node("Sigmoid", [before], after)
    return [gate, editor.node("Mul", [before, gate.output[0]], after, after)]


def _gelu(editor: Editor, before: str, after: str) -> Sequence[NodeProto]:
    """One node where the opset has it, else x / 2 (1 + erf(x / sqrt 2))."""
    if editor.model.opset() >= GELU_SINCE:
        return [editor.node("Gelu", [before], after, after)]
    dtype = dtype_of(editor.model, before)
    root, one, half = (
        editor.add_constant(f"{after}_{name}", np.array(value, dtype))
        for name, value in (("root", math.sqrt(2)), ("one", 1.0), ("half", 0.5))
    )
    scaled = editor.node("Div", [before, root], after)
    curve = editor.node("Erf", [scaled.output[0]], after)
    share = editor.node("Add", [curve.output[0], one], after)
    product = editor.node("Mul", [before, share.output[0]], after)
    return [scaled, curve, share, product, editor.node("Mul", [product.output[0], half], after, after)]


WRITERS: Final[dict[str, tuple[str, str, Writer]]] = {
    "relu": ("ReLU", "Relu", _plain("Relu")),
    "leaky_relu": ("LeakyReLU", "LeakyRelu", _plain("LeakyRelu", alpha=0.01)),
    "elu": ("ELU", "Elu", _plain("Elu")),
    "selu": ("SELU", "Selu", _plain("Selu")),
    "gelu": ("GELU", "Gelu", _gelu),
    "silu": ("SiLU", "Swish", _swish),
    "tanh": ("tanh", "Tanh", _plain("Tanh")),
}
"""By token: what people call it, what a layer's activation is called, how it is written."""


def swap(token: str, model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Swap every hidden activation that is not the wanted one yet."""
    title, wanted, write = WRITERS[token]
    sites = hidden_activations(model, context)
    if not sites:
        return NotApplicable("there is no hidden activation function")
    others = {after: layer for after, layer in sites.items() if layer.activation != wanted}
    if not others:
        return NotApplicable(f"every hidden activation is {title} already")
    oldest = SINCE.get(token, OLDEST)
    if model.opset() < oldest:
        return NotApplicable(f"opset {model.opset()} is older than {oldest}")
    editor = Editor(model)
    for after, layer in others.items():
        assert layer.pre_activation is not None
        editor.replace_between(after, write(editor, layer.pre_activation, after))
    listed = ", ".join(counted([layer.activation for layer in others.values()]))
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"replace the hidden activations ({listed}) by {title}",
        cost=f"{len(others)} nodes changed",
    )


TREATMENTS: Final[Mapping[str, Apply]] = {token: partial(swap, token) for token in WRITERS}
