import hashlib
import io
import json
import pickle
import time
import zipfile
from contextlib import suppress
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, defs, helper, numpy_helper, parser
from torch import nn

from analysis.convert import convert
from analysis.convert.registry import lookup
from analysis.errors import AnalysisError, InvalidModel, LimitExceeded, MissingExternalData, NotOnnx, UnsupportedOp
from analysis.model import CheckedModel, check_model
from analysis.model.checked import ValueSpec
from analysis.model.nodes import bodies, captures, label
from analysis.model.onnx_tools import RUNTIME_OWN
from analysis.options import Limits
from tests.gallery import export

RANDOM = np.random.default_rng(20261123)
HEAD = '<ir_version: 10, opset_import: ["": 20, "own": 1]>'
RELU = f"{HEAD} net (float[N,4] x) => (float[N,4] y) {{ y = Relu(x) }}"
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def checked(text: str, limits: Limits | None = None) -> CheckedModel:
    return check_model(parser.parse_model(text).SerializeToString(), limits or Limits())


def value(name: str, element: int = FLOAT, shape=None):
    return helper.make_tensor_value_info(name, element, shape)


def model(nodes: list[NodeProto], functions: list[FunctionProto] | None = None, **initializers) -> ModelProto:
    """Nodes between a float input `x` and a float output `y`."""
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in initializers.items()]
    graph = helper.make_graph(nodes, "net", [value("x", FLOAT, ["N", 4])], [value("y")], tensors)
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10, functions=functions or [])


def body(nodes: list[NodeProto], output: str, **initializers) -> GraphProto:
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in initializers.items()]
    return helper.make_graph(nodes, "body", [], [value(output)], tensors)


def node(op: str, inputs: str, outputs: str, **attributes) -> NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def branch(then: GraphProto, otherwise: GraphProto, output: str = "y") -> NodeProto:
    return node("If", "b", output, then_branch=then, else_branch=otherwise)


def function(name: str, nodes: list[NodeProto], overload: str = "") -> FunctionProto:
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    made = helper.make_function("own", name, ["a"], ["b"], nodes, imports)
    made.overload = overload
    return made


def call(name: str, inputs: str = "a", outputs: str = "b", overload: str = "") -> NodeProto:
    made = node(name, inputs, outputs, domain="own")
    made.overload = overload
    return made


def agrees_with_onnxruntime(proto: ModelProto) -> bool:
    """Whether the checked model computes what the original does, as far as conversion can tell."""
    array = RANDOM.standard_normal((3, 4)).astype(np.float32)
    wanted = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": array})
    got = convert(check_model(proto.SerializeToString()))(torch.from_numpy(array))
    return all(np.allclose(a.detach().numpy(), b, atol=1e-6) for a, b in zip(got, wanted, strict=True))


# ------------------------------------------------------------------ what is no model


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("data.pkl", b"x" * 100)
    return content.getvalue()


def saved_array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.zeros((3, 4)))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"", "send the bytes"),
        (zipped(), "zip or torch file"),
        (saved_array(), "numpy array"),
        (json.dumps({"inputs": []}).encode(), "JSON"),
        (pickle.dumps({"weight": 1}), "pickle"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 64, "HDF5"),
        (b"This is a text file about networks.\n" * 20, "send the bytes"),
        (b"\0" * 64, "send the bytes"),
        (RELU.encode(), "send the bytes"),
    ],
    ids=["empty", "zip", "npy", "json", "pickle", "hdf5", "text", "zeros", "onnx text"],
)
def test_what_is_no_model_is_refused_with_a_guess(content: bytes, hint: str) -> None:
    with pytest.raises(NotOnnx) as caught:
        check_model(content)
    assert hint in caught.value.hint


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_random_bytes_are_refused_as_no_model(content: bytes) -> None:
    with pytest.raises((NotOnnx, InvalidModel)):
        check_model(content)


@pytest.mark.parametrize(
    "proto", [ModelProto(), ModelProto(ir_version=8), ModelProto(graph=GraphProto(name="g"))], ids=str
)
def test_a_model_without_graph_or_version_is_refused(proto: ModelProto) -> None:
    with pytest.raises(NotOnnx):
        check_model(proto.SerializeToString())


def test_a_file_that_is_not_there_or_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.onnx", tmp_path):
        with pytest.raises(NotOnnx) as caught:
            check_model(path)
        assert caught.value.where == str(path)


def everything() -> bytes:
    """A model that goes through every part of check_model."""
    then = body([node("Constant", "", "k1", value_int=1), node("Neg", "z", "q")], "q")
    linear = [
        node("Constant", "", "k", value_floats=[1.0] * 4),
        node("Add", "x k", "xk"),
        node("MatMul", "xk W", "z"),
        branch(then, body([node("Relu", "z", "w")], "w"), "i"),
        call("f", "i", "y"),
    ]
    proto = model(linear, [function("f", [node("Relu", "a", "b")])], W=np.ones((4, 4), np.float32), b=True)
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    indices = numpy_helper.from_array(np.array([3]))
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2, 4]))
    return proto.SerializeToString()


