"""LayerNormalization over the last axis: one node where the opset has it, else written out."""

from typing import Final

import numpy as np

from analysis.interventions.kit.sites import dtype_of
from analysis.interventions.kit.surgery import Editor

SINCE: Final = 17
EPSILON: Final = 1e-5


def insert_layer_norm(editor: Editor, value: str, scale: str, bias: str) -> str:
    """Put LayerNormalization over the last axis behind a value, written out where the opset lacks it; its output."""
    if editor.model.opset() >= SINCE:
        return editor.insert_after(value, "LayerNormalization", [scale, bias], epsilon=EPSILON)
    dtype = dtype_of(editor.model, value)
    epsilon = editor.add_constant(f"{value}_layer_norm.epsilon", np.array(EPSILON, dtype))
    mean = editor.node("ReduceMean", [value], value, axes=[-1])
    centred = editor.node("Sub", [value, mean.output[0]], value)
    square = editor.node("Mul", [centred.output[0], centred.output[0]], value)
    variance = editor.node("ReduceMean", [square.output[0]], value, axes=[-1])
    shifted = editor.node("Add", [variance.output[0], epsilon], value)
    deviation = editor.node("Sqrt", [shifted.output[0]], value)
    standard = editor.node("Div", [centred.output[0], deviation.output[0]], value)
    scaled = editor.node("Mul", [standard.output[0], scale], value)
    moved = editor.node("Add", [scaled.output[0], bias], value)
    return editor.insert(value, [mean, centred, square, variance, shifted, deviation, standard, scaled, moved])
