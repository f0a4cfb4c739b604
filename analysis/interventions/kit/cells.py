"""Plain recurrent cells: what stands between their steps."""

from collections.abc import Mapping
from typing import Any, Final

from analysis.interventions.kit.surgery import Editor
from analysis.model import CheckedModel
from analysis.model.nodes import attributes_of

CELLS: Final = frozenset({"tanh", "relu"})


def with_cells(model: CheckedModel, activation: str) -> CheckedModel | None:
    """Every RNN operator with this activation, Tanh or Relu; None where there is none, or one with another."""
    nodes = [node for node in model.nodes if node.op_type == "RNN"]
    present = {name.lower() for node in nodes for name in _activations(attributes_of(node))}
    if not nodes or not present <= CELLS:
        return None
    if present == {activation.lower()}:
        return model
    editor = Editor(model)
    for node in nodes:
        both = attributes_of(node).get("direction", b"forward") == b"bidirectional"
        editor.set_attribute(node, "activations", [activation] * (2 if both else 1))
    return editor.finish()


def _activations(attributes: Mapping[str, Any]) -> list[str]:
    given = attributes.get("activations") or [b"Tanh"]
    return [each.decode() if isinstance(each, bytes) else str(each) for each in given]