EVERYTHING = everything()


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(EVERYTHING) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_damaged_model_is_read_or_refused_and_nothing_else(damage: list[tuple[int, int]]) -> None:
    content = bytearray(EVERYTHING)
    for place, byte in damage:
        content[place] = byte
    with suppress(AnalysisError):
        found = check_model(bytes(content))
        assert found.values
        convert(found)


def test_a_model_cut_short_anywhere_is_refused() -> None:
    check_model(EVERYTHING)
    for end in range(0, len(EVERYTHING) - 1, 3):
        with pytest.raises((NotOnnx, InvalidModel)):
            check_model(EVERYTHING[:end])


@pytest.mark.parametrize("place", ["the node", "x", "xk", "MatMul"])
def test_names_that_are_not_text_are_refused(place: str) -> None:
    proto = model([node("Relu", "x", "xk", name="the node"), node("MatMul", "xk x", "y")])
    wrong = b"\xff" * len(place)
    content = proto.SerializeToString().replace(place.encode(), wrong)
    with pytest.raises(InvalidModel, match="UTF-8"):
        check_model(content)


# ------------------------------------------------------------------ what the specification forbids


@pytest.mark.parametrize(
    ("graph", "complaint"),
    [
        ("(float[N,4] x) => (float[N,4] y) { a = Relu(b) b = Relu(a) y = Add(x, a) }", "cycle"),
        ("(float[N,4] x) => (float[N,4] y) { y = Relu(nowhere) }", "nowhere"),
        ("(float[N,4] x) => (float[N,4] y) { y = Relu(x) y = Neg(x) }", "single static assignment"),
        ("(float[N,4] x) => (float[N,4] y) { y = NoSuchOperator(x) }", "NoSuchOperator"),
        ("(float[N,4] x) => (float[N,4] y) { y = Relu<slope: int = 1>(x) }", "slope"),
        ("(float[N,4] x) => (float[N,4] y) { y = Relu(x, x) }", "input size"),
    ],
    ids=["cycle", "undefined value", "written twice", "unknown operator", "unknown attribute", "too many inputs"],
)
def test_what_the_checker_refuses_is_invalid(graph: str, complaint: str) -> None:
    with pytest.raises(InvalidModel, match=complaint) as caught:
        checked(f"{HEAD} net {graph}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("first", ["initializer", "sparse", "constant"])
@pytest.mark.parametrize("second", ["initializer", "sparse", "constant"])
def test_two_tensors_of_one_name_are_refused(first: str, second: str) -> None:
    proto = model([node("Add", "x w", "y")])
    for kind in (first, second):
        tensor = numpy_helper.from_array(np.ones(4, np.float32), "w")
        if kind == "initializer":
            proto.graph.initializer.append(tensor)
        elif kind == "sparse":
            indices = numpy_helper.from_array(np.arange(4))
            proto.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, indices, [4]))
        else:
            proto.graph.node.insert(0, node("Constant", "", "w", value=tensor))
    with pytest.raises(InvalidModel) as caught:
        check_model(proto.SerializeToString())
    assert caught.value.where == "w"


def test_a_constant_may_not_overwrite_an_input() -> None:
    with pytest.raises(InvalidModel) as caught:
        check_model(model([node("Constant", "", "x", value_float=1.0), node("Relu", "x", "y")]).SerializeToString())
    assert caught.value.where == "x"


@pytest.mark.parametrize(
    "constant",
    [
        node("Constant", "", "c"),
        node("Constant", "", "", value_float=1.0),
        node("Constant", "", "c", value_float=1.0, value_int=1),
        node("Constant", "", "c", value_color=1),
        node("Constant", "", "c", value_floats=["a"]),
        node("Constant", "", "c", value=1),
        node("Constant", "", "c", value_float=numpy_helper.from_array(np.ones(3))),
    ],
    ids=range(7),
)
def test_an_impossible_constant_is_refused(constant: NodeProto) -> None:
    with pytest.raises(InvalidModel):
        check_model(model([constant, node("Relu", "x", "y")]).SerializeToString())


def test_a_tensor_without_a_name_is_refused() -> None:
    proto = model([node("Relu", "x", "y")])
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32)))
    with pytest.raises(InvalidModel):
        check_model(proto.SerializeToString())


