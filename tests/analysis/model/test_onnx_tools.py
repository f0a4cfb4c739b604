import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper, parser

from analysis.convert import convert
from analysis.convert.registry import lookup
from analysis.errors import InvalidModel
from analysis.model import check_model
from analysis.model.checked import ValueSpec
from analysis.model.onnx_tools import RUNTIME_OWN, assemble_proto, is_runtime_own, one_line, with_declared_tensors
from tests.analysis.model.models import FLOAT, HEAD, INT64, RANDOM, body, branch, checked, model, node, value


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


def test_outputs_without_a_declared_shape_are_accepted() -> None:
    proto = model([node("Relu", "x", "y")])
    assert not proto.graph.output[0].type.tensor_type.HasField("shape")
    found = check_model(proto.SerializeToString())
    assert found.outputs == (ValueSpec("y", "float32", None),)
    assert not found.proto.graph.output[0].type.tensor_type.HasField("shape")


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


def test_a_model_with_its_tensors_inside_again_runs_as_the_uploaded_one() -> None:
    constant = node("Constant", "", "c", value_floats=[1.0, 2.0, 3.0, 4.0])
    weight = RANDOM.standard_normal((4, 4)).astype(np.float32)
    proto = model([constant, node("MatMul", "x W", "h"), node("Add", "h c", "y")], W=weight)
    found, x = check_model(proto.SerializeToString()), RANDOM.standard_normal((3, 4)).astype(np.float32)
    turned = {**found.weights, "W": np.asarray(found.weights["W"]).T}  # not contiguous
    for weights, factor in ((found.weights, found.weights["W"]), (turned, found.weights["W"].T)):
        whole = assemble_proto(found.proto, weights)
        assert [tensor.name for tensor in whole.graph.initializer] == list(found.weights)
        (y,) = onnxruntime.InferenceSession(whole.SerializeToString()).run(None, {"x": x})
        np.testing.assert_allclose(y, x @ factor + [1, 2, 3, 4], rtol=1e-5)
    assert not found.proto.graph.initializer


def test_a_scalar_stays_a_scalar_and_an_old_model_may_keep_its_tensors_out_of_the_inputs() -> None:
    proto = model([node("Add", "x k", "y")], k=np.float32(2))
    proto.ir_version = 3
    proto.graph.input.append(value("k", FLOAT, []))
    found = check_model(proto.SerializeToString())
    whole = assemble_proto(found.proto, found.weights)
    assert whole.ir_version == 4  # the first that allows it
    assert list(whole.graph.initializer[0].dims) == []
    assert found.proto.ir_version == 3


def test_tensors_are_declared_with_type_and_shape_once() -> None:
    proto = model([node("Add", "x w", "y")])
    proto.graph.input.append(value("v", FLOAT, [4]))
    entries = {"w": np.ones((2, 4), np.float16), "v": np.ones(4, np.float32), "k": np.array(3)}
    skeleton = with_declared_tensors(proto, entries)
    declared = {each.name: each.type.tensor_type for each in skeleton.graph.input}
    assert [each.name for each in skeleton.graph.input] == ["x", "v", "w", "k"]
    assert (declared["w"].elem_type, declared["k"].elem_type) == (TensorProto.FLOAT16, INT64)
    assert [size.dim_value for size in declared["w"].shape.dim] == [2, 4]
    assert len(proto.graph.input) == 2


@pytest.mark.parametrize(
    ("name", "domain", "opset", "own"),
    [
        ("LayerNormalization", "", 16, True), ("LayerNormalization", "ai.onnx", 16, True),
        ("LayerNormalization", "", 17, False), ("LayerNormalization", "com.microsoft", 16, False),
        ("ThresholdedRelu", "", 9, True), ("ThresholdedRelu", "", 10, False),
        ("SimplifiedLayerNormalization", "", 20, True), ("Gelu", "", 16, False), ("NoSuchOperator", "", 16, False),
    ],
)  # fmt: skip
def test_an_operator_is_onnxruntimes_own_until_the_standard_has_it(
    name: str, domain: str, opset: int, own: bool
) -> None:
    assert is_runtime_own(node(name, "x", "y", domain=domain), opset) is own


def test_a_complaint_is_one_line_of_400_letters_at_most() -> None:
    assert one_line(ValueError("two\n   lines\tand a tab")) == "two lines and a tab"
    assert one_line(ValueError("x" * 500)) == "x" * 400
