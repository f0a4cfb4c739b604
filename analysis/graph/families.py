"""Operators by what they do to a signal, and the two walks through those that hand it on.

Sets that differ in an operator say why where they are made.
"""

from collections.abc import Callable, Container, Iterator
from typing import Final

from onnx import NodeProto

from analysis.model import CheckedModel

LINEAR: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "FusedMatMul"})
ACTIVATIONS: Final = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish", "Swish",
     "Tanh", "Softplus", "Softsign", "Mish", "ThresholdedRelu", "Clip", "Erf", "FastGelu", "BiasGelu", "QuickGelu"}
)  # fmt: skip
NORMALIZATIONS: Final = frozenset(
    {"BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization",
     "MeanVarianceNormalization", "LpNormalization", "LRN", "SimplifiedLayerNormalization", "SkipLayerNormalization",
     "SkipSimplifiedLayerNormalization", "EmbedLayerNormalization", "QEmbedLayerNormalization", "GroupNorm",
     "SkipGroupNorm"}
)  # fmt: skip
SUMS: Final = {"SkipLayerNormalization": 3, "SkipSimplifiedLayerNormalization": 3, "EmbedLayerNormalization": 2}
"""Fused normalisations that hand out, at this place, the sum that their first output is made of."""
COPYING: Final = frozenset({"Identity", "Cast"})
"""The same numbers."""
LAYING_OUT: Final = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze"})
"""The same numbers in another order or shape."""
PASSING: Final = COPYING | LAYING_OUT
"""What hands numbers on as they are."""
POOLING: Final = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"})
LOOKUPS: Final = frozenset({"Gather", "GatherND", "EmbedLayerNormalization", "QEmbedLayerNormalization"})
"""Operators that read rows of a table."""


def walk_back(model: CheckedModel, value: str, through: Container[str], until: Container[str] = ()) -> str:
    """The value that this one comes from, back through operators of a family along their first inputs.

    `until`: values at which the walk ends whoever writes them.
    """
    while value not in until:
        node = model.producers.get(value)
        if node is None or node.op_type not in through:
            break
        value = node.input[0]
    return value


def walk_ahead(
    model: CheckedModel,
    value: str,
    through: Container[str],
    most: int,
    passes: Callable[[NodeProto, str], bool] | None = None,
) -> Iterator[tuple[str, list[NodeProto]]]:
    """A value with its readers, then the same of what the first reader of a family makes of it, and so on.

    `most`: values that are looked at; `passes`: whether a node that reads a value is taken for one of the family.
    """
    for _ in range(most):
        readers = [use.node for use in model.consumers.get(value, ())]
        yield value, readers
        ahead = [node for node in readers if node.op_type in through or (passes and passes(node, value))]
        if not ahead:
            return
        value = ahead[0].output[0]