def test_an_opset_newer_than_installed_is_not_supported_yet() -> None:
    newest = defs.onnx_opset_version()
    with pytest.raises(UnsupportedOp, match=str(newest + 1)) as caught:
        checked(RELU.replace('"": 20', f'"": {newest + 1}'))
    assert f"opset_version={newest}" in caught.value.hint


def test_types_that_contradict_each_other_do_not_break_anything() -> None:
    found = checked(f"{HEAD} net (float[N,4] x) => (float[N,4] y) {{ y = Shape(x) }}")
    with suppress(InvalidModel):
        assert found.values


# ------------------------------------------------------------------ limits


def chain(length: int, prefix: str = "r", start: str = "x", end: str = "y") -> list[NodeProto]:
    names = [start, *(f"{prefix}{n}" for n in range(length - 1)), end]
    return [node("Relu", names[n], names[n + 1]) for n in range(length)]


def test_the_size_limit_holds_exactly() -> None:
    content = parser.parse_model(RELU).SerializeToString()
    check_model(content, Limits(model_bytes=len(content)))
    with pytest.raises(LimitExceeded, match=str(len(content))):
        check_model(content, Limits(model_bytes=len(content) - 1))


def test_the_node_limit_holds_exactly() -> None:
    content = model(chain(50)).SerializeToString()
    assert len(check_model(content, Limits(nodes=50)).nodes) == 50
    with pytest.raises(LimitExceeded, match="50 nodes"):
        check_model(content, Limits(nodes=49))


def test_nodes_of_bodies_count_too() -> None:
    then, otherwise = body(chain(30, "t", end="o1"), "o1"), body([node("Neg", "x", "o2")], "o2")
    content = model([branch(then, otherwise)], b=True).SerializeToString()
    check_model(content, Limits(nodes=32))
    with pytest.raises(LimitExceeded, match="32 nodes"):
        check_model(content, Limits(nodes=31))


def test_nodes_count_after_functions_are_expanded() -> None:
    functions = [function("f", chain(10, start="a", end="b"))]
    content = model([call("f", "x", "m"), call("f", "m", "y")], functions).SerializeToString()
    assert len(check_model(content, Limits(nodes=20)).nodes) == 20
    with pytest.raises(LimitExceeded, match="20 nodes"):
        check_model(content, Limits(nodes=19))


def test_the_tensor_limit_holds_exactly() -> None:
    then = body([node("Constant", "", "c", value_float=1.0), node("Add", "x c", "t")], "t")
    otherwise = body([node("Add", "x w", "e")], "e", w=np.ones(4, np.float32))
    content = model([branch(then, otherwise)], b=True).SerializeToString()
    assert len(check_model(content, Limits(tensors=3)).weights) == 3
    with pytest.raises(LimitExceeded, match="2 tensors"):
        check_model(content, Limits(tensors=2))


def nested(depth: int) -> ModelProto:
    inner = [node("Relu", "x", "v0")]
    for level in range(1, depth + 1):
        then = body(inner, f"v{level - 1}")
        inner = [branch(then, body([node("Neg", "x", f"e{level}")], f"e{level}"), f"v{level}")]
    return model([*inner, node("Identity", f"v{depth}", "y")], b=True)


def test_the_nesting_limit_holds_exactly() -> None:
    content = nested(5).SerializeToString()
    check_model(content, Limits(nesting=5))
    with pytest.raises(LimitExceeded, match="nested"):
        check_model(content, Limits(nesting=4))


def bomb(levels: int, *, overloaded: bool) -> ModelProto:
    """Each function calls the one before it twice."""
    functions = [function("f" if overloaded else "f0", [node("Relu", "a", "b")], "0" if overloaded else "")]
    for level in range(1, levels):
        before = ("f", str(level - 1)) if overloaded else (f"f{level - 1}", "")
        nodes = [call(before[0], "a", "m", before[1]), call(before[0], "m", "b", before[1])]
        functions.append(function("f" if overloaded else f"f{level}", nodes, str(level) if overloaded else ""))
    functions.append(function("f", [node("Relu", "a", "b")], "harmless"))
    name, overload = ("f", str(levels - 1)) if overloaded else (f"f{levels - 1}", "")
    return model([call(name, "x", "y", overload)], functions)


@pytest.mark.parametrize("overloaded", [False, True])
def test_a_bomb_of_functions_is_refused_before_it_is_expanded(overloaded: bool) -> None:
    content = bomb(30, overloaded=overloaded).SerializeToString()
    started = time.perf_counter()
    with pytest.raises(LimitExceeded, match=str(2**29)):
        check_model(content)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("overloaded", [False, True])
def test_what_is_counted_is_what_is_expanded(overloaded: bool) -> None:
    found = check_model(bomb(6, overloaded=overloaded).SerializeToString(), Limits(nodes=32))
    assert len(found.nodes) == 32


