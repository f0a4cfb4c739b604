"""Where the gradient of each output starts.

A softmax or sigmoid at the end is a reading of the logits; its saturation is not the network's illness. An ArgMax has
no gradient at all. So each output is followed back to the tensor that training would differentiate: the logits; and
rows that are chosen by their values (`choosing`) to all the rows there are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from onnx import NodeProto, helper

from analysis.errors import NotDifferentiable, NothingToTrain
from analysis.graph.choosing import chosen_from, tensors_of
from analysis.graph.families import COPYING, LAYING_OUT, walk_back
from analysis.graph.slots import is_float_dtype
from analysis.graph.sources import Sources, gradient_inputs
from analysis.model import CheckedModel
from analysis.model.nodes import captures, label


class Link(StrEnum):
    """What stood between the logits and the output."""

    IDENTITY = "identity"
    SOFTMAX = "softmax"
    LOG_SOFTMAX = "log_softmax"
    SIGMOID = "sigmoid"


LINKS: Final = {"Softmax": Link.SOFTMAX, "LogSoftmax": Link.LOG_SOFTMAX, "Sigmoid": Link.SIGMOID}
STEP_BACK: Final = COPYING | {"Dropout", "ArgMax", "ArgMin", "Hardmax", "TopK"}
COMPARING: Final = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
FLAT: Final = frozenset({"Floor", "Ceil", "Round", "Sign"})
"""Floats come out, with a slope of zero everywhere."""
ROUNDED: Final = FLAT | COPYING | LAYING_OUT | {"Flatten", "Clip", "QuantizeLinear"}
"""What stands behind the last tensor with a gradient where an output is made of whole numbers: bytes of a picture."""
CHANGING_UNIT: Final = frozenset({"Mul", "Div", "Add", "Sub"})
KEEPING_UNIT: Final = FLAT | COPYING | {"Clip"}
BROADCASTING_SINCE: Final = 7
MOST_CHANNELS: Final = 4
PACKED: Final = frozenset({"MatMulNBits", "MatMulBnb4", "GatherBlockQuantized", "QMoE", "MatMulFpQ4"})
"""Operators of onnxruntime that hold several numbers of a few bits in each integer."""
KEEPING_ORDER: Final = LAYING_OUT - {"Transpose"} | {"Flatten"}
"""Another shape, the same numbers in the same order."""
CHOICE: Final = "a choice of rows by their values"
SOFTMAX_ANY_AXIS_SINCE: Final = 13


@dataclass(frozen=True, slots=True)
class Head:
    """An output and the tensor its gradient starts from."""

    output: str
    value: str
    link: Link = Link.IDENTITY
    axis: int | None = None
    """Class axis, where a softmax says so."""
    stripped: tuple[str, ...] = ()
    """Operators between the value and the output."""
    read_also_by: tuple[str, ...] = ()
    """Other outputs that are made of the same value, labels say."""
    before_layout: str = ""
    """The same numbers as the output, in the shape of the value, where a sigmoid's are laid out anew behind it."""
    converted: bool = False
    """Whether the output is rounded, and has another unit or layout than the value: no target fits."""


def find_heads(model: CheckedModel, sources: Sources, trainable: frozenset[str]) -> tuple[Head, ...]:
    """One head per output that depends differentiably on a trainable weight, in graph order, none twice.

    What is made of weights alone comes last: its loss would say nothing about the samples. A weight is none.
    Of several outputs that are read at the same logits the first that holds floats names the head.

    Raises NothingToTrain (no trainable weight at all) or NotDifferentiable (none reaches an output).
    """
    if not trainable:
        raise NothingToTrain(where=model.name, hint=_what_would_train(model))
    learning = _depending(model, sources, trainable)
    fed = _fed(model)
    tensors = [(spec.name, tensor) for spec in model.outputs for tensor in tensors_of(model, spec.name)]
    heads = [_trace(model, output, tensor) for output, tensor in tensors]
    if not any(head.value in learning and model.is_float(head.output) for head in heads):
        heads = [_rounded(model, output, tensor, learning, trainable) for output, tensor in tensors]
    found: dict[str, Head] = {}
    for head in sorted(heads, key=lambda each: not model.is_float(each.output)):  # a label is none where scores are one
        if head.value in learning and head.value in model.producers:
            first = found.setdefault(head.value, head)
            if head is not first:
                found[head.value] = replace(first, read_also_by=(*first.read_also_by, head.output))
    if not found:
        names = ", ".join(spec.name for spec in model.outputs)
        raise NotDifferentiable(
            f"no trainable weight reaches {names} differentiably",
            where=", ".join(label(node) for node in _blockers(model, sources, learning)) or names,
            hint=f"add {_last(model, learning)} to the graph's outputs",
        )
    order = {spec.name: place for place, spec in enumerate(model.outputs)}
    return tuple(sorted(found.values(), key=lambda each: (each.value not in fed, order[each.output])))


