"""Insert BatchNormalization between each hidden layer and its activation.

Standardising the pre-activations keeps forward and backward signal at a scale whatever the weights are. Inserted
behind convolutions and matrix products whose output runs into a hidden activation, on the branch where the output is
added to a skip path, and only where no normalisation stands yet. Does not apply to sequences ([N, T, C], where
LayerNormalization is the right tool), inside attention, to gates or to the head. The running statistics are those of
the sample batch, scale 1, shift 0. Needs a batch to train with; the bias of the layer becomes redundant. Changes the
function. Source: Ioffe and Szegedy 2015.
"""

from typing import Final

import numpy as np

from analysis.facts import Effect, Layer
from analysis.interventions._base import Context, Factor, NormalizationSite, NotApplicable, Recipe, Treatment
from analysis.interventions.swap_activation import is_hidden_activation
from analysis.layers import LINEAR, NORMALIZATIONS, REACH, TRANSPARENT
from analysis.model import CheckedModel
from analysis.surgery import Editor

EPSILON: Final = 1e-5
FIRST_BATCH_OPSET: Final = 9


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """One BatchNormalization per candidate layer."""
    candidates = [layer for layer in context.layers if _is_candidate(model, context, layer)]
    if not candidates:
        return NotApplicable("no hidden layer with an activation works on [N, C] or images")
    bare = [layer for layer in candidates if not _is_normalized(model, layer)]
    if not bare:
        return NotApplicable("every hidden layer has a normalisation already")
    if model.opset() < FIRST_BATCH_OPSET:
        return NotApplicable(f"opset {model.opset()} is older than {FIRST_BATCH_OPSET}")
    editor = Editor(model)
    sites = tuple(_insert(editor, model, layer) for layer in bare)
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"insert BatchNormalization before the activation of {len(bare)} layers",
        cost=f"{len(bare)} BatchNormalization nodes inserted",
        sites=sites,
    )


def _is_candidate(model: CheckedModel, context: Context, layer: Layer) -> bool:
    if layer.op not in LINEAR or layer.activated is None or _channels(model, layer) is None:
        return False
    return is_hidden_activation(model, context, layer)


def _channels(model: CheckedModel, layer: Layer) -> int | None:
    """Size of axis 1, which BatchNormalization standardises; None for sequences and open ranks."""
    known = model.values.get(layer.output)
    shape = [] if known is None else list(known.type.tensor_type.shape.dim)
    rank = len(shape)
    is_image = layer.op in {"Conv", "ConvTranspose"} and rank > 2
    if not is_image and rank != 2:
        return None
    if shape[1].dim_value > 0:
        return int(shape[1].dim_value)
    bias = next((info.shape for role, info in layer.parameters.items() if role == "bias"), ())
    return bias[0] if len(bias) == 1 else None


def _is_normalized(model: CheckedModel, layer: Layer) -> bool:
    """Whether a normalisation stands between the layer and its activation, or right before the layer."""
    value = layer.output
    for _ in range(REACH):
        nodes = [use.node for use in model.consumers.get(value, ())]
        if any(node.op_type in NORMALIZATIONS for node in nodes):
            return True
        ahead = [node for node in nodes if node.op_type in TRANSPARENT]
        if not ahead:
            return False
        value = ahead[0].output[0]
    return False


def _insert(editor: Editor, model: CheckedModel, layer: Layer) -> NormalizationSite:
    channels = _channels(model, layer)
    assert channels is not None
    prefix = f"{layer.output}_batch_norm"
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    scale = editor.add_tensor(f"{prefix}.scale", ones)
    bias = editor.add_tensor(f"{prefix}.bias", zeros)
    mean = editor.add_tensor(f"{prefix}.running_mean", zeros)
    variance = editor.add_tensor(f"{prefix}.running_variance", ones)
    editor.insert_after(layer.output, "BatchNormalization", [scale, bias, mean, variance], epsilon=EPSILON)
    return NormalizationSite(layer.output, mean, variance)


TREATMENT: Final = Treatment("batch_norm", Factor.NORMALIZATION, __doc__, apply)