@pytest.mark.parametrize("ring", [1, 2, 5])
def test_functions_that_call_themselves_are_invalid(ring: int) -> None:
    functions = [function(f"f{n}", [call(f"f{(n + 1) % ring}")]) for n in range(ring)]
    with pytest.raises(InvalidModel, match="calls itself"):
        check_model(model([call("f0", "x", "y")], functions).SerializeToString())


def test_a_function_that_calls_itself_from_a_body_is_invalid() -> None:
    inner = branch(body([call("f", "a", "t")], "t"), body([node("Neg", "a", "e")], "e"), "b")
    functions = [function("f", [node("Constant", "", "b0", value_int=1), inner])]
    with pytest.raises(InvalidModel, match="calls itself"):
        check_model(model([call("f", "x", "y")], functions).SerializeToString())


@pytest.mark.parametrize("levels", [60, 300, 3000])
@pytest.mark.parametrize("through", ["calls", "bodies"])
def test_functions_nested_without_end_are_refused(levels: int, through: str) -> None:
    functions = [function("f0", [node("Relu", "a", "b")])]
    for level in range(1, levels):
        before = f"f{level - 1}"
        inner = branch(body([call(before, "a", f"t{level}")], f"t{level}"), body([node("Neg", "a", "e")], "e"), "b")
        inner.input[0] = "k"
        condition = node("Constant", "", "k", value=numpy_helper.from_array(np.array(True)))
        nodes = [call(before)] if through == "calls" else [condition, inner]
        functions.append(function(f"f{level}", nodes))
    content = model([call(f"f{levels - 1}", "x", "y")], functions).SerializeToString()
    if (through, levels) == ("calls", 60):
        assert len(check_model(content).nodes) == 1
        return
    with pytest.raises((LimitExceeded, InvalidModel)):
        check_model(content)


# ------------------------------------------------------------------ what a checked model says


def test_inputs_and_outputs_are_what_the_graph_declares() -> None:
    found = checked(
        f"{HEAD} net (float[N,3,?] x, int64[2] ids, bool on, float16[] any, seq(float[2]) s) => (double[1] y, float z)"
        "{ y = Cast<to: int = 11>(any) z = Relu(x) }"
    )
    assert found.inputs == (
        ValueSpec("x", "float32", ("N", 3, None)),
        ValueSpec("ids", "int64", (2,)),
        ValueSpec("on", "bool", ()),
        ValueSpec("any", "float16", None),
        ValueSpec("s", "sequence", None),
    )
    assert found.outputs[0] == ValueSpec("y", "float64", (1,))


def test_a_dimension_of_zero_or_less_is_open() -> None:
    proto = model([node("Relu", "x", "y")])
    for size in (0, -1):
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size
        assert check_model(proto.SerializeToString()).inputs[0].shape == (None, 4)


def test_initializers_are_no_inputs_even_where_the_graph_lists_them() -> None:
    proto = model([node("MatMul", "x w", "y")], w=np.ones((4, 4), np.float32))
    proto.graph.input.append(value("w", FLOAT, [4, 4]))
    found = check_model(proto.SerializeToString())
    assert [spec.name for spec in found.inputs] == ["x"]
    assert list(found.weights) == ["w"]


def test_outputs_without_a_declared_shape_are_accepted() -> None:
    proto = model([node("Relu", "x", "y")])
    assert not proto.graph.output[0].type.tensor_type.HasField("shape")
    found = check_model(proto.SerializeToString())
    assert found.outputs == (ValueSpec("y", "float32", None),)
    assert not found.proto.graph.output[0].type.tensor_type.HasField("shape")


def test_a_model_knows_where_it_came_from(tmp_path: Path) -> None:
    content = parser.parse_model(RELU).SerializeToString()
    path = tmp_path / "tiny.onnx"
    path.write_bytes(content)
    sent, opened = check_model(content), check_model(path)
    assert sent.sha256 == opened.sha256 == hashlib.sha256(content).hexdigest()
    assert sent.size_bytes == opened.size_bytes == len(content)
    assert (sent.name, opened.name) == ("net", "tiny.onnx")
    assert (sent.source, opened.source) == (content, path)


def test_a_model_without_a_name_is_called_model() -> None:
    proto = parser.parse_model(RELU)
    proto.graph.name = "g"
    assert check_model(proto.SerializeToString()).name == "g"


def test_the_proto_holds_no_tensors_and_no_constants() -> None:
    found = check_model(EVERYTHING)
    assert not found.proto.graph.initializer
    assert not found.proto.graph.sparse_initializer
    assert not found.proto.functions
    assert [each.op_type for each in found.nodes] == ["Add", "MatMul", "If", "Relu"]
    assert set(found.weights) == {"k", "W", "k1", "b", "s"}


