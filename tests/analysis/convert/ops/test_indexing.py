"""Cases of elements looked up and written by index."""

import numpy as np
import onnxruntime
import pytest
import torch

from analysis.convert import convert
from analysis.errors import NodeFailed
from analysis.model import check_model
from tests.analysis.convert.ops.cases import RANDOM, Case, floats, ints, scalar

X = floats(2, 3, 4)
LINE, GRID = floats(8), floats(3, 4)
INTEGERS = RANDOM.permutation(24).reshape(2, 3, 4)


def scattered(op: str, x: np.ndarray, indices: np.ndarray, updates: np.ndarray, **attributes: object) -> list[Case]:
    """Combining with duplicates among the indices; opset 16 adds and multiplies, opset 18 compares."""
    reductions = (("add", 16), ("mul", 16), ("max", 18), ("min", 18))
    return [
        Case(op, [x, indices, updates], {"reduction": reduction, **attributes}, since=since, name=reduction)
        for reduction, since in reductions
    ]


CASES: list[Case] = [
    Case("Gather", [GRID, ints(2, 0, 2)]),
    Case("Gather", [GRID, np.array([[0, -1], [-3, 1]])], since=11, name="from the end"),
    Case("Gather", [GRID, scalar(1, np.int64)], name="one row"),
    Case("Gather", [X, scalar(-1, np.int64)], {"axis": 1}, since=11, constant=(1,), name="one of the middle"),
    Case("Gather", [X, np.array([[0, 2], [3, 3]], np.int32)], {"axis": -1}, since=11, name="last axis"),
    Case("Gather", [LINE, scalar(3, np.int64)], constant=(1,), name="one element"),
    Case("Gather", [ints(5, 6, 7), ints(0, 2)], differentiable=False, name="integers"),
    Case("GatherElements", [GRID, np.array([[2, 0, 1, 0], [0, -1, 2, 2]])]),
    Case("GatherElements", [GRID, np.array([[3, -4], [0, 1], [2, 2]])], {"axis": 1}, name="last axis"),
    Case("GatherND", [X, np.array([[0, 1], [1, -1]])]),
    Case("GatherND", [X, np.array([[[0, 1, 2]], [[1, -1, -4]]])], name="elements"),
    Case("GatherND", [X, np.array([[1], [2]])], {"batch_dims": 1}, since=12, name="one batch axis"),
    Case(
        "GatherND", [X, np.array([[[0], [3], [1]], [[1], [1], [2]]])], {"batch_dims": 2}, since=12,
        name="two batch axes",
    ),
    Case("ScatterElements", [GRID, np.array([[2, 0], [0, -1]]), floats(2, 2)]),
    Case("ScatterElements", [GRID, np.array([[2, 0], [1, -4]]), floats(2, 2)], {"axis": 1}, name="last axis"),
    Case("ScatterElements", [GRID, np.array([[2, 0]], np.int32), floats(1, 2)], {"axis": -1}, name="axis from the end"),
    *scattered("ScatterElements", GRID, np.array([[2, 0, 2], [1, 3, -1]]), floats(2, 3), axis=1),
    Case(
        "ScatterElements", [INTEGERS[0], np.array([[1, 1, 1, 0]]), INTEGERS[1][:1]], {"reduction": "add"}, since=16,
        differentiable=False, name="integers",
    ),
    Case("Scatter", [GRID, np.array([[2, 0], [0, 1]]), floats(2, 2)], until=11),
    Case("Scatter", [GRID, np.array([[2, 0], [0, 1]]), floats(2, 2)], {"axis": 1}, until=11, name="last axis"),
    Case("ScatterND", [X, np.array([[0, 1], [1, -1]]), floats(2, 4)]),
    Case("ScatterND", [X, np.array([[1]]), floats(1, 3, 4)], name="whole slice"),
    Case("ScatterND", [X, np.array([[[0, 1, 2], [1, 0, 3]]]), floats(1, 2)], name="elements"),
    *scattered("ScatterND", X, np.array([[0, 1], [1, 2], [0, 1]]), floats(3, 4)),
    Case("OneHot", [np.array([[0, 2], [-1, 3]]), scalar(3, np.int64), floats(2)], constant=(1,)),
    Case("OneHot", [ints(0, 2, -3, -4), ints(3), floats(2)], {"axis": 0}, constant=(1,), name="first axis"),
    Case("OneHot", [np.array([[0, 2], [-1, 1]]), scalar(3, np.int64), floats(2)], {"axis": -2}, name="middle axis"),
    Case(
        "OneHot", [np.array([0.0, 2.0, 1.0], np.float32), scalar(3.0), floats(2)], constant=(0, 1), name="float indices"
    ),
    Case(
        "OneHot", [ints(0, 2), scalar(3, np.int64), ints(0, 1)], constant=(1, 2), differentiable=False, name="integers",
    ),
    Case("NonZero", [np.array([[1, 0, 2], [0, 3, 0]], np.float32)], differentiable=False, returns=("int64",)),
    Case("NonZero", [LINE > 0], differentiable=False, returns=("int64",), name="logical"),
    *[
        Case(
            op, [INTEGERS[0].astype(kind), at, INTEGERS[1][:1].astype(kind)], {"reduction": reduction}, since=18,
            differentiable=False, name=f"{kind} {reduction}",
        )
        for op, at in (("ScatterElements", np.array([[1, 1, 1, 0]])), ("ScatterND", np.array([[1]])))
        for kind in ("uint16", "uint32", "uint64")
        for reduction in ("none", "add", "mul", "max", "min")
        if (op, reduction) != ("ScatterElements", "none")
    ],
]  # fmt: skip


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 5), (2, 1), (1, 2, 4)], ids=str)
def test_updates_that_indices_do_not_take_are_refused_by_name_as_onnxruntime_does(shape: tuple[int, ...]) -> None:
    """torch's scatter passes over updates that are too many; what writes them lost the shape of an assignment."""
    case = Case("ScatterND", [X, np.array([[0, 1], [1, 2]]), floats(*shape)])
    content = case.model(18).SerializeToString()
    with pytest.raises(Exception, match="updates tensor should have shape"):
        onnxruntime.InferenceSession(content).run(None, case.feed())
    with pytest.raises(NodeFailed) as refused:
        convert(check_model(content))(*[torch.from_numpy(array) for array in case.feed().values()])
    assert refused.value.where == "node (ScatterND)"
    assert f"updates have the shape {list(shape)}, these indices take [2, 4]" in refused.value.detail
    assert "torch.where" in refused.value.hint


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (1, 2), (2, 2, 1)], ids=str)
@pytest.mark.parametrize("reduction", ["none", "mul"])
def test_updates_of_another_shape_than_indices_are_refused_as_onnxruntime_does(
    shape: tuple[int, ...], reduction: str
) -> None:
    """torch's scatter passes over updates that are too many, and its gradient of a product fails."""
    case = Case("ScatterElements", [GRID, np.array([[2, 0], [0, 1]]), floats(*shape)], {"reduction": reduction})
    content = case.model(18).SerializeToString()
    with pytest.raises(Exception, match="Indices"):
        onnxruntime.InferenceSession(content).run(None, case.feed())
    with pytest.raises(NodeFailed, match="updates have the shape"):
        convert(check_model(content))(*[torch.from_numpy(array) for array in case.feed().values()])
