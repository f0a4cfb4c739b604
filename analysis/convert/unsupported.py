"""Every node that cannot be converted, in one error."""

from collections.abc import Iterable
from typing import Final

from onnx import NodeProto, defs

from analysis.convert.definitions import Scope, depends_on_types, expand
from analysis.convert.registry import Operator
from analysis.convert.scopes import operator_of, scope_inside
from analysis.errors import NeverSupported, UnsupportedOp
from analysis.model import CheckedModel
from analysis.model.nodes import STANDARD_DOMAINS, bodies, label
from analysis.model.onnx_tools import is_runtime_own

IGNORED: Final = frozenset({"consumed_inputs"})
"""Attributes of opset 1 that told an allocator something."""
NEVER: Final = {
    "StringNormalizer": "strings", "StringConcat": "strings", "StringSplit": "strings", "RegexFullMatch": "strings",
    "ImageDecoder": "compressed images",
}  # fmt: skip
TRADITIONAL: Final = "ai.onnx.ml"
_TREES: Final = "decides by thresholds: a tree is a step function, whose gradient is zero, and no tree is trained by it"
_NAMES: Final = "works on strings or maps, which carry no gradient"
NEVER_TRADITIONAL: Final = {
    "TreeEnsembleClassifier": _TREES, "TreeEnsembleRegressor": _TREES, "TreeEnsemble": _TREES,
    "CategoryMapper": _NAMES, "DictVectorizer": _NAMES, "CastMap": _NAMES, "ZipMap": _NAMES,
}  # fmt: skip
OF_ONE_PROCESSOR: Final = frozenset({"com.microsoft.nchwc", "com.ms.internal.nhwc"})
"""Domains of onnxruntime's last level of optimisation."""


# ------------------------------------------------------------------ what cannot be converted


def refuse_unsupported(model: CheckedModel, scope: Scope) -> None:
    """All nodes without a conversion, in one error."""
    nodes: dict[str, list[str]] = {}
    for where, reason in _problems(scope, model.nodes):
        nodes.setdefault(reason, []).append(where)
    if not nodes:
        return
    listed = "; ".join(f"{reason}, at {', '.join(found)}" for reason, found in nodes.items())
    if any(reason.startswith("never") for reason in nodes):
        raise NeverSupported(listed, where="graph", hint="cut the graph behind these nodes and send floats")
    raise UnsupportedOp(
        listed, where="graph", hint="re-export with plain operators of opset 13 to 20, or simplify the graph"
    )


def _problems(scope: Scope, nodes: Iterable[NodeProto]) -> Iterable[tuple[str, str]]:
    for node in nodes:
        reason = _why_unsupported(scope, node)
        if reason:
            yield label(node), reason
        for body in bodies(node):
            yield from _problems(scope_inside(scope, body, scope.opsets), body.node)


def _why_unsupported(scope: Scope, node: NodeProto) -> str:
    name = node.op_type if node.domain in STANDARD_DOMAINS else f"{node.domain}::{node.op_type}"
    version = scope.version(node.domain)
    if node.domain in OF_ONE_PROCESSOR:
        return f"{name} is laid out for one processor: let onnxruntime optimise to ORT_ENABLE_EXTENDED at most"
    if node.domain == TRADITIONAL:
        return _why_traditional(node, name)
    if node.domain in STANDARD_DOMAINS:
        if node.op_type in NEVER or (node.op_type == "Constant" and _holds_strings(node)):
            return f"never: {name} works on {NEVER.get(node.op_type, 'strings')}, which carry no gradient"
        if not defs.has(node.op_type, version) and not is_runtime_own(node, version):
            return f"{name} is not in opset {version}"
    operator = operator_of(scope, node)
    if operator is not None:
        return _wrong_attributes(node, operator, f"{name} (opset {version})")
    return "" if node.op_type == "Constant" else _no_definition(scope, node, f"{name} (opset {version})")


def _why_traditional(node: NodeProto, name: str) -> str:
    """Why a node of ai.onnx.ml was not rewritten when the model was read."""
    if node.op_type in NEVER_TRADITIONAL:
        return f"never: {name} {NEVER_TRADITIONAL[node.op_type]}"
    if any(attribute.strings or attribute.t.string_data for attribute in node.attribute):
        return f"never: {name} {_NAMES}"
    if any(attribute.name == "prob_a" for attribute in node.attribute):
        return f"{name} finds calibrated probabilities by iteration: export it without (probability=False)"
    return f"operator {name} has no conversion yet with these attributes"


def _holds_strings(constant: NodeProto) -> bool:
    return any("string" in attribute.name or attribute.t.string_data for attribute in constant.attribute)


def _no_definition(scope: Scope, node: NodeProto, name: str) -> str:
    """Why ONNX's own definition cannot stand in for a conversion."""
    reason = f"operator {name} has no conversion yet"
    expansion = expand(node, scope)
    if expansion is None:
        unknown = [value for value in node.input if value and scope.type_of(value) is None]
        if depends_on_types(node, scope) and unknown:
            return f"{reason}: its definition depends on the types of {', '.join(unknown)}, which are unknown"
        return reason
    within = scope_inside(scope, expansion.graph, expansion.opsets)
    inside = next((reason for _, reason in _problems(within, expansion.graph.node)), "")
    return f"{reason}: inside, {inside}" if inside else ""


def _wrong_attributes(node: NodeProto, operator: Operator, name: str) -> str:
    given = {attribute.name for attribute in node.attribute}
    unknown = given - operator.attributes.keys() - IGNORED
    if unknown:
        return f"attribute {', '.join(sorted(unknown))} of {name} has no conversion yet"
    missing = operator.required - given
    return f"{name} lacks its attribute {', '.join(sorted(missing))}" if missing else ""
