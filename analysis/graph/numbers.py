"""Single numbers that train although nothing but their place says so: a temperature, a global bias, a gate of a branch.

    .. MatMul -- Mul (s) ------- Softmax -- output      s scales what the loss reads: it trains
    .. MatMul -- Add (b) ------- output                 so does b
    .. Conv ---- Mul (a) -- Add (x) -- ..               a opens a residual branch: it trains
    .. MatMul -- Mul (s) -- MatMul (k') -- Softmax      s scales the scores of an attention: it does not
    x -- Mul (s) -- Erf -- Add (1) -- Mul (x)           s belongs to an activation that was written out: it does not

What is called like a literal (eps, two, const_3) is one, and so is the factor of a loss, itself a single number.
"""

import re
from collections.abc import Callable
from typing import Final

from onnx import NodeProto

from analysis.graph.families import PASSING, walk_back
from analysis.graph.sources import Sources, Use
from analysis.model import CheckedModel

PLAIN_NAME: Final = re.compile(r"^[A-Za-z_]\w*$")
LITERAL_NAME: Final = re.compile(
    r"^(\w*eps(ilon)?|\w*const\w*|scalar\w*|zero|one|two|three|half|pi|inf|\w*sqrt\w*|[a-z]{0,2}\d+\w*|[a-z]|\w+_[xyz])$",
    re.IGNORECASE,
)
"""Names of numbers that are written out, in hand-made files and in TensorFlow's (`mul_y`)."""
LAYERS: Final = frozenset({"MatMul", "Gemm", "Conv", "Einsum", "Add", "BatchNormalization", "LayerNormalization"})
SCORES: Final = LAYERS | {"Div", "Sub", "ReduceSum", "ReduceMean", "ReduceSumSquare"}
"""What writes a value that a temperature or a global bias may stand behind."""
READING: Final = PASSING | {
    "Add", "Sub", "Neg", "Log", "LogSoftmax", "Mul", "Div", "NegativeLogLikelihoodLoss", "ReduceMean", "ReduceSum",
    "Sigmoid", "Softmax", "SoftmaxCrossEntropyLoss", "ArgMax", "TopK",
}  # fmt: skip
"""What may stand between the last layer and the outputs."""


def trains_by_place(model: CheckedModel, sources: Sources, name: str, use: Use) -> bool:
    """Whether a single number is a parameter, by where it stands."""
    if not PLAIN_NAME.match(name) or LITERAL_NAME.match(name):
        return False
    node = use.node
    if node is not use.owner or node.op_type not in {"Mul", "Div", "Add", "Sub"} or model.shape(node.output[0]) == ():
        return False
    data = next((value for value in node.input if value and value not in sources.of), "")
    writer = model.producers.get(walk_back(model, data, PASSING))
    if writer is None:
        return False
    only_read = writer.op_type in SCORES and _is_only_read(model, sources, node)
    return only_read or (writer.op_type in LAYERS and node.op_type == "Mul" and _opens_branch(model, sources, node))


def _is_only_read(model: CheckedModel, sources: Sources, node: NodeProto) -> bool:
    """Whether nothing behind it is a layer or part of an activation: every node up to the outputs reads scores."""

    def reads(follower: NodeProto) -> bool:
        multiplied = follower.op_type in {"Mul", "Div"} and all(each not in sources.of for each in follower.input)
        return follower.op_type in READING and not multiplied

    return _holds_behind(model, node, reads)


def _holds_behind(model: CheckedModel, node: NodeProto, holds: Callable[[NodeProto], bool]) -> bool:
    waiting, seen = [*node.output], set[int]()
    while waiting:
        for follower, _ in model.consumers.get(waiting.pop(), ()):
            if id(follower) in seen:
                continue
            if not holds(follower):
                return False
            seen.add(id(follower))
            waiting.extend(filter(None, follower.output))
    return True


def _opens_branch(model: CheckedModel, sources: Sources, node: NodeProto) -> bool:
    """Whether what it scales is added to other data and read by nothing else."""
    followers = [use.node for use in model.consumers.get(node.output[0], ())]
    return bool(followers) and all(
        follower.op_type == "Add" and all(each not in sources.of for each in follower.input) for follower in followers
    )
