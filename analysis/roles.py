"""Which initialisers train, which are frozen, and why.

A role follows from the operator that reads a weight and from its place in the graph, never from its values: a fresh
LayerNormalization of ones and a zero bias train. Strong roles (weight, bias, scale of a normalisation, embedding,
slope, initial state) train whatever their size. An operand of a plain Add, Mul or Concat trains unless it is a
single number or is added to attention scores: a mask and a fixed position bias look the same there, but a table that
is looked up on the way is a learnt one.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from onnx import NodeProto

from analysis.errors import BadOptions
from analysis.layers import find_biases
from analysis.model import CheckedModel
from analysis.sources import LOOKUPS, Sources, Use, data_inputs, is_float_dtype

WEAK: Final = frozenset({"offset", "token"})  # and the scale of a Mul
FROZEN_SLOTS: Final[Mapping[tuple[str, int], str]] = {
    ("BatchNormalization", 3): "running mean",
    ("BatchNormalization", 4): "running variance",
    ("DequantizeLinear", 1): "quantisation scale",
    ("QuantizeLinear", 1): "quantisation scale",
    ("Clip", 1): "bound of Clip",
    ("Clip", 2): "bound of Clip",
    ("Pad", 2): "padding value",
    ("Resize", 1): "region of interest of Resize",
    ("Resize", 2): "scales of Resize",
}
MASK_REACH: Final = 3  # nodes between adding a mask and the Softmax


@dataclass(frozen=True, slots=True)
class Roles:
    """The initialisers of a model, divided."""

    trainable: tuple[str, ...]
    """In the order of the file."""
    frozen: Mapping[str, str]
    """Name -> reason."""


def assign_roles(model: CheckedModel, sources: Sources, train: Iterable[str] = (), freeze: Iterable[str] = ()) -> Roles:
    """Divide the initialisers; `train` and `freeze` are names or globs, and freeze wins.

    Raises BadOptions where a name or glob matches nothing, or `train` names a tensor without floats; a glob passes
    over those.
    """
    train = tuple(train)
    uses: dict[str, list[Use]] = {}
    for use in sources.uses:
        uses.setdefault(use.initializer, []).append(use)
    biases = find_biases(model, sources)
    reasons = {name: _why_frozen(model, biases, name, uses.get(name, [])) for name in model.weights}
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


def _why_frozen(model: CheckedModel, biases: Container[int], name: str, uses: list[Use]) -> str:
    """The reason, or empty where some use makes it trainable."""
    if not uses:
        return _unused(model, name)
    reasons = [_why_frozen_here(model, biases, name, use) for use in uses]
    return "" if "" in reasons else reasons[0]


def _unused(model: CheckedModel, name: str) -> str:
    readers = model.consumers.get(name, ())
    if not readers:
        return "unused"
    if not is_float_dtype(model.weights[name].dtype.name):
        return f"{model.weights[name].dtype.name} constant"
    node, slot = readers[0]
    return FROZEN_SLOTS.get((node.op_type, slot), f"read only by {node.op_type}, which passes no gradient to it")


def _why_frozen_here(model: CheckedModel, biases: Container[int], name: str, use: Use) -> str:
    if use.role == "other":
        slot = list(use.node.input).index(use.value)
        return FROZEN_SLOTS.get((use.node.op_type, slot), f"constant operand of {use.node.op_type}")
    if _is_group_norm_dummy(model, use.node):
        return "placeholder of a GroupNormalization written as InstanceNormalization"
    weak = (use.role in WEAK or use.node.op_type == "Mul") and id(use.node) not in biases
    if model.weights[name].ndim == 0 or (weak and model.weights[name].size == 1):
        return f"single number in {use.node.op_type}"
    return _why_fixed(model, use) if weak else ""


def _why_fixed(model: CheckedModel, use: Use) -> str:
    """What an operand of plain arithmetic is instead of a weight."""
    if use.role == "offset" and _reaches_softmax(model, use.node) and not _looked_up(model, use.value):
        return "added to attention scores: a mask or a fixed position bias"
    if use.node.op_type == "Mul" and _is_rotary(model, use.node):
        return "cosine or sine of rotary positions"
    return ""


def _reaches_softmax(model: CheckedModel, node: NodeProto) -> bool:
    for _ in range(MASK_REACH):
        followers = [use.node for output in node.output for use in model.consumers.get(output, ())]
        if any(follower.op_type == "Softmax" for follower in followers):
            return True
        followers = [node for node in followers if node.op_type in {"Add", "Reshape", "Cast", "Where", "Max", "Clip"}]
        if not followers:
            return False
        node = followers[0]
    return False


def _looked_up(model: CheckedModel, value: str) -> bool:
    """Whether a weight expression is cut from a table by indices: relative positions."""
    node = model.producers.get(value)
    return node is not None and (
        node.op_type in LOOKUPS or any(_looked_up(model, name) for name in data_inputs(node) if name)
    )


def _is_rotary(model: CheckedModel, product: NodeProto) -> bool:
    """Whether a product is one of the two in x * cos + rotated(x) * sin (RoFormer, Su 2021)."""
    sums = [use.node for use in model.consumers.get(product.output[0], ()) if use.node.op_type == "Add"]
    terms = [model.producers.get(name) for node in sums for name in node.input]
    factors = [name for term in terms if term is not None and term.op_type == "Mul" for name in term.input]
    return any(_is_rotated(model, name) for name in factors)


def _is_rotated(model: CheckedModel, value: str) -> bool:
    """A Concat one half of which is negated: halves, or pairs that a Reshape lays side by side."""
    node = model.producers.get(value)
    while node is not None and node.op_type in {"Reshape", "Flatten", "Transpose"}:
        node = model.producers.get(node.input[0])
    if node is None or node.op_type != "Concat" or len(node.input) != 2:
        return False
    parts = [model.producers.get(name) for name in node.input]
    parts = [model.producers.get(part.input[0]) if part and part.op_type == "Unsqueeze" else part for part in parts]
    return any(part is not None and part.op_type == "Neg" for part in parts)


def _is_group_norm_dummy(model: CheckedModel, node: NodeProto) -> bool:
    """Reshape -> InstanceNormalization -> Reshape -> Mul -> Add: torch's export of a GroupNorm."""
    if node.op_type != "InstanceNormalization":
        return False
    before = model.producers.get(node.input[0])
    chain = [node]
    for _ in range(3):
        followers = model.consumers.get(chain[-1].output[0], ())
        if len(followers) != 1:
            break
        chain.append(followers[0].node)
    return (
        before is not None
        and before.op_type == "Reshape"
        and [follower.op_type for follower in chain[1:]] == ["Reshape", "Mul", "Add"]
    )


def _matching(model: CheckedModel, patterns: Iterable[str], option: str) -> list[str]:
    matched: list[str] = []
    for pattern in patterns:
        exact = [pattern] if pattern in model.weights else []
        found = exact or [name for name in model.weights if fnmatchcase(name, pattern)]
        if not found:
            raise BadOptions(
                f"{pattern!r} matches no initialiser of the model",
                where=f"options.{option}",
                hint="the report lists the initialisers under layers[].parameters",
            )
        matched += found
    return matched
