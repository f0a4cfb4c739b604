"""The stage: which graphs are rewritten, in which opset, and what is left to be refused."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from analysis.convert import convert
from analysis.errors import NeverSupported, UnsupportedOp
from analysis.model import check_model
from analysis.model.onnx_tools import assemble_proto, check_graph
from analysis.model.traditional import REWRITINGS
from tests.analysis.model.traditional.graphs import assert_same, floats, graph, node, single, theirs

TREE = {
    "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
    "nodes_values": [0.5, 0.0, 0.0], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0], "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0],
    "target_weights": [1.0, 2.0], "n_targets": 1,
}  # fmt: skip


def test_a_graph_without_the_domain_is_left_as_it_is() -> None:
    proto = graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": floats(2, 3)},
        {"y": TensorProto.FLOAT},
        {"w": floats(3, 2)},
    )
    content = proto.SerializeToString()
    model = check_model(content)
    assert (model.source, model.original, model.fixed, model.notes) == (content, None, {}, ())


def test_the_rewritten_model_is_valid_and_the_same_in_onnxruntime() -> None:
    scaled = node("Scaler", ["x"], ["h"], offset=[1.0], scale=[0.5])
    linear = node("LinearRegressor", ["h"], ["y"], coefficients=[1.0, 2.0], intercepts=[0.5])
    proto, x = graph([scaled, linear], {"x": floats(3, 2)}, {"y": TensorProto.FLOAT}), floats(3, 2)
    model = check_model(proto.SerializeToString())
    whole = assemble_proto(model.proto, model.weights)
    check_graph(model.proto, model.weights)
    np.testing.assert_allclose(theirs(whole, {"x": x})[0], theirs(proto, {"x": x})[0], rtol=1e-6)


@pytest.mark.parametrize("standard", [None, 1])
def test_a_graph_without_a_node_of_the_standard_gets_an_opset(standard: int | None) -> None:
    proto = single("LinearRegressor", floats(2, 2), coefficients=[1.0, 2.0])
    del proto.opset_import[:]
    imports = [helper.make_opsetid("ai.onnx.ml", 1)] + ([helper.make_opsetid("", standard)] if standard else [])
    proto.opset_import.extend(imports)
    assert_same(proto, x=floats(3, 2))


@pytest.mark.parametrize("wide", [True, False])
def test_what_stands_in_a_branch_is_rewritten_there_and_trains(wide: bool) -> None:
    linear = node("LinearRegressor", ["x"], ["h"], coefficients=[1.0, 2.0], intercepts=[0.5])
    scaled = node("Scaler", ["h"], ["s"], offset=[1.0], scale=[0.5])
    first = helper.make_graph([linear, scaled], "first", [], [helper.make_tensor_value_info("s", 1, None)])
    other = node("LinearRegressor", ["x"], ["h"], coefficients=[-3.0, 1.0])
    second = helper.make_graph([other], "second", [], [helper.make_tensor_value_info("h", 1, None)])
    choice = helper.make_node("If", ["wide"], ["y"], then_branch=first, else_branch=second)
    flag = helper.make_tensor_value_info("wide", TensorProto.BOOL, [])
    proto = graph([choice], {"x": floats(3, 2)}, {"y": TensorProto.FLOAT})
    proto.graph.input.append(flag)
    model = assert_same(proto, x=floats(3, 2), wide=np.array(wide))
    assert sum(parameter.numel() for parameter in convert(model).parameters()) == 5
    assert len(model.weights) > len(convert(model).initializers)  # offset and scale do not train


def test_under_an_opset_that_lacks_what_is_needed_the_node_is_refused() -> None:
    nodes = [node("LinearRegressor", ["x"], ["h"], coefficients=[1.0, 2.0]), helper.make_node("Relu", ["h"], ["y"])]
    proto = graph(nodes, {"x": floats(2, 2)}, {"y": TensorProto.FLOAT}, opsets=(8, 1, 3))
    with pytest.raises(UnsupportedOp, match="LinearRegressor"):
        convert(check_model(proto.SerializeToString()))


def test_trees_are_refused_for_good_with_the_reason() -> None:
    proto = single("TreeEnsembleRegressor", floats(2, 1), **TREE)
    with pytest.raises(NeverSupported, match="step function"):
        convert(check_model(proto.SerializeToString()))


def test_every_unsupported_node_is_named_in_one_error() -> None:
    words = node("CategoryMapper", ["x"], ["h"], cats_int64s=[1], cats_strings=["a"])
    back = node("CategoryMapper", ["h"], ["k"], cats_int64s=[1], cats_strings=["a"])
    back.name = "back"
    cast = helper.make_node("Cast", ["k"], ["f"], to=TensorProto.FLOAT)
    tree = node("TreeEnsembleRegressor", ["f"], ["y"], **TREE)
    proto = graph([words, back, cast, tree], {"x": np.ones((2, 1), np.int64)}, {"y": TensorProto.FLOAT})
    with pytest.raises(NeverSupported, match=r"categorymapper, back.*treeensembleregressor"):
        convert(check_model(proto.SerializeToString()))


def test_what_is_rewritten_is_known_by_name() -> None:
    assert set(REWRITINGS) == {
        "ArrayFeatureExtractor", "Binarizer", "FeatureVectorizer", "Imputer", "LabelEncoder", "LinearClassifier",
        "LinearRegressor", "Normalizer", "OneHotEncoder", "SVMClassifier", "SVMRegressor", "Scaler",
    }  # fmt: skip