def _what_would_train(model: CheckedModel) -> str:
    """The way out of a model without a trainable weight."""
    packed = [node for node in model.nodes if node.op_type in PACKED]
    if packed:
        return (
            f"{label(packed[0])} ({packed[0].op_type}) packs its weights: send the model as it was before quantisation"
        )
    if any(is_float_dtype(model.weights[name].dtype.name) for name in model.weights):
        return "its tensors are constants of the graph, or frozen: name those that are parameters in options.train"
    return "the file holds no weights: where they are inputs of the graph, export them as initialisers"


def _trace(model: CheckedModel, output: str, value: str) -> Head:
    """Back from a value that is an output, or part of one that is a sequence."""
    stripped: list[str] = []
    link, axis, before_layout = Link.IDENTITY, None, ""
    while (node := model.producers.get(value)) is not None:
        if link is Link.IDENTITY and node.op_type in LINKS:
            link, axis = LINKS[node.op_type], _class_axis(model, node)
        elif link is Link.IDENTITY and _is_log_of_softmax(model, node):
            stripped.append(node.op_type)
            node = model.producers[node.input[0]]
            link, axis = Link.LOG_SOFTMAX, _class_axis(model, node)
        elif link is Link.IDENTITY and (second := _second_of_two(model, node)):
            stripped.append(node.op_type)
            value = second
            continue
        elif link is Link.IDENTITY and (whole := chosen_from(model, value)):
            stripped.append(CHOICE)
            value = whole
            continue
        elif link is Link.IDENTITY and (score := _compared(model, node)):
            stripped.append(node.op_type)
            value = score
            continue
        elif link is Link.IDENTITY and (laid_out := _sigmoid_behind(model, value)):
            stripped.append(node.op_type)
            value = before_layout = laid_out
            continue
        elif (
            node.op_type not in STEP_BACK
            or (link is not Link.IDENTITY and not model.is_float(value))
            or (link is not Link.IDENTITY and node.op_type not in {"Identity", "Dropout"})
        ):
            break
        stripped.append(node.op_type)
        value = node.input[0]
    return Head(output, value, link, axis, tuple(stripped), before_layout=before_layout)


def _rounded(model: CheckedModel, output: str, value: str, learning: set[str], trainable: frozenset[str]) -> Head:
    """The head of an output of whole numbers: what has a gradient in front of the rounding, its limits and its unit.

    z -- Mul 255 -- Clip 0 .. 255 -- Round -- Cast uint8 -- Transpose -- y      z is the value
    z -- Round -- Mul -- y                                                      goes on computing: none
    """
    stripped: list[str] = []
    while (node := model.producers.get(value)) is not None:
        into = node.input[0] if value not in learning and node.op_type in ROUNDED else ""
        if value in learning and stripped:
            into = node.input[0] if node.op_type == "Clip" else _in_unit(model, node, trainable)
        if not into:
            break
        stripped.append(node.op_type)
        value = into
    head = _trace(model, output, value)
    converted = value in learning and not KEEPING_UNIT.issuperset(stripped)
    return replace(head, stripped=(*stripped, *head.stripped), converted=converted)


