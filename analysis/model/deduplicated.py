"""Parameters that torch's exporter stored once because they were equal, told apart by the modules that read them.

The scales (all 1) and biases (all 0) of a fresh network become one tensor; its current exporter leaves no Identity, but
says of every node in which module it stands (`pkg.torch.onnx.name_scopes`):

    a.norm.weight -- LayerNormalization    in a.norm
    a.norm.weight -- LayerNormalization    in b.norm: this one reads b.norm.weight

A module that is called twice is one scope, and its parameters are one. So they are where two modules share a tensor
whose elements are not all equal: that was no coincidence.
"""

import ast
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np
from onnx import ModelProto, NodeProto, helper

from analysis.errors import LimitExceeded
from analysis.model.checked import FLOATS
from analysis.model.weights import Array, Stored, Weights
from analysis.options import Limits

SCOPES: Final = "pkg.torch.onnx.name_scopes"
LARGEST: Final = 1 << 20
"""Elements of a tensor that is looked at: scales and biases are small."""


def separate_deduplicated(
    proto: ModelProto, entries: dict[str, Stored | Array], constants: AbstractSet[str], limits: Limits
) -> bool:
    """Give each module its own tensor again; whether there was any that had none."""
    scopes = [module_of(node) for node in proto.graph.node]
    if not any(scopes):
        return False
    read = _read_by(proto, scopes)
    flat = {name for name in entries if name not in constants and name in read and _is_flat(entries[name])}
    stored = {name: modules for name, modules in read.items() if name in entries and name not in flat}
    shared = _as_one(scopes, stored.values())
    made: dict[str, str] = {}
    spent = 0
    for node, scope in zip(proto.graph.node, scopes, strict=True):
        for place, name in enumerate(node.input):
            owner, _, leaf = name.rpartition(".")
            module, owning = shared.get(scope, scope), shared.get(owner, owner)
            if not scope or name not in flat or module == owning or owner not in read[name]:
                continue
            own = f"{module}.{leaf}"
            if made.setdefault(own, name) != name or (own in entries and own not in made):
                continue
            if own not in entries:
                array = Weights({name: entries[name]})[name]
                spent += array.nbytes
                if spent > limits.sparse_bytes:
                    raise LimitExceeded(f"equal tensors grow to more than {limits.sparse_bytes} bytes", where=name)
                entries[own] = np.array(array)
            node.input[place] = own
    return bool(made)


def module_of(node: NodeProto) -> str:
    """The module in which the exporter of torch says that a node stands; empty where it does not say."""
    written = next((each.value for each in node.metadata_props if each.key == SCOPES), "")
    try:
        scopes = ast.literal_eval(written) if written else []
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return ""
    names = scopes if isinstance(scopes, list) else []
    return names[-2] if len(names) > 1 and all(isinstance(each, str) for each in names) else ""


def _read_by(proto: ModelProto, scopes: Sequence[str]) -> dict[str, set[str]]:
    """Value -> the modules whose nodes read it."""
    read: dict[str, set[str]] = {}
    for node, scope in zip(proto.graph.node, scopes, strict=True):
        for name in filter(None, node.input):
            read.setdefault(name, set()).add(scope)
    return read


def _as_one(scopes: Sequence[str], sharing: Iterable[AbstractSet[str]]) -> dict[str, str]:
    """Module -> the first one that it shares a tensor with, directly or through others."""
    first = {scope: scope for scope in scopes if scope}
    order = {scope: place for place, scope in reversed(list(enumerate(scopes)))}
    for modules in sharing:
        heads = {first[module] for module in modules if module}
        if len(heads) > 1:
            head = min(heads, key=order.__getitem__)
            first = {module: head if known in heads else known for module, known in first.items()}
    return first


def _is_flat(entry: Stored | Array) -> bool:
    """Whether all elements are equal, as those of a fresh scale or bias are."""
    size = int(np.prod(entry.shape))
    if not 1 <= size <= LARGEST or helper.np_dtype_to_tensor_dtype(entry.dtype) not in FLOATS:
        return False
    array = Weights({"entry": entry})["entry"]
    return not np.any(array != array.flat[0])
