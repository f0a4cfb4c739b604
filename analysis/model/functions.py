"""Functions of a model that import another version of the operators than the model does: onnxruntime takes them.

Where every node of a function means the same in both versions, the function may as well import the model's.

    LeakyRelu of opset 6 in a model of 18      it only takes more types since: the same
    Softmax of opset 11 in a model of 13       without an axis it runs along another one: not the same
"""

from typing import Final

from onnx import ModelProto, NodeProto, defs

from analysis.errors import InvalidModel
from analysis.model.nodes import all_nodes

CHANGED: Final = frozenset({"BatchNormalization", "GroupNormalization", "PRelu", "RoiAlign", "Scatter", "Upsample"})
"""What computes something else in another version, although its inputs and attributes look the same."""


def align_imports(proto: ModelProto) -> None:
    """Have functions import what the model imports. Raises InvalidModel for a node that means something else there."""
    imported = {entry.domain: entry.version for entry in proto.opset_import}
    for function in proto.functions:
        for entry in function.opset_import:
            version = imported.setdefault(entry.domain, entry.version)
            for node in all_nodes(function.node):
                if node.domain == entry.domain and not _means_the_same(node, entry.version, version):
                    raise InvalidModel(
                        f"it imports opset {entry.version}, the model {version}, where {node.op_type} is another",
                        where=f"{function.domain}::{function.name}",
                        hint=f"write the function with the operators of opset {version}, or export without functions",
                    )
            entry.version = version


def _means_the_same(node: NodeProto, version: int, other: int) -> bool:
    """Whether a node of one version can be read as one of another: what is new there has a default, or is not used."""
    if version == other:
        return True
    known = [defs.has(node.op_type, each, node.domain) for each in (version, other)]
    if not all(known):
        return not any(known)  # no operator of onnx's, but one of the model's own
    old, new = (defs.get_schema(node.op_type, each, node.domain) for each in sorted((version, other)))
    if old.since_version == new.since_version:
        return True
    there = new if other > version else old
    fits = len(node.input) <= there.max_input and all(each.name in there.attributes for each in node.attribute)
    kept = old.min_input == new.min_input and all(_default(old, name) == _default(new, name) for name in old.attributes)
    return fits and kept and node.op_type not in CHANGED


def _default(schema: defs.OpSchema, name: str) -> object:
    attribute = schema.attributes.get(name)
    return attribute and (attribute.required, attribute.default_value.SerializeToString())
