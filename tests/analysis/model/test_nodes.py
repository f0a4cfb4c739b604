import pytest
from onnx import NodeProto, helper

from analysis.model.nodes import all_nodes, attributes_of, bodies, captured_by, captures, label
from tests.analysis.model.models import body, branch, node, value


def test_captures_are_what_bodies_read_from_outside() -> None:
    inner = branch(body([node("Add", "p q", "r")], "r"), body([node("Neg", "t", "s")], "s"), "u")
    outer = branch(body([node("Relu", "x", "t"), inner], "u"), body([], "direct"))
    assert captures(outer) == {"x", "p", "q", "b", "direct"}
    assert sorted(map(sorted, map(captured_by, bodies(outer)))) == [["b", "p", "q", "x"], ["direct"]]
    assert captures(node("Relu", "x", "y")) == set()


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (node("Relu", "x", "y", name="first"), "first"),
        (node("Relu", "x", "y"), "y"),
        (helper.make_node("Split", ["x"], ["", "z"]), "z"),
        (helper.make_node("Relu", ["x"], []), "Relu"),
    ],
)
def test_a_node_is_called_by_its_name_or_by_what_it_writes(made: NodeProto, wanted: str) -> None:
    assert label(made) == wanted


def test_what_a_body_writes_itself_is_not_captured_and_what_it_reads_before_is() -> None:
    graph = body([node("Neg", "late", "a"), node("Relu", "x", "late"), node("Clip", "a", "t")], "t")
    graph.input.append(value("x"))
    graph.node[2].input.extend(["", "high"])
    assert captures(branch(graph, body([node("Neg", "t", "t")], "t"))) == {"late", "high", "t"}


def test_bodies_are_found_in_attributes_of_one_graph_and_of_several() -> None:
    first, second, third = (body([node("Neg", "x", name)], name) for name in "pqr")
    made = helper.make_node("Own", ["x"], ["y"], number=3, one=first, others=[second, third])
    assert [graph.output[0].name for graph in bodies(made)] == ["p", "q", "r"]


def test_every_node_comes_before_those_of_its_bodies() -> None:
    inner = branch(body([node("Neg", "x", "p")], "p"), body([node("Abs", "x", "q")], "q"), "r")
    outer = branch(body([node("Relu", "x", "s"), inner], "r"), body([node("Exp", "x", "t")], "t"), "u")
    listed = [each.output[0] for each in all_nodes([node("Sin", "x", "a"), outer, node("Cos", "u", "y")])]
    assert listed == ["a", "u", "t", "s", "r", "q", "p", "y"]  # onnx's helper puts else_branch first


def test_attributes_are_python_values_by_name() -> None:
    given = {"axis": -1, "alpha": 0.5, "mode": "linear", "perm": [1, 0], "scales": [0.5, 2.0]}
    found = attributes_of(helper.make_node("Own", ["x"], ["y"], **given))
    assert found == {**given, "mode": b"linear"}
    assert attributes_of(node("Relu", "x", "y")) == {}