def test_checking_does_not_change_what_was_sent() -> None:
    content = bytes(EVERYTHING)
    check_model(content)
    assert hashlib.sha256(content).digest() == hashlib.sha256(everything()).digest()


def test_nodes_are_always_the_same_objects() -> None:
    found = checked(RELU)
    assert found.nodes[0] is found.nodes[0]
    assert found.producers["y"] is found.nodes[0]
    assert found.consumers["x"][0].node is found.nodes[0]


def test_producers_and_consumers_see_into_bodies() -> None:
    then = body([node("Mul", "h w", "t")], "t")
    otherwise = body([node("Neg", "h", "e")], "e")
    proto = model([node("Relu", "x", "h"), branch(then, otherwise)], b=True, w=np.ones(4, np.float32))
    found = check_model(proto.SerializeToString())
    relu, choice = found.nodes
    assert found.producers == {"h": relu, "y": choice}
    assert [(use.node, use.slot) for use in found.consumers["h"]] == [(choice, -1)]
    assert [(use.node, use.slot) for use in found.consumers["b"]] == [(choice, 0)]
    assert [(use.node, use.slot) for use in found.consumers["w"]] == [(choice, -1)]
    assert "t" not in found.producers


def test_captures_are_what_bodies_read_from_outside() -> None:
    inner = branch(body([node("Add", "p q", "r")], "r"), body([node("Neg", "t", "s")], "s"), "u")
    outer = branch(body([node("Relu", "x", "t"), inner], "u"), body([], "direct"))
    assert captures(outer) == {"x", "p", "q", "b", "direct"}
    assert len(list(bodies(outer))) == 2
    assert captures(node("Relu", "x", "y")) == set()


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (node("Relu", "x", "y", name="first"), "first"),
        (node("Relu", "x", "y"), "y"),
        (helper.make_node("Split", ["x"], ["", "z"]), "z"),
        (helper.make_node("Relu", ["x"], []), "Relu"),
    ],
)
def test_a_node_is_called_by_its_name_or_by_what_it_writes(made: NodeProto, wanted: str) -> None:
    assert label(made) == wanted


def test_types_and_shapes_are_inferred() -> None:
    found = checked(
        f"{HEAD} net (float[2,4] x, float[N,4] o) => (float y, int64 i)"
        "<float[4,3] w = {1,2,3,4,5,6,7,8,9,10,11,12}> { h = MatMul(x, w) y = Relu(h) i = Shape(o) p = Add(o, o) }"
    )
    assert found.shape("h") == (2, 3)
    assert found.shape("w") == (4, 3)
    assert found.shape("o") is None
    assert found.shape("p") is None
    assert found.shape("nowhere") is None
    assert [found.is_float(name) for name in ("x", "h", "w", "i", "nowhere")] == [True, True, True, False, True]


def test_opsets_are_found_under_every_name_of_the_standard_domain() -> None:
    found = checked(RELU)
    assert [found.opset(domain) for domain in ("", "ai.onnx", "own", "other")] == [20, 20, 1, 0]
    assert checked(RELU.replace('"": 20', '"ai.onnx": 19')).opset() == 19


def test_an_edit_keeps_the_interface_and_forgets_the_source() -> None:
    found = checked(RELU)
    edited = found.edited(found.proto, found.weights.updated({"w": np.ones(3, np.float32)}))
    assert edited.source is None
    assert edited.inputs == found.inputs
    assert "w" not in found.weights
    with pytest.raises(FrozenInstanceError):
        found.name = "other"  # type: ignore[misc]


def test_weights_of_a_model_sent_as_bytes_may_not_lie_outside() -> None:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    proto = model([node("Add", "x w", "y")])
    proto.graph.initializer.append(tensor)
    with pytest.raises(MissingExternalData):
        check_model(proto.SerializeToString())


# ------------------------------------------------------------------ functions


def test_functions_are_expanded() -> None:
    functions = [function("f", [node("Relu", "a", "m"), node("Neg", "m", "b")]), function("g", [call("f")])]
    proto = model([call("g", "x", "m"), call("f", "m", "y")], functions)
    found = check_model(proto.SerializeToString())
    assert [each.op_type for each in found.nodes] == ["Relu", "Neg", "Relu", "Neg"]
    assert agrees_with_onnxruntime(proto)


def test_constants_of_functions_are_weights_of_every_call() -> None:
    nodes = [node("Constant", "", "c", value_floats=[1.0, 2.0, 3.0, 4.0]), node("Mul", "a c", "b")]
    proto = model([call("f", "x", "m"), call("f", "m", "y")], [function("f", nodes)])
    assert len(check_model(proto.SerializeToString()).weights) == 2
    assert agrees_with_onnxruntime(proto)


# ------------------------------------------------------------------ names of what leaves a body


