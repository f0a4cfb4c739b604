"""Weights that a batch of zeros leaves without a gradient: what they weigh is an input that is zero in every sample.

    state = 0 -- Gather -- MatMul (W_hh) -- Add -- gates     one step from a state of zeros
    x ------------------- MatMul (W_ih) ----+

dL/dW = x' dL/dy is exactly zero where x is, whatever the network; another batch, or a second step, feeds it more. Zeros
are followed through operators that make zeros of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from onnx import NodeProto

from analysis.facts import Layer, LayerStats
from analysis.graph.families import PASSING
from analysis.graph.layers import own_uses
from analysis.graph.slots import RECURRENT, data_inputs
from analysis.model.weights import Array
from analysis.subject.subject import Subject

KEEPING: Final = PASSING | {"Slice", "Split", "Gather", "Flatten", "Expand", "Tile", "Neg", "Relu", "LeakyRelu", "Tanh",
                            "Abs", "Sqrt", "Dropout"}  # fmt: skip
"""Zero in, zero out."""
MULTIPLYING: Final = frozenset({"Mul", "MatMul"})
"""Zero, where one factor is."""
JOINING: Final = frozenset({"Add", "Sub", "Concat", "Sum"})
"""Zero, where all of them are."""
FIRST: Final = 64
STATE: Final = 5
"""Where a recurrent operator reads its initial state."""


def told_what_is_fed_nothing(subject: Subject, stats: Sequence[LayerStats]) -> tuple[LayerStats, ...]:
    """Layers whose weights weigh zeros of the batch alone lead to no loss here, and say which input they come from."""
    zeros = _zeros(subject)
    if not zeros:
        return tuple(stats)
    told = []
    for layer, each in zip(subject.layers, stats, strict=True):
        source = _fed_by(subject, layer, zeros)
        told.append(_fed_nothing(each, source) if source else each)
    return tuple(told)


def _fed_nothing(stats: LayerStats, source: str) -> LayerStats:
    """Neither its gradient nor that it says the same of every sample says anything of the layer."""
    why = f"all that it weighs is {source}, which is zero in this batch"
    absent = {**stats.absent, "weight_gradient": why, "activation.collapse_log10": why}
    activation = None if stats.activation is None else replace(stats.activation, collapse_log10=None)
    return replace(stats, leads_to_loss=False, activation=activation, absent=absent)


def _is_zero(array: Array) -> bool:
    """Whether it holds zeros alone; of most its first numbers say that it does not."""
    return bool(array.size) and not np.any(array.reshape(-1)[:FIRST]) and not np.any(array)


def _zeros(subject: Subject) -> Mapping[str, str]:
    """Values that are zero because an input of the graph is -> that input."""
    arrays = subject.batch.inputs.items()
    zeros = {name: name for name, array in arrays if array.dtype.kind == "f" and _is_zero(array)}
    for node in subject.model.nodes if zeros else ():
        source = _source(node, zeros)
        if source:
            zeros.update(dict.fromkeys(filter(None, node.output), source))
    return zeros


def _source(node: NodeProto, zeros: Mapping[str, str]) -> str:
    """The input that makes zeros of all that a node writes, or nothing."""
    read = data_inputs(node)
    sources = [zeros[name] for name in read if name in zeros]
    if not sources:
        return ""
    every = node.op_type in JOINING and len(sources) == len(read)
    one = node.op_type in MULTIPLYING or (node.op_type in KEEPING and read[0] in zeros)
    return sources[0] if every or one else ""


def _fed_by(subject: Subject, layer: Layer, zeros: Mapping[str, str]) -> str:
    """The input whose zeros are all that the matrices of a layer weigh."""
    uses = [use for use in own_uses(subject.sources, layer) if use.role in {"weight", "recurrent_weight"}]
    fed = [_weighed(subject, use.node, use.role, zeros) for use in uses]
    return fed[0] if fed and all(fed) else ""


def _weighed(subject: Subject, node: NodeProto, role: str, zeros: Mapping[str, str]) -> str:
    if node.op_type in RECURRENT:
        return _only_step(subject, node, zeros) if role == "recurrent_weight" else zeros.get(node.input[0], "")
    data = list(_data(subject, node.input))
    return zeros[data[0]] if data and all(name in zeros for name in data) else ""


def _only_step(subject: Subject, node: NodeProto, zeros: Mapping[str, str]) -> str:
    """The zero state from which a recurrent operator takes a single step."""
    sizes = subject.model.shape(node.input[0])
    return zeros.get(node.input[STATE], "") if sizes and sizes[0] == 1 and len(node.input) > STATE else ""


def _data(subject: Subject, names: Iterable[str]) -> Iterable[str]:
    return (name for name in names if name and name not in subject.sources.of)
