"""Maps and strings behind the scores: what becomes of the outputs, and what the report is told."""

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from analysis.convert import convert
from analysis.errors import NeverSupported
from analysis.model import check_model
from tests.analysis.model.traditional.graphs import LABEL_AND_SCORES, floats, graph, node, ours, single, theirs


def classifier_with_map(**labels: object) -> ModelProto:
    """Scores, and a ZipMap of them as the second output."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["raw"]),
        helper.make_node("Softmax", ["raw"], ["scores"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
        node("ZipMap", ["scores"], ["map"], **labels),
    ]
    proto = graph(nodes, {"x": floats(4, 3)}, {"label": TensorProto.INT64}, {"w": floats(3, 2)})
    key = TensorProto.INT64 if "classlabels_int64s" in labels else TensorProto.STRING
    inner = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    proto.graph.output.append(helper.make_value_info("map", helper.make_sequence_type_proto(inner)))
    return proto


@pytest.mark.parametrize("labels", [{"classlabels_int64s": [3, 5]}, {"classlabels_strings": ["no", "yes"]}])
def test_a_map_becomes_the_tensor_it_was_made_of_and_keeps_its_name(labels: dict[str, object]) -> None:
    proto, x = classifier_with_map(**labels), floats(5, 3)
    model = check_model(proto.SerializeToString())
    label, scores = ours(model, {"x": x})
    wanted, maps = theirs(proto, {"x": x})
    names = next(iter(labels.values()))
    np.testing.assert_array_equal(label, wanted)
    np.testing.assert_allclose(scores, [[each[name] for name in names] for each in maps], rtol=1e-5)
    assert [(spec.name, spec.dtype, spec.shape) for spec in model.outputs][1] == ("map", "float32", (None, 2))
    assert model.notes == ("ZipMap left out: map is the tensor that it reads",)


@pytest.mark.parametrize(("labels", "kept"), [([3, 5], True), ([5, 3], False)])
def test_the_file_is_compared_only_where_its_maps_are_in_the_order_of_the_columns(
    labels: list[int], kept: bool
) -> None:
    content = classifier_with_map(classlabels_int64s=labels).SerializeToString()
    model = check_model(content)
    assert model.original == (content if kept else None)
    assert model.source is None


def test_labels_that_are_strings_are_left_out_with_what_made_them() -> None:
    attributes = {"coefficients": floats(4).tolist(), "intercepts": [0.1, 0.2], "classlabels_strings": ["a", "b"]}
    proto, x = (
        single("LinearClassifier", floats(3, 2), (TensorProto.STRING, TensorProto.FLOAT), **attributes),
        floats(3, 2),
    )
    model = check_model(proto.SerializeToString())
    assert [spec.name for spec in model.outputs] == ["y1"]
    assert model.notes == ("output y0 left out: it holds names, not numbers",)
    np.testing.assert_allclose(ours(model, {"x": x})[0], theirs(proto, {"x": x})[1], rtol=1e-5)


def test_labels_extracted_from_strings_are_left_out_too() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["place"], axis=1, keepdims=0),
        node("ArrayFeatureExtractor", ["names", "place"], ["row"]),
        helper.make_node("Reshape", ["row", "whole"], ["label"]),
    ]
    weights = {"w": floats(3, 2), "names": np.array(["a", "b"], object), "whole": np.array([-1], np.int64)}
    outputs = {"label": TensorProto.STRING, "scores": TensorProto.FLOAT}
    model = check_model(graph(nodes, {"x": floats(4, 3)}, outputs, weights).SerializeToString())
    assert [each.op_type for each in model.nodes] == ["MatMul"]
    assert set(model.weights) == {"w"}


def test_names_that_the_standard_looks_up_are_left_out_too() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["place"], axis=1, keepdims=0),
        helper.make_node("Gather", ["names", "place"], ["label"]),
    ]
    weights = {"w": floats(3, 2), "names": np.array(["a", "b"], object)}
    proto = graph(nodes, {"x": floats(4, 3)}, {"label": TensorProto.STRING, "scores": TensorProto.FLOAT}, weights)
    model = check_model(proto.SerializeToString())
    assert [each.op_type for each in model.nodes] == ["MatMul"]
    assert model.notes == ("output label left out: it holds names, not numbers",)
    x = floats(4, 3)
    np.testing.assert_allclose(ours(model, {"x": x})[0], theirs(proto, {"x": x})[1], rtol=1e-5)


def test_a_graph_of_which_nothing_but_strings_would_remain_is_refused() -> None:
    attributes = {"coefficients": [1.0, 2.0], "intercepts": [0.1, 0.2], "classlabels_strings": ["a", "b"]}
    nodes = [node("LinearClassifier", ["x"], ["label", "unread"], **attributes)]
    proto = graph(nodes, {"x": floats(3, 1)}, {"label": TensorProto.STRING})
    with pytest.raises(NeverSupported, match="strings"):
        convert(check_model(proto.SerializeToString()))


def test_whole_labels_stay_beside_the_scores() -> None:
    proto = single(
        "LinearClassifier", floats(3, 2), LABEL_AND_SCORES, coefficients=[1.0, 2.0, 3.0, 4.0], intercepts=[0.1, 0.2],
        classlabels_ints=[4, 2],
    )  # fmt: skip
    assert [spec.name for spec in check_model(proto.SerializeToString()).outputs] == ["y0", "y1"]
