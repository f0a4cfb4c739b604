"""Scales and biases that torch's current exporter stored once, told apart by the modules they are read in."""

import warnings

import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

from analysis.convert import convert
from analysis.errors import LimitExceeded
from analysis.model import check_model
from analysis.model.deduplicated import SCOPES, module_of
from analysis.options import Limits


class Fresh(nn.Module):
    """Fresh norms, one of which is called twice, and a layer whose weight and bias are those of another."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.other, self.tied = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(4) for _ in range(2))
        for layer in (self.first, self.other):
            nn.init.constant_(layer.bias, 0.5)
        self.tied.weight, self.tied.bias = self.first.weight, self.first.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norms[0](torch.tanh(self.first(x)))
        x = self.norms[1](torch.tanh(self.other(x)))
        return self.norms[0](torch.tanh(self.tied(x)))


@pytest.fixture(scope="module")
def exported() -> tuple[nn.Module, ModelProto]:
    torch.manual_seed(0)
    module = Fresh()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        program = torch.onnx.export(module, (torch.zeros(5, 4),), dynamo=True, verbose=False)
    return module, program.model_proto


def test_every_parameter_of_the_module_is_one_again_and_those_that_are_shared_stay_so(
    exported: tuple[nn.Module, ModelProto],
) -> None:
    module, proto = exported
    stored = {tensor.name for tensor in proto.graph.initializer}
    assert len(stored) < len(list(module.parameters())), "the exporter of this torch stores equal tensors once"
    found = check_model(proto.SerializeToString())
    assert found.source is None, "what runs is not what was uploaded"
    converted = convert(found)
    names = {name for name, _ in module.named_parameters() if "bias" in name or "norm" in name}
    assert names <= set(converted.initializers)
    assert len(converted.initializers) == len(list(module.parameters()))
    x = torch.randn(5, 4)
    module(x).square().sum().backward()
    (output,) = converted(x)
    output.square().sum().backward()
    for name in names:
        torch.testing.assert_close(converted.initializers[name].grad, module.get_parameter(name).grad)


def test_equal_tensors_may_not_grow_without_limit(exported: tuple[nn.Module, ModelProto]) -> None:
    with pytest.raises(LimitExceeded, match="equal tensors"):
        check_model(exported[1].SerializeToString(), Limits(sparse_bytes=16))


def chain(scale: np.ndarray, scopes: list[str]) -> bytes:
    """x times the same tensor, in one module after the other."""
    names = ["x", *(f"h{place}" for place in range(len(scopes)))]
    nodes = [helper.make_node("Mul", [names[place], "a.weight"], [names[place + 1]]) for place in range(len(scopes))]
    for node, scope in zip(nodes, scopes, strict=True):
        if scope:
            node.metadata_props.add(key=SCOPES, value=scope)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "net", [value("x", TensorProto.FLOAT, ["N", 3])], [value(names[-1], TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(scale.astype(np.float32), "a.weight")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


FLAT, DRAWN = np.ones(3), np.arange(3.0)


@pytest.mark.parametrize(
    ("scale", "scopes", "stored"),
    [
        (FLAT, ["['', 'a', 'mul']", "['', 'b', 'mul_1']"], {"a.weight", "b.weight"}),
        (FLAT, ["['', 'a', 'mul']", "['', 'a', 'mul_1']"], {"a.weight"}),
        (DRAWN, ["['', 'a', 'mul']", "['', 'b', 'mul_1']"], {"a.weight"}),
        (FLAT, ["['', 'c', 'mul']", "['', 'b', 'mul_1']"], {"a.weight"}),
        (FLAT, ["['', 'a', 'mul']", ""], {"a.weight"}),
        (FLAT, ["", ""], {"a.weight"}),
    ],
    ids=["two modules", "one module", "no coincidence", "of nobody", "of nobody known", "of another exporter"],
)
def test_only_what_its_own_module_reads_and_another_one_too_is_separate(
    scale: np.ndarray, scopes: list[str], stored: set[str]
) -> None:
    assert set(check_model(chain(scale, scopes)).weights) == stored


@pytest.mark.parametrize("written", ["[", "['', 'a']", "{}", "['a', 3]", "[" * 5000, "__import__('os')"])
def test_what_is_no_list_of_scopes_says_nothing_or_little(written: str) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    node.metadata_props.add(key=SCOPES, value=written)
    assert module_of(node) == ""
