import numpy as np
import pytest
import torch
from onnx import parser

from analysis.convert import convert
from analysis.errors import InvalidModel
from analysis.model import check_model
from analysis.model.nodes import bodies
from analysis.options import Limits
from tests.analysis.model.models import HEAD, agrees_with_onnxruntime, body, branch, chain, checked, model, node

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
