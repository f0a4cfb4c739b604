"""A branch in place of its If. Truth is onnxruntime on the graph as it was."""

import numpy as np
import onnx
import onnxruntime
import pytest

from analysis.errors import InvalidModel
from analysis.model import CheckedModel
from analysis.model.inlined import inline_branches
from analysis.model.nodes import all_nodes, bodies
from analysis.model.onnx_tools import assemble_proto
from tests.analysis.branching import branching
from tests.analysis.text_models import drawn


def result(model: CheckedModel, rate: int) -> np.ndarray:
    proto = assemble_proto(model.proto, model.weights)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    output: np.ndarray = session.run(None, {"x": drawn(3, 4, seed=9), "rate": np.array(rate)})[0]
    return output


@pytest.mark.parametrize(("first", "rate"), [(True, 16), (False, 8)])
def test_the_branch_computes_what_the_if_did_when_it_was_taken(first: bool, rate: int) -> None:
    model = branching()
    inlined = inline_branches(model, {"choice": first})
    assert all(node.op_type != "If" for node in inlined.nodes)
    np.testing.assert_allclose(result(inlined, 0), result(model, rate), rtol=1e-6)
    assert not np.allclose(result(inlined, 0), result(model, 24 - rate), rtol=1e-3)
    assert inlined.original is model.source


@pytest.mark.parametrize(("first", "left"), [(True, "C"), (False, "A")])
def test_weights_of_the_other_branch_alone_do_not_train_and_say_why(first: bool, left: str) -> None:
    inlined = inline_branches(branching(), {"choice": first})
    assert dict(inlined.fixed) == {left: "only in the branch of choice that is not taken"}


def edited(model: CheckedModel, *, inner: bool = False) -> CheckedModel:
    """Two such Ifs one behind the other, whose branches call their values alike; or one with an If inside."""
    proto = onnx.ModelProto.FromString(model.proto.SerializeToString())
    (choice,) = [node for node in proto.graph.node if node.op_type == "If"]
    if inner:
        graph = onnx.parser.parse_graph("inner () => (float[N,4] q) { q = Exp(h) }")
        (then,) = [attribute.g for attribute in choice.attribute if attribute.name == "then_branch"]
        then.node[1].CopyFrom(onnx.helper.make_node("If", ["wide"], ["g"], then_branch=graph, else_branch=graph))
    again = onnx.NodeProto.FromString(choice.SerializeToString())
    again.name, again.output[0], choice.output[0] = "again", "y", "m"
    for attribute in again.attribute:
        attribute.g.node[0].input[0] = "m"
    proto.graph.node.append(again)
    return model.edited(proto, model.weights)


@pytest.mark.parametrize("inner", [True, False])
def test_names_that_the_graph_has_become_others_inside_bodies_too(inner: bool) -> None:
    model = edited(branching(), inner=inner)
    inlined = inline_branches(model, {"choice": True, "again": True})
    written = [name for node in inlined.nodes for name in node.output]
    assert len(written) == len(set(written))
    assert [node.op_type for node in all_nodes(inlined.nodes)].count("Exp") == (4 if inner else 0)
    np.testing.assert_allclose(result(inlined, 16), result(model, 16), rtol=1e-6)


@pytest.mark.parametrize("first", ["choice", "again"])
def test_no_value_is_called_as_one_in_a_body_that_stays(first: str) -> None:
    model = edited(branching())
    inlined = inline_branches(model, {first: True})
    np.testing.assert_allclose(result(inlined, 16), result(model, 16), rtol=1e-6)
    inside = {name for node in inlined.nodes for body in bodies(node) for each in body.node for name in each.output}
    assert inside == {"h", "g", "o"}
    assert inside.isdisjoint(name for node in inlined.nodes for name in node.output)


def test_a_branch_that_is_not_there_is_refused_by_name() -> None:
    model = branching()
    proto = onnx.ModelProto.FromString(model.proto.SerializeToString())
    (choice,) = [node for node in proto.graph.node if node.op_type == "If"]
    del choice.attribute[:]
    with pytest.raises(InvalidModel, match="then_branch"):
        inline_branches(model.edited(proto, model.weights), {"choice": True})
