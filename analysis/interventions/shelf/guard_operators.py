"""Keep operators where they have a finite value and slope: roots, logarithms, quotients, angles and softmaxes.

A root has no slope at zero, a logarithm and a quotient no value, the angle of a cosine of 1 no slope, a softmax over
keys that a mask of -inf hides all no value either; one such number makes NaN of every weight. What goes into them is
kept away from there:

    Sqrt(x), Log(x), Pow(x, .5)     Relu(x) + 1e-6
    x / y, Reciprocal(y)            y, or 1e-6 where it is nearer to 0
    Acos(x), Asin(x), Atanh(x)      x within -1 + 1e-6 and 1 - 1e-6
    Softmax(x), LogSoftmax(x)       Max(x, -10000): keys that are hidden stay so where one is left

The weights are kept. Costs a node or a few for each. Changes the function. Source: documentation of PyTorch, eps of
torch.nn.functional.normalize and of layer_norm.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from onnx import NodeProto

from analysis.facts import Effect
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.sites import dtype_of
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel

NEAR: Final = 1e-6
"""Of numbers of scale one; a root has a slope of 500 there."""
LIMITS: Final = {"least": -1 + NEAR, "most": 1 - NEAR}
HIDDEN: Final = -1e4
"""Fits into half precision; exp of it is 0."""
OLDEST: Final = 13
ROOTS: Final = frozenset({"Sqrt", "Log", "Pow"})
ANGLES: Final = frozenset({"Acos", "Asin", "Atanh"})
SOFTMAXES: Final = frozenset({"Softmax", "LogSoftmax"})
DENOMINATOR: Final = {"Div": 1, "Reciprocal": 0}


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Guards in front of every such operator, if there are numbers that are not finite."""
    if context.baseline.non_finite is None:
        return NotApplicable("all numbers are finite")
    if model.opset() < OLDEST:
        return NotApplicable(f"opset {model.opset()} is older than {OLDEST}")
    editor, guarded = Editor(model), list[str]()
    for node in model.nodes:
        place = _place(model, node)
        if place is not None:
            value = node.input[place]
            editor.redirect(node, value, _guard(node.op_type)(editor, value, dtype_of(model, value)))
            guarded.append(node.op_type)
    if not guarded:
        return NotApplicable("no operator that numbers can be kept away from")
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words="; ".join(_words(guarded)),
        cost=f"{len(guarded)} operators guarded",
    )


Guard = Callable[[Editor, str, np.dtype], str]
"""(editor, value, its type): the value to read instead."""


def _words(guarded: Sequence[str]) -> Iterator[str]:
    said = (
        (ROOTS, f"add {NEAR:g} inside {{}}, of numbers that are not negative"),
        (frozenset(DENOMINATOR), f"keep what {{}} divides by {NEAR:g} away from zero"),
        (ANGLES, f"keep what enters {{}} within {1 - NEAR} on both sides"),
        (SOFTMAXES, f"let nothing under {HIDDEN:g} into {{}}, in place of -inf"),
    )
    for kinds, words in said:
        names = ", ".join(name for name in dict.fromkeys(guarded) if name in kinds)
        if names:
            yield words.format(names)


def _place(model: CheckedModel, node: NodeProto) -> int | None:
    """Which input to guard; None where there is none, or it is a number of the model."""
    if node.op_type in {"Sqrt", "Log"} | ANGLES | SOFTMAXES or _is_root(model, node):
        return 0
    place = DENOMINATOR.get(node.op_type)
    return None if place is None or node.input[place] in model.weights else place


def _is_root(model: CheckedModel, node: NodeProto) -> bool:
    """Whether a power has one known exponent that is no whole number."""
    exponent = model.weights.get(node.input[1]) if node.op_type == "Pow" else None
    return exponent is not None and exponent.size == 1 and not float(exponent.reshape(())).is_integer()


def _guard(op_type: str) -> Guard:
    if op_type in DENOMINATOR:
        return _away_from_zero
    if op_type in ANGLES:
        return _within_one
    return _above if op_type in SOFTMAXES else _positive


def _positive(editor: Editor, value: str, dtype: np.dtype) -> str:
    near = editor.add_tensor(f"{value}_near", np.array(NEAR, dtype))
    relu = editor.node("Relu", [value], value)
    return _placed(editor, value, relu, editor.node("Add", [relu.output[0], near], f"{value}_positive"))


def _away_from_zero(editor: Editor, value: str, dtype: np.dtype) -> str:
    near = editor.add_tensor(f"{value}_near", np.array(NEAR, dtype))
    size = editor.node("Abs", [value], value)
    small = editor.node("Less", [size.output[0], near], value)
    return _placed(editor, value, size, small, editor.node("Where", [small.output[0], near, value], f"{value}_nonzero"))


def _within_one(editor: Editor, value: str, dtype: np.dtype) -> str:
    limits = [editor.add_tensor(f"{value}_{name}", np.array(limit, dtype)) for name, limit in LIMITS.items()]
    return _placed(editor, value, editor.node("Clip", [value, *limits], f"{value}_within"))


def _above(editor: Editor, value: str, dtype: np.dtype) -> str:
    least = editor.add_tensor(f"{value}_least", np.array(HIDDEN, dtype))
    return _placed(editor, value, editor.node("Max", [value, least], f"{value}_above"))


def _placed(editor: Editor, value: str, *nodes: NodeProto) -> str:
    editor.place(value, nodes)
    return nodes[-1].output[0]


TREATMENTS: Final[Mapping[str, Apply]] = {"guarded": apply}
