import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, helper, numpy_helper, parser
from torch import nn

from analysis.convert import convert
from analysis.errors import InvalidModel, LimitExceeded
from analysis.model import CheckedModel, check_model
from analysis.options import Limits
from tests.gallery import export


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


def test_a_graph_without_a_name_is_taken_as_onnxruntime_takes_it() -> None:
    made = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> net (float[N,4] x) => (float[N,4] y) { y = Relu(x) }'
    )
    made.graph.name = ""
    content = made.SerializeToString()
    onnxruntime.InferenceSession(content)
    assert check_model(content).name == "model"


NET = '<ir_version: 8, opset_import: ["": 17]> net (float[N,4] x) => (float[N,3] y) { h = MatMul(x, w) y = Relu(h) }'
WEIGHT = np.arange(12, dtype=np.float32).reshape(4, 3)


def net() -> ModelProto:
    proto = parser.parse_model(NET)
    proto.graph.initializer.append(numpy_helper.from_array(WEIGHT, "w"))
    return proto


def runs_alike(proto: ModelProto) -> CheckedModel:
    """onnxruntime takes it, and so do we, with the same outputs."""
    content, x = proto.SerializeToString(), np.ones((2, 4), np.float32)
    (wanted,) = onnxruntime.InferenceSession(content).run(["y"], {"x": x})
    checked = check_model(content)
    (found,) = convert(checked)(torch.from_numpy(x))
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-6)
    return checked


def test_an_output_without_a_type_has_the_one_that_inference_says() -> None:
    proto = net()
    proto.graph.output[0].ClearField("type")
    proto.graph.value_info.add(name="h")
    checked = runs_alike(proto)
    assert [(spec.dtype, spec.shape) for spec in checked.outputs] == [("float32", ("N", 3))]


def test_an_output_of_nobody_knows_what_is_refused() -> None:
    proto = net()
    proto.graph.output[0].ClearField("type")
    proto.graph.output[0].name = "nothing"
    with pytest.raises(InvalidModel):
        check_model(proto.SerializeToString())


@pytest.mark.parametrize("imported", [[""], ["ai.onnx"], ["", "ai.onnx"]])
def test_the_standard_has_one_name(imported: list[str]) -> None:
    proto = net()
    del proto.opset_import[:]
    proto.opset_import.extend(helper.make_opsetid(domain, 17) for domain in imported)
    proto.graph.node[0].domain = "ai.onnx"
    checked = runs_alike(proto)
    assert [entry.domain for entry in checked.proto.opset_import] == [""]
    assert {node.domain for node in checked.nodes} == {""}


@pytest.mark.parametrize("version", [1, 2])
def test_a_version_that_had_no_operator_sets_may_name_one(version: int) -> None:
    proto = net()
    proto.ir_version = version
    runs_alike(proto)


def test_of_two_initialisers_of_one_name_the_last_one_counts() -> None:
    proto = net()
    proto.graph.initializer.append(numpy_helper.from_array(WEIGHT + 1, "w"))
    np.testing.assert_array_equal(runs_alike(proto).weights["w"], WEIGHT + 1)
