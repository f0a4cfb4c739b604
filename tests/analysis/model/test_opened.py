"""The edit: constants that count samples written anew. Truth is onnxruntime on the graph as it was."""

import numpy as np
import onnx
import pytest

from analysis.errors import InvalidModel
from analysis.model import CheckedModel, check_model
from analysis.model.onnx_tools import assemble_proto
from analysis.model.opened import Change, CountedRows, EqualRows, SampleAxis, SizeEntry, open_axis
from tests.analysis.fixed_exports import run
from tests.analysis.text_models import drawn, written


def opened(model: bytes, size: int, *changes: Change, **where: SampleAxis) -> CheckedModel:
    return open_axis(check_model(model), size, {"x": 0}, where, changes)


def results(model: CheckedModel, x: np.ndarray) -> np.ndarray:
    proto = assemble_proto(model.proto, model.weights)
    onnx.checker.check_model(proto, full_check=True)
    return run(proto.SerializeToString(), x)


def test_a_size_that_the_input_has_too_is_taken_from_there() -> None:
    model = written("(float[4,2,3] x) => (float[4,6] y)", "y = Reshape(x, s)", s=np.array([4, -1]))
    made = opened(model, 4, SizeEntry("y", 1, 0, (4, -1), keeps=True), y=SampleAxis(0))
    x = drawn(7, 2, 3)
    np.testing.assert_array_equal(results(made, x), x.reshape(7, 6))
    assert made.inputs[0].shape == ("batch", 2, 3)
    assert made.outputs[0].shape == ("batch", 6)
    assert made.sha256 == check_model(model).sha256


def test_a_size_that_holds_more_than_samples_is_what_is_left() -> None:
    model = written("(float[4,2,3] x) => (float[8,3] y)", "y = Reshape(x, s)", s=np.array([8, 3]))
    made = opened(model, 4, SizeEntry("y", 1, 0, (8, 3), keeps=False), y=SampleAxis(0, 1, 2))
    x = drawn(5, 2, 3)
    np.testing.assert_array_equal(results(made, x), x.reshape(10, 3))
    assert made.outputs[0].shape == (None, 3)


def test_a_zero_that_is_meant_literally_is_not_written() -> None:
    model = written("(float[4,2,3] x) => (float[4,6] y)", "y = Reshape<allowzero = 1>(x, s)", s=np.array([4, 6]))
    made = opened(model, 4, SizeEntry("y", 1, 0, (4, 6), keeps=True), y=SampleAxis(0))
    x = drawn(5, 2, 3)
    np.testing.assert_array_equal(results(made, x), x.reshape(5, 6))


@pytest.mark.parametrize("entry", [4, 8])
def test_other_sizes_are_computed_from_the_size_of_the_input(entry: int) -> None:
    """Reshape(x, [4, -1]) of what has been laid out otherwise, or [8, -1]: there is a -1 already."""
    model = written(
        "(float[4,2,3] x) => (float[4,6] y)", "t = Transpose<perm = [1, 0, 2]>(x) y = Reshape(t, s)",
        s=np.array([entry, -1]),
    )  # fmt: skip
    made = opened(model, 4, SizeEntry("y", 1, 0, (entry, -1), keeps=False))
    x = drawn(6, 2, 3)
    np.testing.assert_array_equal(results(made, x), x.transpose(1, 0, 2).reshape(6 * entry // 4, -1))


def test_equal_rows_become_one_that_is_expanded() -> None:
    """An initial state [1, 4, 2] that is stored: one row of it is left, under its own name."""
    weights = {"W": drawn(1, 2, 3), "R": drawn(1, 2, 2, seed=1), "h": np.full((1, 4, 2), 0.5, np.float32)}
    text = "(float[4,5,3] x) => (float[5,1,4,2] y)"
    nodes = "t = Transpose<perm = [1, 0, 2]>(x) y = RNN<hidden_size = 2>(t, W, R, , , h)"
    model = written(text, nodes, **weights)
    made = opened(model, 4, EqualRows("y", 5, 1, 3), t=SampleAxis(1), y=SampleAxis(2))
    assert made.weights["h"].shape == (1, 1, 2)
    x = drawn(6, 5, 3)
    halves = [run(model, x[:4])[:, :, :4], run(model, x[2:])[:, :, 2:]]
    np.testing.assert_allclose(results(made, x), np.concatenate(halves, axis=2), atol=1e-6)


def test_a_stored_tensor_that_somebody_else_reads_keeps_its_rows() -> None:
    model = written(
        "(float[4,3] x) => (float[8,3] y, float[4,3] z)", "y = Concat<axis = 0>(x, c) z = Neg(c)",
        c=np.ones((4, 3), np.float32),
    )  # fmt: skip
    made = opened(model, 4, EqualRows("y", 1, 0, 2), y=SampleAxis(0, 2, 1))
    assert made.weights["c"].shape == (4, 3)
    x = drawn(6, 3)
    np.testing.assert_array_equal(results(made, x), np.concatenate([x, np.ones((6, 3))]))


def test_numbers_that_count_samples_count_on() -> None:
    """y[n] = x[n, 2]: an index of a sample's own row, and a fixed column."""
    pairs = np.array([[n, 2] for n in range(4)])
    model = written("(float[4,3] x) => (float[4] y)", "y = GatherND(x, pairs)", pairs=pairs)
    made = opened(model, 4, CountedRows("y", 1, 0, np.array([[1, 0]])), y=SampleAxis(0))
    x = drawn(7, 3)
    np.testing.assert_array_equal(results(made, x), x[:, 2])


def test_counting_needs_range() -> None:
    pairs = np.array([[n, 2] for n in range(4)])
    checked = check_model(written("(float[4,3] x) => (float[4] y)", "y = GatherND(x, pairs)", pairs=pairs))
    for entry in checked.proto.opset_import:
        entry.version = 10
    with pytest.raises(InvalidModel):
        open_axis(checked, 4, {"x": 0}, {}, [CountedRows("y", 1, 0, np.array([[1, 0]]))])


def test_names_that_are_taken_are_left_alone() -> None:
    model = written(
        "(float[4,batch] x) => (float[4,batch] y)", "s = Identity(x) y = Expand(s, sizes)", sizes=np.array([4, 1])
    )
    proto = onnx.ModelProto.FromString(model)
    for value in ("batch_axis/samples", "batch_axis/shape"):
        proto.graph.node.append(onnx.helper.make_node("Identity", ["x"], [value]))
    made = opened(proto.SerializeToString(), 4, SizeEntry("y", 1, 0, (4, 1), keeps=False), y=SampleAxis(0))
    x = drawn(6, 2)
    np.testing.assert_array_equal(results(made, x), x)
    assert made.inputs[0].shape == ("batch_size", "batch")


def test_without_changes_only_what_is_declared_changes() -> None:
    model = written("(float[4,3] x) => (float[4,2] y)", "h = Relu(x) y = MatMul(h, W)", W=drawn(3, 2))
    proto = onnx.shape_inference.infer_shapes(onnx.ModelProto.FromString(model))
    assert proto.graph.value_info
    checked = check_model(proto.SerializeToString())
    made = open_axis(checked, 4, {"x": 0}, {"y": SampleAxis(0)})
    assert made.inputs[0].shape == ("batch", 3)
    assert [node.op_type for node in made.nodes] == ["Relu", "MatMul"]
    assert made.values["h"].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert checked.inputs[0].shape == (4, 3)
