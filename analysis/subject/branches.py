"""The branch that a graph takes whatever the data are: it is the network, and its layers are looked at.

    rate (one integer) -- Equal (16000) -- If -- then: the network for 16 kHz
                                              -- else: the network for 8 kHz

What decides is the same for all samples: constants, sizes, or an input that holds one integer. An If that looks at the
data stays, and so does one whose branches hold no weights.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import torch
from onnx import NodeProto

from analysis.batch import Batch
from analysis.convert import DifferentiableModel
from analysis.convert.tensors import to_tensor
from analysis.convert.translate import read_graph, translate
from analysis.graph.linear_map import COUNTING
from analysis.graph.slots import is_float_dtype
from analysis.model import CheckedModel
from analysis.model.inlined import inline_branches
from analysis.model.nodes import captures, label
from analysis.model.weights import Array
from analysis.subject.reference import DRAWING

MOST_ROUNDS: Final = 16
"""Ifs within branches of Ifs."""


def take_branches(model: CheckedModel, converted: DifferentiableModel, batch: Batch) -> CheckedModel:
    """The model with these branches in place of their Ifs; the same object where there are none.

    Raises as a pass of the program does.
    """
    program = converted
    for _ in range(MOST_ROUNDS):
        settled = list(_settled(model, batch))
        taken = {name: first for name, first in _ways(program, batch) if name in settled} if settled else {}
        if not taken:
            break
        model = inline_branches(model, taken)
        program = translate(read_graph(model))
        program.interrupt = converted.interrupt
    return model


def told(before: CheckedModel, after: CheckedModel) -> list[str]:
    """Which Ifs of the graph are gone, in words."""
    left = {label(node) for node in after.nodes}
    gone = [label(node) for node in before.nodes if node.op_type == "If" and label(node) not in left]
    what = "sizes and constants decide, or an input that holds one integer"
    return [
        f"of {name} the branch that this batch takes was analysed ({what}), and variants hold it alone" for name in gone
    ]


def _settled(model: CheckedModel, batch: Batch) -> Iterator[str]:
    """Names of the Ifs of the main graph that hold weights and do not look at the data."""
    named = Counter(label(node) for node in model.nodes)
    for node in model.nodes:
        alone = node.op_type == "If" and named[label(node)] == 1
        if alone and _holds_weights(model, node) and _is_the_same_for_all(model, node.input[0], batch):
            yield label(node)


def _holds_weights(model: CheckedModel, node: NodeProto) -> bool:
    captured = [model.weights[name] for name in captures(node) & model.weights.keys()]
    return any(is_float_dtype(weight.dtype.name) and weight.size > 1 for weight in captured)


def _is_the_same_for_all(model: CheckedModel, value: str, batch: Batch) -> bool:
    """Whether a value is made of constants, sizes, and inputs that hold one integer."""
    seen, waiting = {value}, [value]
    while waiting:
        name = waiting.pop()
        node = model.producers.get(name)
        if node is None:
            if name in batch.inputs and not _is_one_integer(batch.inputs[name]):
                return False
            continue
        if node.op_type in DRAWING:
            return False
        read: Iterable[str] = () if node.op_type in COUNTING else {*node.input, *captures(node)}
        fresh = {each for each in read if each} - seen
        seen |= fresh
        waiting += fresh
    return True


def _is_one_integer(array: Array) -> bool:
    return array.size == 1 and array.dtype.kind in "iub"


def _ways(program: DifferentiableModel, batch: Batch) -> list[tuple[str, bool]]:
    """The way that every If goes, in a pass over the batch."""
    ways: list[tuple[str, bool]] = []
    device = next(iter(program.parameters())).device
    inputs = [to_tensor(np.asarray(array, order="C")).to(device) for array in batch.inputs.values()]
    with torch.no_grad(), program.watching_branches(lambda node, first: ways.append((node, first))):
        program.eval().observe(inputs, {})
    return ways