def constant_branch(number: float, name: str, output: str) -> GraphProto:
    nodes = [node("Constant", "", name, value_float=number), node("Add", f"x {name}", output)]
    return body(nodes, output)


def weight_branch(number: float, name: str, output: str) -> GraphProto:
    return body([node("Add", f"x {name}", output)], output, **{name: np.full(4, number, np.float32)})


@pytest.mark.parametrize("make", [constant_branch, weight_branch])
@pytest.mark.parametrize("chosen", [True, False])
def test_tensors_of_one_name_in_two_bodies_stay_apart(make, chosen: bool) -> None:
    proto = model([branch(make(1.0, "c", "t"), make(2.0, "c", "e"))], b=chosen)
    found = check_model(proto.SerializeToString())
    assert sorted(float(found.weights[name].max()) for name in set(found.weights) - {"b"}) == [1.0, 2.0]
    assert agrees_with_onnxruntime(proto)


@pytest.mark.parametrize("make", [constant_branch, weight_branch])
@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("swap", [True, False])
def test_a_tensor_may_be_called_as_a_value_of_the_other_body(make, chosen: bool, swap: bool) -> None:
    computing = body([node("Relu", "x", "c"), node("Neg", "c", "e")], "e")
    graphs = (make(2.0, "c", "t"), computing)
    proto = model([branch(*graphs[:: -1 if swap else 1])], b=chosen)
    assert agrees_with_onnxruntime(proto)


def test_a_tensor_may_be_called_as_a_later_value_of_the_graph() -> None:
    choice = branch(constant_branch(1.0, "c", "t"), constant_branch(2.0, "d", "e"), "h")
    proto = model([choice, node("Relu", "h", "c"), node("Neg", "c", "y")], b=True)
    assert agrees_with_onnxruntime(proto)


def test_new_names_avoid_all_old_ones() -> None:
    nodes = [branch(constant_branch(1.0, "c", "t"), constant_branch(2.0, "c", "e"), "h"), node("Relu", "h", "c_2")]
    proto = model([*nodes, node("Neg", "c_2", "y")], b=False)
    assert agrees_with_onnxruntime(proto)


def test_a_name_from_the_first_body_keeps_itself() -> None:
    proto = model([branch(constant_branch(1.0, "c", "t"), constant_branch(2.0, "d", "e"))], b=True)
    assert set(check_model(proto.SerializeToString()).weights) == {"b", "c", "d"}


@pytest.mark.parametrize("chosen", [True, False])
def test_a_body_may_return_a_constant_of_its_own(chosen: bool) -> None:
    returned = body([node("Constant", "", "c", value_floats=[1.0, 2.0, 3.0, 4.0])], "c")
    proto = model([branch(returned, body([node("Neg", "x", "e")], "e"))], b=chosen)
    assert agrees_with_onnxruntime(proto)


@pytest.mark.parametrize("chosen", [True, False])
def test_bodies_may_return_constants_of_one_name(chosen: bool) -> None:
    first = body([node("Constant", "", "c", value_floats=[1.0, 2.0, 3.0, 4.0])], "c")
    second = body([node("Constant", "", "c", value_floats=[5.0, 6.0, 7.0, 8.0])], "c")
    proto = model([branch(first, second, "h"), node("Add", "x h", "y")], b=chosen)
    assert agrees_with_onnxruntime(proto)


def test_an_inner_body_reads_the_renamed_constant_of_the_outer_one() -> None:
    inner = branch(body([node("Mul", "x c", "p")], "p"), body([node("Neg", "c", "q")], "q"), "t")
    outer = body([node("Constant", "", "c", value_floats=[1.0, 2.0, 3.0, 4.0]), inner], "t")
    before = branch(constant_branch(5.0, "c", "a"), constant_branch(5.0, "c", "e"), "h")
    proto = model([before, branch(outer, constant_branch(2.0, "c", "z"))], b=True)
    assert agrees_with_onnxruntime(proto)


def test_constants_in_a_loop_body_are_weights() -> None:
    step = helper.make_graph(
        [
            node("Constant", "", "k", value_floats=[1.0, 2.0, 3.0, 4.0]),
            node("Identity", "go", "go_on"),
            node("Add", "v k", "v_on"),
        ],
        "step",
        [value("i", INT64, []), value("go", BOOL, []), value("v", FLOAT, None)],
        [value("go_on", BOOL, []), value("v_on", FLOAT, None)],
    )
    proto = model([helper.make_node("Loop", ["n", "", "x"], ["y"], body=step)], n=np.array(3))
    assert "k" in check_model(proto.SerializeToString()).weights
    assert agrees_with_onnxruntime(proto)


