"""Bodies of operators, run by onnx's own reference implementation beside the operator itself."""

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import TensorProto, TypeProto, ValueInfoProto, defs, helper, parser
from onnx.reference import ReferenceEvaluator

from analysis.convert.definitions import Expansion, Scope, depends_on_types, enter, expand

FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, None)


def scope(opset: int = 20, types: Mapping[str, TypeProto] | None = None) -> Scope:
    """A graph in which every value is a float tensor, or those that are given are what they are."""
    return Scope({"": opset}, (lambda _: FLOATS) if types is None else types.get)


def ran(nodes: list[onnx.NodeProto], names: list[str], outputs: list[str], opsets: Mapping[str, int],
        feeds: list[np.ndarray]) -> list[np.ndarray]:  # fmt: skip
    inputs = [ValueInfoProto(name=name, type=FLOATS) for name in names]
    graph = helper.make_graph(nodes, "test", inputs, [ValueInfoProto(name=name, type=FLOATS) for name in outputs])
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    return ReferenceEvaluator(model).run(None, dict(zip(names, feeds, strict=True)))


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def assert_same(node: onnx.NodeProto, feeds: list[np.ndarray], opset: int = 20) -> Expansion:
    """The body computes what the operator does."""
    body = expand(node, scope(opset))
    assert body is not None
    present = [name for name in node.input if name]
    expected = ran([node], present, list(node.output), {"": opset}, feeds)
    given = [each.name for each, name in zip(body.graph.input, node.input, strict=False) if name]
    names = [value.name for value in body.graph.output]
    found = ran(list(body.graph.node), given, names, body.opsets, feeds)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    return body


@pytest.mark.parametrize(
    ("node", "shapes"),
    [
        (helper.make_node("Softmax", ["x"], ["y"], axis=1), [(2, 3, 4)]),
        (helper.make_node("Softmax", ["x"], ["y"]), [(2, 3, 4)]),  # the default: the last axis
        (helper.make_node("Gelu", ["x"], ["y"], approximate="tanh"), [(3, 4)]),
        (helper.make_node("Gelu", ["x"], ["y"]), [(3, 4)]),
        (helper.make_node("Elu", ["x"], ["y"], alpha=0.3), [(3, 4)]),
        (helper.make_node("HardSwish", ["x"], ["y"]), [(3, 4)]),
        (helper.make_node("LayerNormalization", ["x", "g"], ["y"], epsilon=0.1), [(2, 3, 4), (4,)]),
        (helper.make_node("LayerNormalization", ["x", "g", "b"], ["y"], axis=-2), [(2, 3, 4), (3, 4), (3, 4)]),
        (helper.make_node("MeanVarianceNormalization", ["x"], ["y"], axes=[0, 2]), [(2, 3, 4)]),
        (helper.make_node("Clip", ["x", "", "h"], ["y"]), [(3, 4), ()]),
    ],
    ids=lambda value: value.op_type if isinstance(value, onnx.NodeProto) else "",
)  # fmt: skip
def test_a_body_computes_what_its_operator_does(node: onnx.NodeProto, shapes: list[tuple[int, ...]]) -> None:
    assert_same(node, [drawn(*shape, seed=place) for place, shape in enumerate(shapes)])


@pytest.mark.parametrize("opset", [13, 17, 18])
def test_a_body_is_written_in_a_version_that_it_tells(opset: int) -> None:
    """ReduceMax and ReduceSum take their axes otherwise since 18 and 13."""
    body = assert_same(helper.make_node("LogSoftmax", ["x"], ["y"], axis=1), [drawn(2, 3)], opset)
    assert body.opsets[""] <= opset


def test_an_operator_without_a_body_has_none() -> None:
    assert expand(helper.make_node("Conv", ["x", "w"], ["y"]), scope()) is None
    assert expand(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"), scope()) is None
    assert expand(helper.make_node("NoSuchOperator", ["x"], ["y"]), scope()) is None


def test_a_body_that_depends_on_types_waits_for_them() -> None:
    node = helper.make_node("Softmax", ["x"], ["y"])
    schema = defs.get_schema("Softmax", 20)
    assert schema.has_context_dependent_function
    assert depends_on_types(node, scope())
    assert expand(node, scope(types={})) is None
    assert expand(node, scope(types={"x": FLOATS})) is not None
    assert not depends_on_types(helper.make_node("Conv", ["x", "w"], ["y"]), scope())


def test_inputs_and_outputs_of_a_body_keep_the_order_of_the_node() -> None:
    body = expand(helper.make_node("LayerNormalization", ["a", "b", "c"], ["y", "mean"]), scope())
    assert body is not None
    schema = defs.get_schema("LayerNormalization", 20)
    assert [value.name for value in body.graph.input] == [each.name for each in schema.inputs]
    assert [value.name for value in body.graph.output] == ["Y", "Mean"]


def test_what_the_caller_omits_is_omitted_inside() -> None:
    body = expand(helper.make_node("Clip", ["x", "", "h"], ["y"]), scope())
    assert body is not None
    read = {name for node in body.graph.node for name in node.input}
    assert "min" not in read
    assert "max" in read


@pytest.mark.parametrize(("domain", "version"), [("", 17), ("ai.onnx", 17), ("com.microsoft", 1), ("elsewhere", 1)])
def test_the_two_names_of_the_standard_mean_one_version(domain: str, version: int) -> None:
    for name in ("", "ai.onnx"):
        assert Scope({name: 17, "com.microsoft": 1}, lambda _: None).version(domain) == version


def body() -> onnx.GraphProto:
    nodes = "again = Identity(go) h = Add(x, outer) out = Cast<to = 1>(h)"
    return parser.parse_graph(f"body (int64 i, bool go) => (bool again, float[2] out) {{ {nodes} }}")


def kind(value: TypeProto | None) -> int | None:
    return None if value is None else value.tensor_type.elem_type


def test_names_of_a_body_hide_those_outside_and_others_are_seen_through() -> None:
    doubles = helper.make_tensor_type_proto(TensorProto.DOUBLE, [2])
    outside = scope(types={"i": FLOATS, "h": FLOATS, "x": doubles, "outer": doubles})
    inside = enter(outside, body(), {"": 20}, infer=False)
    assert kind(inside.type_of("i")) == TensorProto.INT64
    assert kind(inside.type_of("outer")) == TensorProto.DOUBLE
    assert inside.type_of("h") is None  # written inside, and not known without inference
    assert kind(inside.type_of("out")) == TensorProto.FLOAT
    assert inside.type_of("nowhere") is None


def test_types_inside_follow_from_what_a_body_captures() -> None:
    doubles = helper.make_tensor_type_proto(TensorProto.DOUBLE, [2])
    inside = enter(scope(types={"h": FLOATS, "x": doubles, "outer": doubles}), body(), {"": 20}, infer=True)
    assert kind(inside.type_of("h")) == TensorProto.DOUBLE
    assert kind(inside.type_of("again")) == TensorProto.BOOL


def test_a_body_that_contradicts_itself_keeps_what_it_declares() -> None:
    wrong = parser.parse_graph("body (float[2] a, int64[3] b) => (float[2] out) { out = Add(a, b) }")
    inside = enter(scope(), wrong, {"": 20}, infer=True)
    assert kind(inside.type_of("a")) == TensorProto.FLOAT
    assert kind(inside.type_of("b")) == TensorProto.INT64
