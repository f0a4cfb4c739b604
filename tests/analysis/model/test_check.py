import hashlib
import io
import json
import pickle
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, TensorProto, defs, numpy_helper, parser

from analysis.convert import convert
from analysis.errors import AnalysisError, InvalidModel, LimitExceeded, MissingExternalData, NotOnnx, UnsupportedOp
from analysis.model import check_model
from analysis.options import Limits
from tests.analysis.model.models import (
    EVERYTHING,
    FLOAT,
    RELU,
    agrees_with_onnxruntime,
    body,
    branch,
    call,
    chain,
    checked,
    everything,
    function,
    model,
    node,
)

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
        (RELU.encode(), "onnx.parser"),
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


# ------------------------------------------------------------------ limits


def test_an_opset_newer_than_installed_is_not_supported_yet() -> None:
    newest = defs.onnx_opset_version()
    with pytest.raises(UnsupportedOp, match=str(newest + 1)) as caught:
        checked(RELU.replace('"": 20', f'"": {newest + 1}'))
    assert f"opset_version={newest}" in caught.value.hint


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


@pytest.mark.parametrize("field", [5, 11, 13, 14])
def test_empty_parts_have_a_limit_that_holds_exactly(field: int) -> None:
    def sized(parts: int) -> bytes:
        graph = GraphProto.FromString(bytes([field << 3 | 2, 0]) * parts)
        return ModelProto(ir_version=9, graph=graph).SerializeToString()

    with pytest.raises(LimitExceeded, match=r"it has 9 of .*, 8 are allowed"):
        check_model(sized(9), Limits(nodes=6, tensors=2))
    with suppress(InvalidModel, NotOnnx):
        check_model(sized(8), Limits(nodes=6, tensors=8))


@pytest.mark.parametrize("field", [1, 2, 5])
def test_empty_parts_of_a_node_have_that_limit_too(field: int) -> None:
    graph = parser.parse_model(RELU).graph.SerializeToString() + b"\x0a\x12" + bytes([field << 3 | 2, 0]) * 9
    content = ModelProto(ir_version=9, graph=GraphProto.FromString(graph)).SerializeToString()
    with pytest.raises(LimitExceeded, match=r"it has 9 of .*, 8 are allowed"):
        check_model(content, Limits(nodes=6, tensors=2))


def test_nodes_of_bodies_count_too() -> None:
    then, otherwise = body(chain(30, "t", end="o1"), "o1"), body([node("Neg", "x", "o2")], "o2")
    content = model([branch(then, otherwise)], b=True).SerializeToString()
    check_model(content, Limits(nodes=32))
    with pytest.raises(LimitExceeded, match="32 nodes"):
        check_model(content, Limits(nodes=31))


def test_bodies_by_nodes_have_a_limit_that_holds_exactly() -> None:
    """Two bodies; an If and 31 nodes in them."""
    then, otherwise = body(chain(30, "t", end="o1"), "o1"), body([node("Neg", "x", "o2")], "o2")
    content = model([branch(then, otherwise)], b=True).SerializeToString()
    check_model(content, Limits(nodes_by_bodies=64))
    with pytest.raises(LimitExceeded, match="2 bodies of If, Loop and Scan among 32 nodes"):
        check_model(content, Limits(nodes_by_bodies=63))


@pytest.mark.parametrize("attribute", ["value_ints = [1, 2, 3]", "value_floats = [1.0, 2.0, 3.0]"])
def test_elements_of_attributes_have_a_limit_that_holds_exactly(attribute: str) -> None:
    text = f"""<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) {{
        c = Constant <{attribute}> () d = Constant <value_int = 1> () y = Relu(x) }}"""
    content = parser.parse_model(text).SerializeToString()
    check_model(content, Limits(attribute_elements=3))
    with pytest.raises(LimitExceeded, match="have 3 elements, 2 are allowed") as refused:
        check_model(content, Limits(attribute_elements=2))
    assert refused.value.where == "Constant"


def test_nodes_count_after_functions_are_expanded() -> None:
    functions = [function("f", chain(10, start="a", end="b"))]
    content = model([call("f", "x", "m"), call("f", "m", "y")], functions).SerializeToString()
    assert len(check_model(content, Limits(nodes=20)).nodes) == 20
    with pytest.raises(LimitExceeded, match="20 nodes"):
        check_model(content, Limits(nodes=19))


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


def test_a_bomb_of_functions_that_do_nothing_is_one() -> None:
    hollow = bomb(30, overloaded=False)
    del hollow.functions[0].node[:]
    with pytest.raises(LimitExceeded, match=str(2**29)):
        check_model(hollow.SerializeToString())


@pytest.mark.parametrize("overloaded", [False, True])
def test_what_is_counted_is_what_is_expanded(overloaded: bool) -> None:
    found = check_model(bomb(6, overloaded=overloaded).SerializeToString(), Limits(nodes=32))
    assert len(found.nodes) == 32


@pytest.mark.parametrize("ring", [1, 2, 5])
def test_functions_that_call_themselves_are_invalid(ring: int) -> None:
    functions = [function(f"f{n}", [call(f"f{(n + 1) % ring}")]) for n in range(ring)]
    with pytest.raises(InvalidModel, match="calls itself"):
        check_model(model([call("f0", "x", "y")], functions).SerializeToString())


@pytest.mark.parametrize("inside", [False, True])
def test_an_attribute_of_a_call_outside_of_a_function_is_invalid(inside: bool) -> None:
    wrong = node("Softmax", "x" if not inside else "a", "y", axis=1)
    wrong.attribute[0].ClearField("i")
    wrong.attribute[0].ref_attr_name = "axis"
    other = body([node("Neg", "x", "e")], "e")
    nodes = [branch(body([node("Neg", "x", "a"), wrong], "y"), other, "z")] if inside else [wrong]
    with pytest.raises(InvalidModel, match="'axis' refers to 'axis'") as refused:
        check_model(model([node("Constant", "", "b0", value_int=1), *nodes]).SerializeToString())
    assert refused.value.where == "y"


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


def test_checking_does_not_change_what_was_sent() -> None:
    content = bytes(EVERYTHING)
    check_model(content)
    assert hashlib.sha256(content).digest() == hashlib.sha256(everything()).digest()


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
