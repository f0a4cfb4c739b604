"""Attributes as the annotations ask for them; what they should be is written out by hand."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from onnx import NodeProto, TensorProto, TypeProto, helper

from analysis.convert.attributes import Attributes
from analysis.convert.definitions import Scope
from analysis.convert.registry import (
    Body,
    DType,
    Element,
    ElementType,
    InputElements,
    Mode,
    NodeName,
    Operator,
    OutputCount,
    OutputElement,
    ReadCount,
    RunMode,
    Tensor,
)
from analysis.errors import NeverSupported

FLOAT, DOUBLE = torch.float32, torch.float64
MODE = RunMode()


def tensor_type(element: int) -> TypeProto:
    return helper.make_tensor_type_proto(element, None)


def read(
    node: NodeProto, function: Any, precision: torch.dtype = FLOAT, outputs: int = 1,
    types: Mapping[str, TypeProto] | None = None,
) -> dict[str, Any]:  # fmt: skip
    scope = Scope({"": 20}, (types or {}).get)
    return Attributes(scope, precision, MODE).of(node, Operator("own", "Own", 1, function, pure=True), outputs)


def made(**attributes: Any) -> NodeProto:
    return helper.make_node("Own", ["a", "", "b"], ["y", "z"], **attributes)


def plain(x: Tensor, *, axis: int = 0, alpha: float = 1.0, mode: str = "", perm: tuple[int, ...] = (),
          names: tuple[str, ...] = (), scales: tuple[float, ...] = ()) -> Tensor:  # fmt: skip
    return x


def test_plain_attributes_are_python_values_and_what_is_not_given_is_left_to_the_default() -> None:
    given = made(axis=-1, alpha=0.5, mode="linear", perm=[1, 0], names=["a", "b"], scales=[0.5, 2.0])
    assert read(given, plain) == {
        "axis": -1, "alpha": 0.5, "mode": "linear", "perm": (1, 0), "names": ("a", "b"), "scales": (0.5, 2.0),
    }  # fmt: skip
    assert read(made(), plain) == {}


def test_attributes_that_the_function_does_not_know_are_not_handed_over() -> None:
    assert read(made(axis=2, consumed_inputs=[0]), plain) == {"axis": 2}


@pytest.mark.parametrize("precision", [FLOAT, DOUBLE])
def test_an_element_type_is_the_dtype_of_this_conversions_precision(precision: torch.dtype) -> None:
    def cast(x: Tensor, *, to: DType | None = None, kind: ElementType | None = None) -> Tensor:
        return x

    elements = {
        TensorProto.FLOAT: (precision, "FLOAT"), TensorProto.FLOAT16: (precision, "FLOAT16"),
        TensorProto.FLOAT8E5M2: (precision, "FLOAT8E5M2"), TensorProto.DOUBLE: (DOUBLE, "DOUBLE"),
        TensorProto.INT64: (torch.int64, "INT64"), TensorProto.BOOL: (torch.bool, "BOOL"),
        TensorProto.UINT4: (torch.uint8, "UINT4"), TensorProto.INT4: (torch.int8, "INT4"),
    }  # fmt: skip
    for code, (dtype, name) in elements.items():
        assert read(made(to=code, kind=code), cast, precision) == {"to": dtype, "kind": Element(name, dtype)}
    assert read(made(to="DOUBLE"), cast, precision) == {"to": DOUBLE}  # as opset 1 wrote it
    assert read(made(to=TensorProto.UNDEFINED), cast, precision) == {"to": None}
    with pytest.raises(NeverSupported, match="STRING"):
        read(made(to=TensorProto.STRING), cast, precision)


@pytest.mark.parametrize("precision", [FLOAT, DOUBLE])
def test_a_tensor_comes_in_this_conversions_precision(precision: torch.dtype) -> None:
    def filled(x: Tensor, *, value: Tensor | None = None) -> Tensor:
        return x

    value = read(made(value=helper.make_tensor("", TensorProto.FLOAT, [2], [0.5, 2])), filled, precision)["value"]
    assert value.dtype is precision
    assert value.tolist() == [0.5, 2]
    counted = read(made(value=helper.make_tensor("", TensorProto.INT64, [], [7])), filled, precision)["value"]
    assert (counted.dtype, counted.tolist()) == (torch.int64, 7)


def test_what_the_builder_knows_is_handed_over_without_an_attribute() -> None:
    def knowing(x: Tensor, *, count: OutputCount, read: ReadCount, mode: Mode, name: NodeName) -> Tensor:
        return x

    found = read(made(name="first"), knowing, outputs=1)
    assert found == {"count": 2, "read": 1, "mode": MODE, "name": "first"}
    assert found["mode"] is MODE
    assert read(made(), knowing, outputs=0) == {"count": 2, "read": 1, "mode": MODE, "name": "y"}
    silent = helper.make_node("Own", ["a"], ["", "z", ""])
    assert read(silent, knowing, outputs=2) == {"count": 2, "read": 2, "mode": MODE, "name": "z"}


def test_types_of_inputs_and_of_the_first_output_are_told_where_they_are_known() -> None:
    def typed(x: Tensor, *, written: OutputElement, given: InputElements) -> Tensor:
        return x

    types = {"a": tensor_type(TensorProto.FLOAT16), "b": tensor_type(TensorProto.STRING), "": TypeProto(),
             "y": tensor_type(TensorProto.INT8), "z": tensor_type(TensorProto.BOOL)}  # fmt: skip
    found = read(made(), typed, types=types)
    assert found == {"written": Element("INT8", torch.int8), "given": (Element("FLOAT16", FLOAT), None, None)}
    assert read(made(), typed) == {"written": None, "given": (None, None, None)}


def test_bodies_are_left_to_whoever_builds_them() -> None:
    def looping(x: Tensor, *, body: Body, axis: int = 0) -> Tensor:
        return x

    assert read(made(body=helper.make_graph([], "b", [], []), axis=3), looping) == {"axis": 3}
