"""What rewritings have at hand."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from analysis.model.traditional.writer import Types, Writer, rewriting
from tests.analysis.model.traditional.graphs import node


def writer(taken: set[str], opset: int = 17) -> Writer:
    declared = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])]
    return Writer(node("Scaler", ["x"], ["y"], offset=[1.0]), Types(declared, []), opset, taken)


def test_names_that_are_taken_get_a_number() -> None:
    taken = {"scaler.offset"}
    first = writer(taken)
    assert first.constant("offset", first.floats("offset")) == "scaler.offset_2"
    assert writer(taken).parameter("offset", np.zeros(1, np.float32)) == "scaler.offset_3"


def test_a_value_of_the_wanted_type_is_not_cast() -> None:
    each = writer(set())
    assert each.cast("x", TensorProto.FLOAT) == "x"
    assert each.cast("unknown", TensorProto.FLOAT) != "unknown"
    assert [written.op_type for written in each.nodes] == ["Cast"]


@pytest.mark.parametrize(("opset", "inputs"), [(17, 1), (18, 2)])
def test_axes_are_an_attribute_or_an_input_by_the_opset(opset: int, inputs: int) -> None:
    each = writer(set(), opset)
    each.put_over("ReduceL2", "x", [1], keepdims=1)
    assert len(each.nodes[0].input) == inputs


def test_an_operator_is_registered_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        rewriting("Scaler")(lambda _: None)