def test_constants_of_strings_stay_in_the_graph() -> None:
    proto = model([node("Constant", "", "s", value_string="text"), node("Relu", "x", "y")])
    found = check_model(proto.SerializeToString())
    assert [each.op_type for each in found.nodes] == ["Constant", "Relu"]
    assert not found.weights


def test_an_inner_body_may_return_the_renamed_constant_of_the_outer_one() -> None:
    inner = branch(body([], "c"), body([node("Neg", "c", "q")], "q"), "t")
    outer = body([node("Constant", "", "c", value_floats=[1.0, 2.0, 3.0, 4.0]), inner], "t")
    before = branch(constant_branch(5.0, "c", "a"), constant_branch(5.0, "d", "e"), "h")
    proto = model([before, branch(outer, constant_branch(2.0, "f", "z"))], b=True)
    (output,) = convert(check_model(proto.SerializeToString()))(torch.zeros(3, 4))
    assert output.tolist() == [1.0, 2.0, 3.0, 4.0]


# ------------------------------------------------------------------ what onnxruntime takes and the checker does not


UNSORTED = "(float[N,4] x) => (float[N,4] y) { y = Add(b, c) c = Neg(a) b = Tanh(x) a = Mul(b, x) }"


def test_nodes_are_sorted_and_otherwise_keep_their_order() -> None:
    proto = parser.parse_model(f"{HEAD} net {UNSORTED}")
    found = check_model(proto.SerializeToString())
    assert [each.op_type for each in found.nodes] == ["Tanh", "Mul", "Neg", "Add"]
    assert found.source is not None
    assert agrees_with_onnxruntime(proto)
    more = checked(f"{HEAD} net (float x) => (float y) {{ y = Add(b, a) c = Neg(x) b = Neg(x) a = Neg(x) d = Neg(c) }}")
    assert [each.output[0] for each in more.nodes] == list("cbayd")


def test_nodes_of_bodies_are_sorted_too_and_what_a_body_captures_comes_first() -> None:
    inner = body([node("Add", "late t", "out"), node("Tanh", "late", "t")], "out")
    other = body([node("Neg", "late", "n")], "n")
    proto = model([branch(inner, other), node("Mul", "x w", "late")], b=True, w=np.full(4, 0.5, np.float32))
    found = check_model(proto.SerializeToString())
    assert [each.op_type for each in found.nodes] == ["Mul", "If"]
    assert [each.op_type for each in list(bodies(found.nodes[1]))[1].node] == ["Tanh", "Add"]
    x = torch.randn(2, 4)
    (y,) = convert(found)(x)
    torch.testing.assert_close(y, x / 2 + torch.tanh(x / 2))


def test_nodes_of_functions_are_sorted_too() -> None:
    text = f"""{HEAD} net (float[N,4] x) => (float[N,4] y) {{ y = own.f(a) a = Neg(x) }}
        <domain: "own", opset_import: ["": 20]> f (i) => (o) {{ o = Add(t, i) t = Tanh(i) }}"""
    (y,) = convert(checked(text))(torch.ones(1, 4))
    torch.testing.assert_close(y, -1 + torch.tanh(-torch.ones(1, 4)))


@pytest.mark.parametrize(
    ("nodes", "named"),
    [
        ("y = Add(x, a) a = Relu(b) b = Neg(c) c = Tanh(b)", {"b", "c"}),
        ("a = Relu(a) y = Add(x, a)", {"a"}),
        ("b = Mul(c, x) a = Neg(b) c = Abs(a) y = Add(x, a) d = Neg(c)", {"a", "b", "c"}),
    ],
)
def test_a_cycle_is_refused_and_a_node_on_it_named(nodes: str, named: set) -> None:
    with pytest.raises(InvalidModel, match="cycle") as caught:
        checked(f"{HEAD} net (float[N,4] x) => (float[N,4] y) {{ {nodes} }}")
    assert caught.value.where in named


def test_a_cycle_through_a_body_is_refused() -> None:
    inner, other = body([node("Neg", "late", "n")], "n"), body([node("Neg", "x", "m")], "m")
    with pytest.raises(InvalidModel, match="cycle"):
        check_model(model([branch(inner, other), node("Mul", "y x", "late")], b=True).SerializeToString())


def test_a_long_chain_that_is_written_backwards_is_sorted() -> None:
    found = check_model(model(chain(3000)[::-1]).SerializeToString(), Limits(nodes=3000))
    assert [each.output[0] for each in found.nodes] == [each.output[0] for each in chain(3000)]


