"""Attributes that mean nothing, each with what the refusal has to name; and their neighbours that mean something."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx.shape_inference
import pytest
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from analysis.convert import convert
from analysis.errors import InvalidModel
from analysis.model import check_model
from analysis.model.domains import check_against_shapes, check_attributes
from tests.analysis.text_models import drawn

HUGE = 2**62


def model(node: NodeProto, shape: tuple[int | str, ...], opset: int = 17, **weights: np.ndarray) -> ModelProto:
    """One node after a product that trains, from `x`."""
    first = helper.make_node("Mul", ["x", "scale"], ["h"])
    tensors = {"scale": drawn(1), **weights}
    graph = helper.make_graph(
        [first, node], "net",
        [helper.make_tensor_value_info("x", 1, shape)], [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def conv(**attributes: Any) -> ModelProto:
    weight = drawn(6, 4 // abs(attributes.get("group", 1) or 1) or 1, 3, 3)
    return model(helper.make_node("Conv", ["h", "w"], ["y"], "the_node", **attributes), ("N", 4, 9, 9), w=weight)


def pool(**attributes: Any) -> ModelProto:
    return model(helper.make_node("MaxPool", ["h"], ["y"], "the_node", **attributes), ("N", 4, 9, 9))


def of(op: str, shape: tuple[int | str, ...] = ("N", 4, 6), opset: int = 17, **attributes: Any) -> ModelProto:
    return model(helper.make_node(op, ["h"], ["y"], "the_node", **attributes), shape, opset)


def gru(hidden_size: int) -> ModelProto:
    node = helper.make_node("GRU", ["h", "w", "r"], ["y"], "the_node", hidden_size=hidden_size)
    return model(node, (5, "N", 3), w=drawn(1, 12, 3), r=drawn(1, 12, 4))


FAULTS: dict[str, tuple[Callable[[], ModelProto], str, str]] = {
    **{
        f"equation {text!r}": (lambda text=text: of("Einsum", equation=text), "equation", "terms of letters")
        for text in ("a.bc->abc", ".abc", "......abc", "a,b\tc", "ab1c->ab", "abc->ab->c", "abc-ab", "\u00e9bc")
    },
    "stride 0": (lambda: conv(strides=[0, 1]), "strides", "[0, 1], allowed: 1 to"),
    "stride -1": (lambda: pool(kernel_shape=[2, 2], strides=[-1, 1]), "strides", "[-1, 1]"),
    "stride beyond int32": (lambda: conv(strides=[HUGE, 1]), "strides", str(HUGE)),
    "dilation 0": (lambda: conv(dilations=[1, 0]), "dilations", "[1, 0]"),
    "kernel 0": (lambda: pool(kernel_shape=[0, 2]), "kernel_shape", "[0, 2]"),
    "a stride too many": (lambda: conv(strides=[1, 1, 1]), "strides", "2 numbers"),
    "a pad too few": (lambda: conv(pads=[1, 1, 1]), "pads", "4 numbers"),
    "huge pads": (lambda: conv(pads=[HUGE, 0, 0, 0]), "pads", str(HUGE)),
    "group 0": (lambda: conv(group=0), "group", "is 0, allowed: 1 to"),
    "group -2": (lambda: conv(group=-2), "group", "is -2"),
    "group that divides no channels": (lambda: conv(group=3), "group", "a divisor of the channels: 4 and 6"),
    "unknown padding": (lambda: conv(auto_pad="SAME"), "auto_pad", "'SAME', allowed: NOTSET, SAME_LOWER"),
    "axis beyond the rank": (lambda: of("Softmax", axis=4), "axis", "is 4, allowed: -3 to 2, as the input has 3 axes"),
    "axis 2^62": (lambda: of("Softmax", axis=HUGE), "axis", str(HUGE)),
    "axis of a reduction": (lambda: of("ReduceMean", axes=[1, 3]), "axes", "[1, 3], allowed: -3 to 2"),
    "axis of a squeeze": (lambda: of("Squeeze", opset=11, axes=[-4]), "axes", "[-4]"),
    "no permutation": (lambda: of("Transpose", perm=[0, 1, 1]), "perm", "each of 0 to 2 once"),
    "permutation of another rank": (lambda: of("Transpose", perm=[1, 0]), "perm", "3 numbers"),
    "no element type": (lambda: of("Cast", to=0), "to", "is 0"),
    "unknown element type": (lambda: of("Cast", to=999), "to", "is 999, allowed: an element type of ONNX"),
    "blocks of nothing": (lambda: of("DepthToSpace", ("N", 4, 6, 6), blocksize=0), "blocksize", "is 0"),
    "unknown order of blocks": (lambda: of("DepthToSpace", ("N", 4, 6, 6), blocksize=2, mode="X"), "mode", "CRD, DCR"),
    "no outputs": (lambda: of("Split", opset=18, num_outputs=0), "num_outputs", "is 0"),
    "sizes of a split": (lambda: of("Split", opset=11, axis=1, split=[1, 2]), "split", "sizes that add up to 4"),
    "hidden size 0": (lambda: gru(0), "hidden_size", "is 0"),
    "another hidden size": (lambda: gru(5), "hidden_size", "is 5, allowed: 4, by the shape [1, 12, 4]"),
    "unknown direction": (
        lambda: model(
            helper.make_node("GRU", ["h", "w", "r"], ["y"], "the_node", hidden_size=4, direction="both"),
            (5, "N", 3), w=drawn(1, 12, 3), r=drawn(1, 12, 4),
        ), "direction", "'both', allowed: bidirectional, forward, reverse",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_an_attribute_that_means_nothing_is_named_with_its_node_its_value_and_what_is_allowed(fault: str) -> None:
    build, name, told = FAULTS[fault]
    with pytest.raises(InvalidModel) as caught:
        convert(check_model(build().SerializeToString()))
    assert caught.value.code == "invalid-model"
    assert caught.value.where == "the_node"
    assert f"attribute {name} of " in caught.value.detail
    assert told in caught.value.detail
    assert name in caught.value.hint
    assert "batch" not in str(caught.value)


@pytest.mark.parametrize(
    "build",
    [
        lambda: conv(strides=[2, 1], dilations=[1, 2], group=2, pads=[1, 0, 0, 1], auto_pad="NOTSET"),
        lambda: conv(auto_pad="SAME_UPPER"),
        lambda: of("Einsum", equation=" a b c -> c b a "),
        lambda: of("Einsum", equation="a...->...a"),
        lambda: of("Softmax", axis=-3),
        lambda: of("Softmax", axis=2),
        lambda: of("Flatten", axis=3),
        lambda: of("Transpose", perm=[2, 0, 1]),
        lambda: of("Cast", to=1),
        lambda: of("ReduceMean", axes=[-1, 0]),
        lambda: gru(4),
    ],
)
def test_what_means_something_is_taken(build: Callable[[], ModelProto]) -> None:
    convert(check_model(build().SerializeToString()))


def test_a_node_in_a_body_is_looked_at_too() -> None:
    body = helper.make_graph(
        [helper.make_node("MaxPool", ["h"], ["z"], "inner", kernel_shape=[2, 2], strides=[0, 0])], "then", [],
        [helper.make_tensor_value_info("z", 1, None)],
    )  # fmt: skip
    node = helper.make_node("If", ["c"], ["y"], "the_node", then_branch=body, else_branch=body)
    with pytest.raises(InvalidModel) as caught:
        check_model(model(node, ("N", 4, 9, 9), c=np.array(True)).SerializeToString())
    assert caught.value.where == "inner"


def test_attributes_of_other_houses_are_their_own_business() -> None:
    check_attributes([helper.make_node("Any", ["x"], ["y"], domain="house", strides=[0], group=0, axis=HUGE)])


def test_no_node_of_the_standards_own_suite_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of onnx, about the numbers of its own cases
        models = [case.model for case in collect_testcases(None) if case.model is not None]
    assert len(models) > 1000
    for each in models:
        check_attributes(each.graph.node)
        inferred = onnx.shape_inference.infer_shapes(each).graph
        check_against_shapes(
            each.graph.node, {value.name: value for value in (*inferred.value_info, *inferred.input, *inferred.output)}
        )
