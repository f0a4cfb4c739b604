"""Insert a normalisation between each hidden layer and its activation.

Standardising the pre-activations keeps forward and backward signal at a scale whatever the weights are. Inserted
behind convolutions and matrix products whose output runs into a hidden activation, on the branch where the output is
added to a skip path, and only where no normalisation stands yet; never in front of the head, of a gate, or inside
attention. `batch_norm` works on [N, C] and images, over samples and space; its running statistics are those of the
sample batch. Not for sequences, where it mixes positions. `layer_norm` works on [N, C] and [N, T, C], over the
features of one position. `group_norm` works on images, over space and the channels of a group, up to eight groups.
Scale 1, shift 0; the bias of the layer becomes redundant. Changes the function. Source: Ioffe and Szegedy 2015; Ba,
Kiros and Hinton 2016; Wu and He 2018.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import numpy as np

from analysis.facts import Effect, Layer
from analysis.graph.activations import TRANSPARENT
from analysis.graph.families import LINEAR
from analysis.interventions.contract import Context, NormalizationSite, NotApplicable, Recipe
from analysis.interventions.kit.layer_norm import EPSILON, insert_layer_norm
from analysis.interventions.kit.sites import dtype_of, hidden_activations, is_normalized
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel

GROUPS: Final = 8
SINCE: Final = {"batch_norm": 9, "layer_norm": 7, "group_norm": 7}
BATCHED: Final = {"batch_norm": True, "layer_norm": False, "group_norm": False}
"""Whether it takes statistics over samples."""
GROUP_NORM_SINCE: Final = 21
IMAGE_LAYERS: Final = frozenset({"Conv", "ConvTranspose"})
TITLES: Final = {
    "batch_norm": "BatchNormalization", "layer_norm": "LayerNormalization", "group_norm": "GroupNormalization",
}  # fmt: skip
Shape = tuple[int, ...]
Fits = Callable[[Layer, Shape], bool]
"""(layer, shape of its output)."""
Inserter = Callable[[Editor, str, Shape], Iterable[NormalizationSite]]
"""(editor, value, its shape): put it behind the value."""


def insert(token: str, model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """One normalisation per candidate layer."""
    if model.opset() < SINCE[token]:
        return NotApplicable(f"opset {model.opset()} is older than {SINCE[token]}")
    fits, reason = CANDIDATES[token]
    candidates = _candidates(model, context, fits)
    if not candidates:
        return NotApplicable(reason)
    bare = [value for value in candidates if not is_normalized(model, value, TRANSPARENT)]
    if not bare:
        return NotApplicable("every hidden layer has a normalisation already")
    if BATCHED[token] and any(_observations(candidates[value]) < 2 for value in bare):
        return NotApplicable("one observation of a channel has no variance: send more samples")
    editor = Editor(model)
    sites = [site for value in bare for site in INSERTERS[token](editor, value, candidates[value])]
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"insert {TITLES[token]} before the activation of {len(bare)} layers",
        cost=f"{len(bare)} {TITLES[token]} nodes inserted",
        sites=tuple(sites),
    )


# ------------------------------------------------------------------ where


def _candidates(model: CheckedModel, context: Context, fits: Fits) -> dict[str, Shape]:
    """What hidden layers write, in front of their activation: the value and its shape."""
    hidden = hidden_activations(model, context)
    layers = [layer for layer in context.layers if layer.op in LINEAR and layer.activated in hidden]
    shapes = context.shapes() if layers else {}
    fitting = [layer for layer in layers if fits(layer, shapes.get(layer.output, ()))]
    return {layer.output: shapes[layer.output] for layer in fitting}


def _observations(shape: Shape) -> int:
    """Of one channel in the sample batch."""
    return math.prod(shape) // max(shape[1], 1)


def _is_image(layer: Layer, shape: Shape) -> bool:
    return layer.op in IMAGE_LAYERS and len(shape) > 2


def _is_image_or_vectors(layer: Layer, shape: Shape) -> bool:
    return _is_image(layer, shape) or len(shape) == 2


def _is_sequence_or_vectors(layer: Layer, shape: Shape) -> bool:
    return layer.op not in IMAGE_LAYERS and len(shape) in {2, 3}


CANDIDATES: Final[dict[str, tuple[Fits, str]]] = {
    "batch_norm": (_is_image_or_vectors, "no hidden layer with an activation works on [N, C] or images"),
    "layer_norm": (_is_sequence_or_vectors, "no hidden layer with an activation works on [N, C] or [N, T, C]"),
    "group_norm": (_is_image, "no hidden layer with an activation works on images"),
}


# ------------------------------------------------------------------ how


def _affine(editor: Editor, value: str, kind: str, shape: tuple[int, ...]) -> tuple[str, str]:
    dtype = dtype_of(editor.model, value)
    scale = editor.add_tensor(f"{value}_{kind}.scale", np.ones(shape, dtype))
    return scale, editor.add_tensor(f"{value}_{kind}.bias", np.zeros(shape, dtype))


def _batch_norm(editor: Editor, value: str, shape: Shape) -> Iterable[NormalizationSite]:
    scale, bias = _affine(editor, value, "batch_norm", shape[1:2])
    dtype = dtype_of(editor.model, value)
    mean = editor.add_tensor(f"{value}_batch_norm.running_mean", np.zeros(shape[1], dtype))
    variance = editor.add_tensor(f"{value}_batch_norm.running_variance", np.ones(shape[1], dtype))
    editor.insert_after(value, "BatchNormalization", [scale, bias, mean, variance], epsilon=EPSILON)
    return [NormalizationSite(value, mean, variance)]


def _layer_norm(editor: Editor, value: str, shape: Shape) -> Iterable[NormalizationSite]:
    scale, bias = _affine(editor, value, "layer_norm", shape[-1:])
    insert_layer_norm(editor, value, scale, bias)
    return []


def _group_norm(editor: Editor, value: str, shape: Shape) -> Iterable[NormalizationSite]:
    """One node where the opset has it, else InstanceNormalization of channels laid side by side in groups."""
    channels = shape[1]
    groups = next(count for count in range(min(GROUPS, channels), 0, -1) if channels % count == 0)
    if editor.model.opset() >= GROUP_NORM_SINCE:
        scale, bias = _affine(editor, value, "group_norm", (channels,))
        editor.insert_after(value, "GroupNormalization", [scale, bias], num_groups=groups, epsilon=EPSILON)
        return []
    dtype = dtype_of(editor.model, value)
    scale, bias = _affine(editor, value, "group_norm", (channels, *[1] * (len(shape) - 2)))
    ones = editor.add_tensor(f"{value}_group_norm.ones", np.ones(groups, dtype))
    zeros = editor.add_tensor(f"{value}_group_norm.zeros", np.zeros(groups, dtype))
    grouped = editor.add_tensor(f"{value}_group_norm.groups", np.array([0, groups, -1], np.int64))
    sizes = editor.node("Shape", [value], value)
    rows = editor.node("Reshape", [value, grouped], value)
    standard = editor.node("InstanceNormalization", [rows.output[0], ones, zeros], value, epsilon=EPSILON)
    back = editor.node("Reshape", [standard.output[0], sizes.output[0]], value)
    scaled = editor.node("Mul", [back.output[0], scale], value)
    editor.insert(value, [sizes, rows, standard, back, scaled, editor.node("Add", [scaled.output[0], bias], value)])
    return []


INSERTERS: Final[dict[str, Inserter]] = {
    "batch_norm": _batch_norm, "layer_norm": _layer_norm, "group_norm": _group_norm,
}  # fmt: skip
TREATMENTS: Final[Mapping[str, Apply]] = {token: partial(insert, token) for token in INSERTERS}
