"""Features chosen, joined and counted as onnxruntime does it."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from analysis.convert import convert
from analysis.errors import NeverSupported
from analysis.model import check_model
from tests.analysis.model.traditional.graphs import OPSETS, assert_same, floats, graph, node, single

LATER = OPSETS[1:]


@pytest.mark.parametrize("opsets", OPSETS)
def test_features_are_extracted_from_rows_and_from_a_vector(opsets: tuple[int, int, int]) -> None:
    places = np.array([2, 0], np.int64)
    nodes = [node("ArrayFeatureExtractor", ["x", "places"], ["y"])]
    for x in (floats(3, 4), floats(4)):
        assert_same(graph(nodes, {"x": x}, {"y": TensorProto.FLOAT}, {"places": places}, opsets), x=x)


def test_labels_are_extracted_by_places_that_are_computed() -> None:
    places = np.array([2, 0, 1, 1], np.int64)
    nodes = [node("ArrayFeatureExtractor", ["labels", "places"], ["y"])]
    labels = np.array([30, 10, 20], np.int64)
    assert_same(graph(nodes, {"places": places}, {"y": TensorProto.INT64}, {"labels": labels}), places=places)


def test_features_of_several_inputs_stand_beside_each_other() -> None:
    inputs = {"a": floats(3, 2), "b": floats(3, 3)}
    nodes = [node("FeatureVectorizer", ["a", "b"], ["y"], inputdimensions=[2, 3])]
    assert_same(graph(nodes, inputs, {"y": TensorProto.FLOAT}), **inputs)


@pytest.mark.parametrize("opsets", LATER)
@pytest.mark.parametrize("x", [np.array([[1], [3]], np.int64), np.array([1, 4, 2], np.float32)])
def test_categories_become_columns(x: np.ndarray, opsets: tuple[int, int, int]) -> None:
    assert_same(single("OneHotEncoder", x, cats_int64s=[1, 2, 3], zeros=1, opsets=opsets), x=x)


@pytest.mark.parametrize("opsets", LATER)
def test_keys_are_replaced_by_their_values(opsets: tuple[int, int, int]) -> None:
    x = np.array([[5, 7], [9, 6]], np.int64)
    tables = {"keys_int64s": [5, 6, 7], "values_floats": [0.5, 0.25, 0.125], "default_float": -2.0}
    assert_same(single("LabelEncoder", x, opsets=opsets, **tables), x=x)
    numbers = {"keys_floats": [5.0, 6.0], "values_int64s": [50, 60], "default_int64": -3}
    y = x.astype(np.float32)
    assert_same(single("LabelEncoder", y, (TensorProto.INT64,), opsets=opsets, **numbers), x=y)


def test_keys_and_values_may_be_tensors() -> None:
    x = np.array([[5, 7], [9, 6]], np.int64)
    tables = {
        "keys_tensor": numpy_helper.from_array(np.array([5, 6], np.int64)),
        "values_tensor": numpy_helper.from_array(np.array([1, 2], np.int64)),
        "default_tensor": numpy_helper.from_array(np.array([-1], np.int64)),
    }
    assert_same(single("LabelEncoder", x, (TensorProto.INT64,), opsets=OPSETS[4], **tables), x=x)


def test_strings_in_front_of_a_layer_are_refused_by_name() -> None:
    names = helper.make_tensor_value_info("x", TensorProto.STRING, ["N"])
    encoder = node("OneHotEncoder", ["x"], ["h"], cats_strings=["a", "b"], zeros=1)
    proto = graph(
        [encoder, helper.make_node("MatMul", ["h", "w"], ["y"])], {}, {"y": TensorProto.FLOAT}, {"w": floats(2, 3)}
    )
    proto.graph.input.append(names)
    with pytest.raises(NeverSupported, match="strings"):
        convert(check_model(proto.SerializeToString()))
