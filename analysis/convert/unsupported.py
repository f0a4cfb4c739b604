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
from analysis.model.onnx_tools import RUNTIME_DOMAIN, is_runtime_own

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
_SEARCH: Final = (
    "searches for words one after the other, a choice without a gradient (its decoder is a model of its own)"
)
_COMPILED: Final = "was compiled for one device and holds no graph (send the model that it was compiled from)"
NEVER_OF_RUNTIME: Final = {
    **dict.fromkeys(("BeamSearch", "GreedySearch", "Sampling", "WhisperBeamSearch"), _SEARCH), "EPContext": _COMPILED,
}  # fmt: skip
TEXT: Final = "ai.onnx.contrib"
"""The domain of onnxruntime-extensions: tokenisers and readers of pictures and sound."""
WAYS_OUT: Final = {
    "org.pytorch.aten": "export again without the fallback to ATen (operator_export_type)",
    "aten": "export again without the fallback to ATen (operator_export_type)",
    "mmdeploy": "leave the post-processing out of the export: what is behind the last layer needs no gradient",
    "trt.plugins": "leave the post-processing out of the export: what is behind the last layer needs no gradient",
}
"""What to do about operators of a domain."""
PLAIN: Final = (
    "re-export with plain operators of opset 13 to 20, write an operator of your own as a function of the model, or "
    "cut the graph in front of it"
)
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
        hint = "cut the graph behind these nodes and send what they would write"
        raise NeverSupported(listed, where="graph", hint=hint)
    ways = (WAYS_OUT[domain] for domain in WAYS_OUT if f" {domain}::" in listed)
    raise UnsupportedOp(listed, where="graph", hint=next(ways, PLAIN))


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
    outside = _outside_the_standard(node, name)
    if outside:
        return outside
    if node.domain in STANDARD_DOMAINS:
        if node.op_type in NEVER or (node.op_type == "Constant" and _holds_strings(node)):
            return f"never: {name} works on {NEVER.get(node.op_type, 'strings')}, which carry no gradient"
        if not defs.has(node.op_type, version) and not is_runtime_own(node, version):
            return f"{name} is not in opset {version}"
    operator = operator_of(scope, node)
    if operator is not None:
        return _wrong_attributes(node, operator, f"{name} (opset {version})")
    return "" if node.op_type == "Constant" else _no_definition(scope, node, f"{name} (opset {version})")


def _outside_the_standard(node: NodeProto, name: str) -> str:
    """What is known of operators of other domains that are not converted."""
    if node.domain in OF_ONE_PROCESSOR:
        return f"{name} is laid out for one processor: let onnxruntime optimise to ORT_ENABLE_EXTENDED at most"
    if node.domain == TEXT:
        return f"never: {name} works on text or on files, which carry no gradient"
    if node.domain == RUNTIME_DOMAIN and node.op_type in NEVER_OF_RUNTIME:
        return f"never: {name} {NEVER_OF_RUNTIME[node.op_type]}"
    return _why_traditional(node, name) if node.domain == TRADITIONAL else ""


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
