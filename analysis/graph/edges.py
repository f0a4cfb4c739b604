"""Values on an edge: numbers from which a graph makes whole ones, where a rounding may decide.

    scores -- ArgMax -- label                     two scores that differ by a rounding: another label
    pixel -- Cast (uint8) -- y                    126.99999 becomes 126, 127.00001 becomes 127
    scores -- TopK -- indices -- Gather -- y      another row altogether

Two right computations of the same graph may differ there by any amount. Given the same numbers at the edge, they agree.
"""

from collections.abc import Iterator
from typing import Final

from onnx import NodeProto

from analysis.graph.slots import data_inputs
from analysis.model import CheckedModel

STEPS: Final = frozenset({"Floor", "Ceil", "Round", "Sign", "QuantizeLinear", "TopK", "Hardmax"})
"""Floats come out, and jump where what comes in passes an edge."""
SIZES: Final = frozenset({"Shape", "Size"})
"""What they write does not depend on the numbers."""


def edge_values(model: CheckedModel) -> tuple[str, ...]:
    """Floats that are computed and that some node makes whole numbers or steps of, in topological order."""
    found = dict.fromkeys(
        name for node in model.nodes if node.op_type not in SIZES for name in _read_at_edges(model, node)
    )
    order = {name: place for place, name in enumerate(model.producers)}
    return tuple(sorted(found, key=lambda name: order[name]))


def _read_at_edges(model: CheckedModel, node: NodeProto) -> Iterator[str]:
    whole = any(name and not model.is_float(name) for name in node.output)
    if whole or node.op_type in STEPS:
        yield from (name for name in data_inputs(node) if name in model.producers and model.is_float(name))
