"""Which operator a node is depends on where it stands."""

import numpy as np
import pytest
from onnx import TensorProto, TypeProto, helper, parser

from analysis.convert.definitions import Scope
from analysis.convert.registry import _TABLE, Operator, OutputElement, Tensor
from analysis.convert.scopes import operator_of, scope_inside, type_in
from tests.analysis.convert.conversion import checked, proto

FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])


def fold(x: Tensor) -> Tensor:
    return x


def typed(x: Tensor, *, written: OutputElement) -> Tensor:
    return x


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = [Operator("own", "Fold", since, fold, pure=True) for since in (1, 3)]
    monkeypatch.setitem(_TABLE, ("own", "Fold"), versions)
    monkeypatch.setitem(_TABLE, ("own", "Typed"), [Operator("own", "Typed", 1, typed, pure=True)])


@pytest.mark.parametrize(("version", "since"), [(1, 1), (2, 1), (3, 3), (9, 3)])
def test_an_operator_is_that_of_the_version_its_graph_is_written_in(version: int, since: int) -> None:
    scope = Scope({"": 20, "own": version}, lambda _: None)
    found = operator_of(scope, helper.make_node("Fold", ["x"], ["y"], domain="own"))
    assert found is not None
    assert found.since == since


def test_an_operator_of_another_domain_is_another_one() -> None:
    scope = Scope({"": 20, "own": 1}, lambda _: None)
    assert operator_of(scope, helper.make_node("Fold", ["x"], ["y"])) is None
    assert operator_of(scope, helper.make_node("Relu", ["x"], ["y"], domain="own")) is None
    assert operator_of(scope, helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx")) is not None


def inferred(nodes: str) -> bool:
    """Whether a value that the body does not declare has a type inside."""
    graph = parser.parse_graph(f"body () => (float[2] out) {{ h = Neg(outer) {nodes} }}")
    types = {"outer": FLOATS, "on": helper.make_tensor_type_proto(TensorProto.BOOL, [])}
    inside = scope_inside(Scope({"": 20, "own": 1}, types.get), graph, {"": 20, "own": 1})
    assert inside.opsets == {"": 20, "own": 1}
    return inside.type_of("h") is not None


CHOICE = """out = If (on) < then_branch = t () => (float[2] u) {{ u = {}(h) }},
    else_branch = e () => (float[2] v) {{ v = Neg(h) }} >"""


@pytest.mark.parametrize(
    ("nodes", "asked"),
    [
        ("out = Relu(h)", False),
        ("out = own.Fold(h)", False),
        ("out = own.Typed(h)", True),
        ("g = own.Typed(h) out = Relu(h)", True),
        (CHOICE.format("own.Typed"), True),
        (CHOICE.format("Relu"), False),
    ],
    ids=["standard", "own", "typed", "typed among others", "typed in a body", "bodies"],
)
def test_types_inside_are_inferred_where_some_node_asks_for_them(nodes: str, asked: bool) -> None:
    assert inferred(nodes) is asked


def test_the_type_of_a_value_is_that_of_its_tensor_or_what_follows_from_the_inputs() -> None:
    model = checked(
        proto("h = Add(x, w) i = Shape(h) y = own.Fold(h)", outputs="float[] y, int64[2] i",
              w=np.ones(4, np.float32), k=np.array(3, np.int8))
    )  # fmt: skip

    def element(name: str) -> int:
        found = type_in(model, name)
        assert found is not None
        return found.tensor_type.elem_type

    assert [element(name) for name in ("x", "w", "k", "h", "i", "y")] == [
        TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT8, TensorProto.FLOAT, TensorProto.INT64, TensorProto.FLOAT
    ]  # fmt: skip
    assert type_in(model, "") == TypeProto()
    assert type_in(model, "nowhere") is None


def test_a_value_that_inference_knows_only_by_name_has_no_type() -> None:
    model = checked(proto("h = own.Fold(x) y = own.Fold(h)"))
    assert type_in(model, "h") is None