@pytest.mark.parametrize("opset", [11, 16, 20])
def test_what_onnxruntime_adds_to_the_standard_is_taken_from_it(opset: int) -> None:
    """Its own file is what onnxruntime runs, and types and shapes go on behind such a node."""
    text = f"""<ir_version: 7, opset_import: ["": {opset}]> net (float[N,4] x) => (float[N,4] y, float[N,1] inverse) {{
        a = LayerNormalization(x, s) b, inverse = SimplifiedLayerNormalization<epsilon = 0.01>(a, s) y = Relu(b) }}"""
    proto = parser.parse_model(text)
    proto.graph.initializer.append(numpy_helper.from_array(np.linspace(-1, 1, 4, dtype=np.float32), "s"))
    found = check_model(proto.SerializeToString())
    assert found.source is not None
    assert [each.domain for each in found.nodes] == [""] * 3
    assert found.values["b"].type.tensor_type.shape.dim[1].dim_value == 4
    x = RANDOM.normal(size=(3, 4)).astype(np.float32)
    wanted = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    for got, want in zip(convert(found)(torch.from_numpy(x)), wanted, strict=True):
        np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-5, atol=1e-5)


def test_what_onnxruntime_adds_is_taken_in_a_body_too() -> None:
    inner = body([node("SimplifiedLayerNormalization", "x s", "n")], "n")
    proto = model([branch(inner, body([node("Neg", "x", "m")], "m"))], b=True, s=np.ones(4, np.float32))
    (y,) = convert(check_model(proto.SerializeToString()))(torch.full((1, 4), 3.0))
    torch.testing.assert_close(y, torch.ones(1, 4))


def test_each_of_onnxruntimes_own_has_a_conversion() -> None:
    assert all(lookup("", name, 1) for name in RUNTIME_OWN)


# ------------------------------------------------------------------ what is mended


@pytest.mark.parametrize("outputs", [2, 3])
def test_a_count_that_an_older_split_does_not_know_is_dropped_where_it_is_redundant(outputs: int) -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> net (float[2,6] x) => (float[2,N] a, float[2,N] b)'
    proto = parser.parse_model(text + f" {{ a, b = Split <axis = 1, num_outputs = {outputs}> (x) }}")
    if outputs == 3:
        with pytest.raises(InvalidModel, match="num_outputs"):
            check_model(proto.SerializeToString())
    else:
        checked = check_model(proto.SerializeToString())
        assert [attribute.name for attribute in checked.nodes[0].attribute] == ["axis"]
        assert checked.source is None, "what runs is not what was uploaded"


class Fresh(nn.Module):
    """Equal scales and biases, and a layer that is used twice under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.shared = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(4) for _ in range(3))
        self.shared.weight, self.shared.bias = self.first.weight, self.first.bias
        for layer in (self.first, self.second):
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer, norm in zip((self.first, self.second, self.shared), self.norms, strict=True):
            x = torch.tanh(norm(layer(x)))
        return x


def test_what_the_exporter_of_torch_stored_once_because_it_was_equal_is_separate_again() -> None:
    torch.manual_seed(0)
    module, x = Fresh(), torch.randn(5, 4)
    exported = export(module, x)
    stored = [tensor.name for tensor in proto_of(exported).graph.initializer]
    assert len(stored) < len(list(module.parameters())), "the exporter of this torch stores equal tensors once"
    found = check_model(exported)
    converted = convert(found)
    assert set(converted.initializers) == {name for name, _ in module.named_parameters()}
    assert "Identity" not in {node.op_type for node in found.nodes}
    assert found.source is None, "what runs is not what was uploaded"
    module(x).square().sum().backward()
    (output,) = converted(x)
    output.square().sum().backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(converted.initializers[name].grad, parameter.grad)


def test_identities_of_other_exporters_may_be_ties_and_stay() -> None:
    proto = proto_of(export(Fresh(), torch.zeros(5, 4)))
    proto.producer_name = "another"
    found = check_model(proto.SerializeToString())
    assert "Identity" in {node.op_type for node in found.nodes}


def test_equal_tensors_may_not_grow_without_limit() -> None:
    with pytest.raises(LimitExceeded, match="equal tensors"):
        check_model(export(Fresh(), torch.zeros(5, 4)), Limits(sparse_bytes=16))


def proto_of(exported: bytes) -> ModelProto:
    proto = ModelProto()
    proto.ParseFromString(exported)
    return proto


def test_tied_weights_stay_tied_although_the_exporter_wrote_them_as_equal_ones() -> None:
    """Two layers with one weight, each transposed for its own MatMul, so equal by value alone."""
    torch.manual_seed(0)
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    exported = export(nn.Sequential(first, nn.Tanh(), second, nn.Unflatten(1, (2, 2))), torch.randn(5, 4))
    three_axes = export(nn.Sequential(first, nn.Tanh(), second), torch.randn(5, 3, 4))
    for content in (exported, three_axes):
        weights = [name for name in convert(check_model(content)).initializers if "bias" not in name]
        assert len(weights) == 1