def _in_unit(model: CheckedModel, node: NodeProto, trainable: frozenset[str]) -> str:
    """What a node brings into another unit by a constant, of all or of each channel of a picture; else nothing."""
    if node.op_type not in CHANGING_UNIT or model.opset() < BROADCASTING_SINCE:
        return ""
    constants = [name for name in node.input if name in model.weights and name not in trainable]
    computed = [name for name in node.input if name not in model.weights]
    few = all(model.weights[name].size <= MOST_CHANNELS for name in constants)
    is_inverse = node.op_type == "Div" and node.input[0] in constants
    return computed[0] if len(constants) == len(computed) == 1 and few and not is_inverse else ""


def _sigmoid_behind(model: CheckedModel, value: str) -> str:
    """What a sigmoid writes, where nothing but a new shape is between: yes and no of each sample, [N, 1] to [N]."""
    node = model.producers[value]
    if node.op_type not in KEEPING_ORDER:
        return ""
    before = walk_back(model, node.input[0], COPYING | KEEPING_ORDER)
    producer = model.producers.get(before)
    return before if producer is not None and producer.op_type == "Sigmoid" else ""


def _compared(model: CheckedModel, node: NodeProto) -> str:
    """What an answer of yes and no is made of, by a threshold that the file holds; else nothing."""
    if node.op_type not in COMPARING:
        return ""
    computed = [name for name in node.input if name not in model.weights]
    return computed[0] if len(computed) == 1 and model.is_float(computed[0]) else ""


def _is_log_of_softmax(model: CheckedModel, node: NodeProto) -> bool:
    before = model.producers.get(node.input[0]) if node.op_type == "Log" else None
    return before is not None and before.op_type == "Softmax"


def _second_of_two(model: CheckedModel, node: NodeProto) -> str:
    """The probability of the second of two classes where a Concat publishes both; else nothing.

    z -- Sigmoid -- p --+-- Concat
             1 -- Sub --+                   scikit-learn's binary classifiers
    """
    if node.op_type != "Concat" or len(node.input) != 2:
        return ""
    first, second = (model.producers.get(name) for name in node.input)
    if first is None or second is None or first.op_type != "Sub" or second.op_type != "Sigmoid":
        return ""
    one, taken_off = first.input
    holds_one = one in model.weights and model.weights[one].dtype.kind == "f" and bool((model.weights[one] == 1).all())
    return node.input[1] if holds_one and taken_off == node.input[1] else ""


def _class_axis(model: CheckedModel, node: NodeProto) -> int | None:
    if node.op_type == "Sigmoid":
        return None
    axes = [helper.get_attribute_value(attribute) for attribute in node.attribute if attribute.name == "axis"]
    default = -1 if model.opset() >= SOFTMAX_ANY_AXIS_SINCE else 1
    return int(axes[0]) if axes else default


def _depending(model: CheckedModel, sources: Sources, trainable: frozenset[str]) -> set[str]:
    """Values of the main graph that a trainable weight influences differentiably."""
    owners = {id(use.owner) for use in sources.uses if use.initializer in trainable}
    learning = {name for name, made_of in sources.of.items() if trainable.intersection(made_of)}
    for node in model.nodes:
        inputs = gradient_inputs(model, sources, node)
        if node.op_type in FLAT:
            continue
        if id(node) in owners or not learning.isdisjoint(inputs):
            learning.update(name for name in node.output if name and model.is_float(name))
    return learning


def _fed(model: CheckedModel) -> set[str]:
    """Values that depend on an input of the graph."""
    fed = {spec.name for spec in model.inputs}
    for node in model.nodes:
        if not fed.isdisjoint(node.input) or not fed.isdisjoint(captures(node)):
            fed.update(name for name in node.output if name)
    return fed


def _last(model: CheckedModel, learning: set[str]) -> str:
    """The last value that a gradient leaves, for whoever may make it an output."""
    others = learning.difference(spec.name for spec in model.outputs)
    tensors = {name for name, value in model.values.items() if value.type.HasField("tensor_type")}
    computed = [name for node in model.nodes for name in node.output if name in others & tensors]
    return f"{computed[-1]}, the last tensor that has a gradient," if computed else "the last floating-point tensor"


def _blockers(model: CheckedModel, sources: Sources, learning: set[str]) -> Iterator[NodeProto]:
    """Nodes that a learning value enters and none leaves."""
    for node in model.nodes:
        if not learning.isdisjoint(node.input) and learning.isdisjoint(node.output):
            yield node
