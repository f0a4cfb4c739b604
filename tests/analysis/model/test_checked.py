from contextlib import suppress
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from onnx import TensorProto, helper

from analysis.errors import InvalidModel
from analysis.model import check_model
from analysis.model.checked import ValueSpec, spec_of
from tests.analysis.model.models import FLOAT, HEAD, RELU, body, branch, checked, model, node, value


def test_types_that_contradict_each_other_do_not_break_anything() -> None:
    found = checked(f"{HEAD} net (float[N,4] x) => (float[N,4] y) {{ y = Shape(x) }}")
    with suppress(InvalidModel):
        assert found.values


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


def test_an_input_of_more_dimensions_than_arrays_can_have_is_refused() -> None:
    assert spec_of(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1] * 64)).shape == (1,) * 64
    with pytest.raises(InvalidModel, match="65 dimensions"):
        spec_of(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1] * 65))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("place", ["input", "output"])
def test_an_element_type_that_onnx_does_not_have_is_refused_by_name(place: str, nested: bool) -> None:
    proto = model([node("Relu", "x", "y")])
    (declared,) = getattr(proto.graph, place)
    kind = declared.type.sequence_type.elem_type if nested else declared.type
    kind.tensor_type.elem_type = 2**31 - 1
    with pytest.raises(InvalidModel, match="element type 2147483647 is none of ONNX") as refused:
        check_model(proto.SerializeToString())
    assert refused.value.where == declared.name
