"""Tensors leave the graphs under names of their own; onnxruntime says that nothing changed."""

import numpy as np
import pytest
import torch
from onnx import GraphProto, NodeProto, helper, numpy_helper

from analysis.convert import convert
from analysis.errors import InvalidModel, LimitExceeded
from analysis.model import check_model
from analysis.model.hoist import Hoist
from analysis.options import Limits
from tests.analysis.model.models import (
    BOOL,
    EVERYTHING,
    FLOAT,
    INT64,
    agrees_with_onnxruntime,
    body,
    branch,
    call,
    function,
    model,
    node,
    value,
)

# ------------------------------------------------------------------ what the specification forbids


@pytest.mark.parametrize("first", ["initializer", "sparse", "constant"])
@pytest.mark.parametrize("second", ["initializer", "sparse", "constant"])
def test_two_tensors_of_one_name_are_refused(first: str, second: str) -> None:
    """But for two dense initialisers, which onnxruntime takes: see test_mend."""
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
    if first == second == "initializer":
        assert "w" in check_model(proto.SerializeToString()).weights
        return
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


# ------------------------------------------------------------------ what leaves the graph


def test_the_tensor_limit_holds_exactly() -> None:
    then = body([node("Constant", "", "c", value_float=1.0), node("Add", "x c", "t")], "t")
    otherwise = body([node("Add", "x w", "e")], "e", w=np.ones(4, np.float32))
    content = model([branch(then, otherwise)], b=True).SerializeToString()
    assert len(check_model(content, Limits(tensors=3)).weights) == 3
    with pytest.raises(LimitExceeded, match="2 tensors"):
        check_model(content, Limits(tensors=2))


def test_the_proto_holds_no_tensors_and_no_constants() -> None:
    found = check_model(EVERYTHING)
    assert not found.proto.graph.initializer
    assert not found.proto.graph.sparse_initializer
    assert not found.proto.functions
    assert [each.op_type for each in found.nodes] == ["Add", "MatMul", "If", "Relu"]
    assert set(found.weights) == {"k", "W", "k1", "b", "s"}


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


def test_bodies_that_all_have_the_same_name_are_numbered_without_counting_up_again() -> None:
    """20,000 bodies of one name took minutes; here the names that are looked up are counted."""

    class Counting(set[str]):
        asked = 0

        def __contains__(self, name: object) -> bool:
            self.asked += 1
            return super().__contains__(name)

    hoist = Hoist.__new__(Hoist)
    hoist.entries, hoist.written, hoist.numbers, hoist.taken = {"w": None}, set(), {}, Counting({"w", "w_3"})
    assert [hoist._free("w") for _ in range(1000)] == ["w_2", *(f"w_{number}" for number in range(4, 1003))]
    assert hoist.taken.asked == 1001
