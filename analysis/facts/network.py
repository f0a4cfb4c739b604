"""The network: its layers, its parameters, and what computed the numbers."""

from collections.abc import Mapping
from typing import Final

from analysis.facts.kinds import fact

MATRIX_ROLES: Final = frozenset({"weight", "recurrent_weight", "embedding"})
"""Roles whose tensors multiply; all others add, scale or start."""


def is_matrix(role: str) -> bool:
    """Whether a parameter of this role (perhaps numbered: `weight.2`) is a weight matrix or kernel."""
    return role.split(".", maxsplit=1)[0] in MATRIX_ROLES


LOOKS_TRAINED: Final = "weights look trained"
"""A note of `ModelFacts`."""


@fact
class ParameterInfo:
    """One trainable tensor of a layer."""

    initializer: str
    shape: tuple[int, ...]


@fact
class Layer:
    """A node that owns trainable weights, with the bias added behind it."""

    id: str
    """Stable within a model: `layer-01` in topological order."""
    name: str
    op: str
    depth: int
    """Layers on the longest path from an input up to and including this one."""
    on_trunk: bool
    """Whether every path from the inputs to the loss passes through its output."""
    activation: str | None = None
    """ONNX operator of the activation behind it; Relu6 for a Clip from 0, Gelu and Swish also where written out."""
    parameters: Mapping[str, ParameterInfo]
    """By role: weight, recurrent_weight, bias, scale, embedding, slope, initial_state, offset."""
    output: str
    """Value it writes, bias included."""
    pre_activation: str | None = None
    """Value that enters its activation: the output, perhaps normalised or added to a skip path."""
    activated: str | None = None
    """Value behind its activation."""


@fact
class ParameterCount:
    """Elements, ties counted once."""

    trainable: int
    frozen: int


@fact
class ValueFacts:
    """An input or output of the graph."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None = None
    """None for an open dimension; left out where even the rank is open."""


@fact
class ModelFacts:
    """The model as uploaded."""

    name: str
    sha256: str
    size_bytes: int
    producer: str
    opset: Mapping[str, int]
    nodes: int
    parameters: ParameterCount
    inputs: tuple[ValueFacts, ...]
    outputs: tuple[ValueFacts, ...]
    frozen: Mapping[str, str]
    """Initialisers that do not train, and why."""
    notes: tuple[str, ...]


@fact
class EngineFacts:
    """What computed the numbers."""

    version: str
    torch: str
    onnx: str
    onnxruntime: str
    device: str
    threads: int
    seed: int
    effort: str
    precision: str
    """float64 where gradients left the range of float32."""
    sandbox: Mapping[str, str]
