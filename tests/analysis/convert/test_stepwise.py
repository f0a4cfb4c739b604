"""A graph run node by node: what the whole gives, also with another value in the place of a constant."""

import numpy as np
import pytest
import torch

from analysis.convert.stepwise import Stepwise, step_through
from analysis.convert.translate import read_graph
from analysis.errors import NodeFailed, UnsupportedOp
from analysis.model import check_model
from tests.analysis.fixed_exports import STEPS, Patches, Reader, fixed, run
from tests.analysis.text_models import drawn, text_model, written


def steps(model: bytes, precision: torch.dtype = torch.float32) -> Stepwise:
    return step_through(read_graph(check_model(model)), precision)


def through(each: Stepwise, **inputs: np.ndarray) -> dict[str, torch.Tensor]:
    values = {**each.constants, **{name: each.tensor(array) for name, array in inputs.items()}}
    for node in each.nodes:
        values |= each.run(node, values)
    return values


@pytest.mark.parametrize(
    ("module", "shape"), [(Reader("LSTM"), (2, STEPS, 6)), (Patches(), (2, 3, 4, 4))], ids=["lstm", "patches"]
)
def test_node_by_node_it_gives_what_onnxruntime_gives_of_the_whole(module: torch.nn.Module, shape: tuple) -> None:
    torch.manual_seed(0)
    model = fixed(module, torch.randn(shape))
    x = drawn(*shape)
    last = check_model(model).outputs[0].name
    np.testing.assert_allclose(through(steps(model), x=x)[last].numpy(), run(model, x), rtol=1e-4, atol=1e-5)


def test_a_constant_may_be_another_value() -> None:
    model = written("(float[2,6] x) => (float[4,3] y)", "y = Reshape(x, sizes)", sizes=np.array([4, 3]))
    each, x = steps(model), drawn(2, 6)
    (node,) = each.nodes
    other = each.run(node, {"x": torch.from_numpy(x), "sizes": torch.tensor([3, 4])})
    np.testing.assert_array_equal(other["y"].numpy(), x.reshape(3, 4))


def test_what_is_made_of_constants_alone_is_known() -> None:
    model = written(
        "(float[2,3] x) => (float[2,3] y)", "s = Concat<axis = 0>(a, b) z = Expand(c, s) y = Add(x, z)",
        a=np.array([2]), b=np.array([3]), c=np.float32([[5]]),
    )  # fmt: skip
    each = steps(model)
    np.testing.assert_array_equal(each.constants["z"].numpy(), np.full((2, 3), 5.0))
    assert [node.op_type for node in each.nodes] == ["Add"]


def test_it_computes_in_the_precision_asked_for() -> None:
    model = written("(float[2,3] x) => (float[2,2] y)", "y = MatMul(x, W)", W=drawn(3, 2))
    assert through(steps(model, torch.float64), x=drawn(2, 3))["y"].dtype is torch.float64


def test_a_node_that_fails_is_named_and_an_unknown_operator_is_refused() -> None:
    model = written("(float[2,6] x) => (float[4,3] y)", "y = Reshape(x, sizes)", sizes=np.array([4, 3]))
    each = steps(model)
    with pytest.raises(NodeFailed, match=r"y \(Reshape\)"):
        each.run(each.nodes[0], {"x": torch.zeros(2, 6), "sizes": torch.tensor([5, 5])})
    with pytest.raises(UnsupportedOp):
        steps(text_model("(float[2] x) => (float[2] y) { y = house.Own(x) }"))
