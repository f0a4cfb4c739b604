"""Which initialisers train, which are frozen, and why.

A role follows from the operator that reads a weight and from its place in the graph, never from its values: a fresh
LayerNormalization of ones and a zero bias train. Strong roles (weight, bias, scale of a normalisation, embedding,
slope, initial state) train whatever their size. An operand of plain arithmetic trains where it may be a parameter:
`analysis.graph.operands` says when it is something else. What a file holds as Constant nodes beside weights that are
initialisers, or what an exporter named as a literal, is no parameter.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from onnx import NodeProto

from analysis.errors import BadOptions
from analysis.graph.biases import Biases
from analysis.graph.operands import Operands
from analysis.graph.slots import is_float_dtype
from analysis.graph.sources import Sources, Use
from analysis.model import CheckedModel
from analysis.model.quantized import CARRYING, FAKE_QUANTIZERS, SLOTS

QUANTIZER: Final = "quantisation scale"
FROZEN_SLOTS: Final[Mapping[tuple[str, int], str]] = {
    ("BatchNormalization", 3): "running mean",
    ("BatchNormalization", 4): "running variance",
    ("DequantizeLinear", 1): QUANTIZER,
    ("QuantizeLinear", 1): QUANTIZER,
    ("Clip", 1): "bound of Clip",
    ("Clip", 2): "bound of Clip",
    ("Pad", 2): "padding value",
    ("Resize", 1): "region of interest of Resize",
    ("Resize", 2): "scales of Resize",
}
MOST_NAMES: Final = 5
"""Told where a pattern matches none."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The initialisers of a model, divided."""

    trainable: tuple[str, ...]
    """In the order of the file."""
    frozen: Mapping[str, str]
    """Name -> reason."""


def assign_roles(
    model: CheckedModel,
    sources: Sources,
    biases: Biases,
    train: Iterable[str] = (),
    freeze: Iterable[str] = (),
    *,
    is_operator: Callable[[str], bool],
) -> Roles:
    """Divide the initialisers; `train` and `freeze` are names or globs, and freeze wins.

    Raises BadOptions where a name or glob matches nothing, or `train` names a tensor without floats; a glob passes
    over those.
    """
    train = tuple(train)
    uses: dict[str, list[Use]] = {}
    for use in sources.uses:
        uses.setdefault(use.initializer, []).append(use)
    operands = Operands(model, sources, biases, is_operator)
    reasons = {name: _why_frozen(operands, name, uses.get(name, [])) for name in model.weights}
    for name in _matching(model, train, "train"):
        if is_float_dtype(model.weights[name].dtype.name) or name in uses:
            reasons[name] = ""
        elif name in train:
            raise BadOptions(f"{name} holds {model.weights[name].dtype.name}, not floats", where="options.train")
    for name in _matching(model, freeze, "freeze"):
        reasons[name] = "frozen by options"
    return Roles(
        trainable=tuple(name for name, reason in reasons.items() if not reason),
        frozen={name: reason for name, reason in reasons.items() if reason},
    )


def _why_frozen(operands: Operands, name: str, uses: list[Use]) -> str:
    """The reason, or empty where some use makes it trainable."""
    if name in operands.model.fixed:
        return operands.model.fixed[name]
    if any(name in each.scales for each in operands.model.quantized.values()):
        return QUANTIZER
    if not uses:
        return _unused(operands, name)
    reasons = [_why_frozen_here(operands, name, use) for use in uses]
    if "" not in reasons:
        within = [use for use in operands.sources.within if use.initializer == name]
        reasons += [_why_frozen_here(operands, name, use) for use in within]
    return "" if "" in reasons else reasons[0]


def _unused(operands: Operands, name: str) -> str:
    model = operands.model
    readers = model.consumers.get(name, ())
    if not readers:
        return "unused"
    if not is_float_dtype(model.weights[name].dtype.name):
        return f"{model.weights[name].dtype.name} constant"
    node, slot = readers[0]
    if _quantizes(node):
        return QUANTIZER
    if any(name in operands.sources.of.get(output.name, ()) for output in model.outputs):
        return "goes to an output without meeting data"  # the spread of a policy's actions, exp(log_std)
    return FROZEN_SLOTS.get((node.op_type, slot), f"read only by {node.op_type}, which passes no gradient to it")


def _why_frozen_here(operands: Operands, name: str, use: Use) -> str:
    if use.role == "other":
        slot = list(use.node.input).index(use.value)
        known = FROZEN_SLOTS.get((use.node.op_type, slot))
        return known or (QUANTIZER if _quantizes(use.node) else f"constant operand of {use.node.op_type}")
    return operands.why(name, use)


def _names(weights: Iterable[str]) -> str:
    """Some names that would do."""
    some = list(itertools.islice(weights, MOST_NAMES + 1))
    more = ", ..." if len(some) > MOST_NAMES else ""
    return f"the model has {', '.join(map(repr, some[:MOST_NAMES]))}{more}; * stands for anything"


def _quantizes(node: NodeProto) -> bool:
    return node.op_type in SLOTS or node.op_type.startswith(CARRYING) or node.op_type in FAKE_QUANTIZERS


def _matching(model: CheckedModel, patterns: Iterable[str], option: str) -> list[str]:
    matched: list[str] = []
    for pattern in patterns:
        exact = [pattern] if pattern in model.weights else []
        found = exact or [name for name in model.weights if fnmatchcase(name, pattern)]
        if not found:
            raise BadOptions(
                f"{pattern!r} matches no initialiser of the model",
                where=f"options.{option}",
                hint=_names(model.weights),
            )
        matched += found
    return matched
