"""Where a graph counts samples, which constants hold their number, and at which node it cannot be told."""

import numpy as np
import pytest
import torch

from analysis.convert.stepwise import step_through
from analysis.convert.translate import read_graph
from analysis.errors import NodeFailed
from analysis.model import check_model
from analysis.model.opened import CountedRows, EqualRows, SampleAxis, SizeEntry
from analysis.subject.same_samples import Sizes
from analysis.subject.trace import Trace, Tracer, standing_against
from tests.analysis.fixed_exports import FEATURES, STEPS, Reader, fixed
from tests.analysis.text_models import drawn, written


def traced(model: bytes, x: np.ndarray, sizes: Sizes, axis: int = 0, *, static: bool = True) -> Trace:
    steps = step_through(read_graph(check_model(model)), torch.float64)
    return Tracer(steps, sizes, static).run({"x": x}, {"x": axis})


def test_the_axis_is_followed_through_transposes_and_merges() -> None:
    model = written(
        "(float[4,2,3] x) => (float[8,3] y)", "t = Transpose<perm = [1, 0, 2]>(x) y = Reshape(t, s)",
        s=np.array([-1, 3]),
    )  # fmt: skip
    trace = traced(model, drawn(4, 2, 3), Sizes(4, 2))
    assert trace.where == {"x": SampleAxis(0), "t": SampleAxis(1), "y": SampleAxis(0, 2, 1)}
    assert (trace.changes, trace.stuck) == ((), None)


def test_a_size_that_holds_samples_is_found_and_others_are_left() -> None:
    model = written("(float[4,4,3] x) => (float[4,12] y)", "y = Reshape(x, s)", s=np.array([4, 12]))
    trace = traced(model, drawn(4, 4, 3), Sizes(4, 2))
    assert trace.changes == (SizeEntry("y", 1, 0, (4, 12), keeps=True),)


def test_of_one_sample_the_leading_one_is_the_sample() -> None:
    model = written("(float[1,6] x) => (float[1,1,6] y)", "y = Reshape(x, s)", s=np.array([1, 1, 6]))
    trace = traced(model, drawn(3, 6), Sizes(1, 3))
    assert trace.changes == (SizeEntry("y", 1, 0, (1, 1, 6), keeps=True),)


def test_where_the_likelier_axis_leads_nowhere_the_other_is_tried() -> None:
    """[5, 1, 2 * 3] as [5, 2 * N, 3] is likelier than [5 * N, 2, 3], and does not fit MatMul with [2, 3, 4] rows."""
    model = written(
        "(float[5,1,6] x) => (float[5,2,4] y)", "h = Reshape(x, s) y = MatMul(h, W)",
        s=np.array([5, 2, 3]), W=drawn(5, 3, 4),
    )  # fmt: skip
    kept = traced(model, drawn(5, 3, 6), Sizes(1, 3), axis=1)
    assert kept.where["h"] == SampleAxis(1, 1, 2)
    other = written(
        "(float[5,1,6] x) => (float[5,2,3] y)", "h = Reshape(x, s) y = Add(h, B)", s=np.array([5, 2, 3]), B=drawn(2, 1)
    )
    trace = traced(other, drawn(5, 3, 6), Sizes(1, 3), axis=1)
    assert trace.where["h"] == SampleAxis(0, 5, 1)
    assert trace.stuck is None


def test_an_initial_state_of_one_row_is_given_a_row_for_every_sample() -> None:
    """torch would stretch it; onnxruntime refuses it."""
    weights = {"W": drawn(1, 2, 3), "R": drawn(1, 2, 2, seed=1), "h": np.zeros((1, 1, 2), np.float32)}
    model = written("(float[5,1,3] x) => (float[5,1,1,2] y)", "y = RNN<hidden_size = 2>(x, W, R, , , h)", **weights)
    trace = traced(model, drawn(5, 3, 3), Sizes(1, 3), axis=1)
    assert trace.changes == (EqualRows("y", 5, 1, 3),)
    assert trace.where["y"] == SampleAxis(2)


def test_indices_that_count_samples_are_found() -> None:
    pairs = np.array([[n, 2] for n in range(4)])
    model = written("(float[4,3] x) => (float[4] y)", "y = GatherND(x, pairs)", pairs=pairs)
    (change,) = traced(model, drawn(4, 3), Sizes(4, 2)).changes
    assert isinstance(change, CountedRows)
    np.testing.assert_array_equal(change.step, [[1, 0]])
    single = written("(float[1,3] x) => (float[1] y)", "y = GatherND(x, pairs)", pairs=np.array([[0, 2]]))
    (change,) = traced(single, drawn(3, 3), Sizes(1, 3)).changes
    np.testing.assert_array_equal(change.step, [[1, 0]])


def test_rows_that_differ_are_no_equal_rows() -> None:
    model = written("(float[4,3] x) => (float[4,3] y)", "y = Mul(x, c)", c=drawn(4, 1))
    trace = traced(model, drawn(4, 3), Sizes(4, 2))
    assert trace.stuck is not None
    assert trace.stuck.op_type == "Mul"


def test_sizes_read_off_an_input_are_as_good_as_constants_where_nothing_else_is_open() -> None:
    model = written(
        "(float[4,2,3] x) => (float[4,6] y)",
        "d = Shape(x) r = Gather(d, one) n = Mul(r, three) s = Concat<axis = 0>(four, n) y = Reshape(x, s)",
        one=np.array([1]), three=np.array([3]), four=np.array([4]),
    )  # fmt: skip
    (change,) = traced(model, drawn(4, 2, 3), Sizes(4, 2)).changes
    assert change == SizeEntry("y", 1, 0, (4, 6), keeps=True)
    assert traced(model, drawn(4, 2, 3), Sizes(4, 2), static=False).stuck is not None


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_recurrent_layer_along_the_samples_is_named(kind: str) -> None:
    torch.manual_seed(0)
    model = fixed(Reader(kind, batch_first=False), torch.randn(8, STEPS, FEATURES))
    stuck = traced(model, drawn(8, STEPS, FEATURES), Sizes(8, 4)).stuck
    assert stuck is not None
    assert stuck.op_type == kind
    assert standing_against(stuck).endswith("takes the first axis for time steps (batch_first?)")


def test_a_graph_that_does_not_run_as_exported_is_refused() -> None:
    model = written("(float[4,6] x) => (float[4,5] y)", "y = Reshape(x, s)", s=np.array([4, 5]))
    with pytest.raises(NodeFailed):
        traced(model, drawn(4, 6), Sizes(4, 2))
