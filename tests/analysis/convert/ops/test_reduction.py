"""Cases of the reduction family."""

import numpy as np
import torch

from analysis.convert import convert
from analysis.convert.ops.reduction import AXES_AS_INPUT_SINCE, REDUCERS
from analysis.model import check_model
from tests.analysis.convert.ops.cases import RANDOM, Case, floats, ints, scalar

X = floats(2, 3, 4)
POSITIVE = floats(2, 3, 4, low=0.1)
TIES = np.array([[3, 1, 3, 1], [2, 2, 5, 5]], np.float32)
INTEGERS = RANDOM.permutation(24).reshape(2, 3, 4)
NO_AXES = np.empty(0, np.int64)


def reductions(op: str) -> list[Case]:
    """Every way to name axes, before and after they became an input."""
    x = POSITIVE if op == "ReduceLogSum" else X
    turn = AXES_AS_INPUT_SINCE.get(op, 18)
    noop = {"noop_with_empty_axes": 1}
    return [
        Case(op, [x], name="everything"),
        Case(op, [x], {"keepdims": 0}, name="to a number"),
        Case(op, [x], {"axes": [1]}, until=turn, name="one axis"),
        Case(op, [x], {"axes": [0, 2], "keepdims": 0}, until=turn, name="two axes"),
        Case(op, [x], {"axes": [-1]}, since=11, until=turn, name="last axis"),
        Case(op, [x, ints(1)], since=turn, constant=(1,), name="one axis"),
        Case(op, [x, ints(0, 2)], {"keepdims": 0}, since=turn, constant=(1,), name="two axes"),
        Case(op, [x, ints(-1)], since=turn, name="last axis as input"),
        Case(op, [x, NO_AXES], {"keepdims": 0}, since=turn, constant=(1,), name="empty axes"),
        Case(op, [x], noop, since=turn, name="no axes, no effect"),
        Case(op, [x, NO_AXES], noop, since=turn, constant=(1,), name="empty axes, no effect"),
        Case(op, [x, ints(1)], noop, since=turn, constant=(1,), name="one axis after all"),
    ]


NOTHING = np.empty((2, 0, 4), np.float32)
PLENTY = np.array([1.0, 2.0, np.inf, 4.0], np.float32)


def empty(op: str) -> list[Case]:
    """The neutral element, where numpy has none of its own."""
    return [
        Case(op, [NOTHING.astype(kind), ints(1)], attributes, since=20, constant=(1,), differentiable=False, name=name,
             formula=lambda x, _, wanted=wanted, shape=shape: np.full(shape, wanted, x.dtype))
        for attributes, shape in (({}, (2, 1, 4)), ({"keepdims": 0}, (2, 4)))
        for kind, wanted in zip(
            (np.float32, np.float16, np.int32, np.uint8, np.uint32, np.bool_),
            (-np.inf, -np.inf, -(2**31), 0, 0, False) if op == "ReduceMax" else
            (np.inf, np.inf, 2**31 - 1, 255, 2**32 - 1, True),
            strict=True,
        )
        for name in [f"nothing of {np.dtype(kind).name} in {len(shape)} axes"]
    ]  # fmt: skip


CASES = [
    *[case for op in REDUCERS for case in reductions(op)],
    *[
        Case(op, [INTEGERS.astype(np.int32) - 9], {"keepdims": 0}, since=1, differentiable=False, name="integers")
        for op in REDUCERS
        if not op.startswith("ReduceLog")
    ],
    *[
        Case(op, [INTEGERS.astype(kind), ints(1)], since=18, constant=(1,), differentiable=False, name=kind.__name__,
             refused=True)
        for op in REDUCERS
        if not op.startswith("ReduceLog") and op != "ReduceSumSquare"
        for kind in (np.uint32, np.uint64)
    ],
    Case(
        "ReduceSumSquare", [INTEGERS.astype(np.uint32), ints(1)], since=18, constant=(1,), differentiable=False,
        name="unsigned", formula=lambda x, _: (x**2).sum(1, keepdims=True, dtype=x.dtype),
    ),
    *[
        Case(op, [floats(2, 3, 4, low=0.5).astype(np.float16), ints(1)], since=18, constant=(1,), differentiable=False,
             name="float16", tolerance=2e-3, refused=True)
        for op in REDUCERS
    ],
    *[
        Case(op, [NOTHING, ints(1)], since=18, constant=(1,), differentiable=False, name="nothing", refused=True)
        for op in ("ReduceSum", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare")
    ],
    *[
        Case(op, [NOTHING, ints(1)], since=18, constant=(1,), differentiable=False, name="nothing",
             formula=lambda x, _: np.full((2, 1, 4), -np.inf, x.dtype))
        for op in ("ReduceLogSum", "ReduceLogSumExp")
    ],
    *empty("ReduceMax"),
    *empty("ReduceMin"),
    Case("ReduceMax", [TIES > 2, ints(1)], since=20, differentiable=False, constant=(1,), name="logical"),
    Case("ReduceMin", [TIES > 2, ints(1)], since=20, differentiable=False, constant=(1,), name="logical"),
    Case("ReduceLogSumExp", [X * 300, ints(1)], since=18, differentiable=False, constant=(1,), name="large"),
    *[
        case
        for op in ("ArgMax", "ArgMin")
        for case in (
            Case(op, [X], differentiable=False, returns=("int64",)),
            Case(op, [X], {"axis": 2, "keepdims": 0}, differentiable=False, returns=("int64",), name="last axis"),
            Case(op, [X], {"axis": -2}, since=11, differentiable=False, name="axis from the end"),
            Case(op, [TIES], {"axis": 1}, differentiable=False, returns=("int64",), name="ties"),
            Case(op, [TIES], {"axis": 1, "select_last_index": 1}, since=12, differentiable=False, name="last of ties"),
            Case(
                op, [TIES], {"axis": -1, "select_last_index": 1, "keepdims": 0}, since=12, differentiable=False,
                name="last of ties, flat",
            ),
            Case(op, [INTEGERS], {"axis": 1}, differentiable=False, returns=("int64",), name="integers"),
            Case(
                op, [INTEGERS.astype(np.uint16)], {"axis": 1}, differentiable=False, returns=("int64",), refused=True,
                name="unsigned",
            ),
        )
    ],
    Case("CumSum", [X, scalar(1, np.int64)], constant=(1,)),
    Case("CumSum", [X, scalar(-1, np.int32)], name="axis as input"),
    Case("CumSum", [X, scalar(0, np.int64)], {"exclusive": 1}, constant=(1,), name="exclusive"),
    Case("CumSum", [X, scalar(2, np.int64)], {"reverse": 1}, constant=(1,), name="reverse"),
    Case("CumSum", [X, scalar(2, np.int64)], {"reverse": 1, "exclusive": 1}, constant=(1,), name="both"),
    Case("CumSum", [INTEGERS, scalar(1, np.int64)], constant=(1,), differentiable=False, name="integers"),
    Case("CumSum", [INTEGERS.astype(np.uint32), scalar(1, np.int64)], {"exclusive": 1, "reverse": 1}, constant=(1,),
         differentiable=False, refused=True, name="unsigned"),
    *[
        Case("CumSum", [x, scalar(axis, np.int64)], {"exclusive": 1}, constant=(1,), differentiable=False, name=name)
        for x, axis, name in ((PLENTY, 0, "infinite"), (NOTHING, 1, "nothing"))
    ],
    Case("TopK", [INTEGERS.astype(np.uint64), ints(3)], since=11, outputs=2, constant=(1,), differentiable=False,
         refused=True, name="unsigned"),
    Case("TopK", [X], {"k": 2}, until=10, outputs=2, returns=("float32", "int64")),
    Case("TopK", [X], {"k": 2, "axis": 1}, until=10, outputs=2, returns=("float32", "int64"), name="middle axis"),
    Case("TopK", [X, ints(3)], since=10, outputs=2, constant=(1,)),
    Case("TopK", [X, ints(2)], {"axis": 1}, since=10, outputs=2, name="k as input"),
    Case("TopK", [X, ints(2)], {"axis": -2}, since=11, outputs=2, constant=(1,), name="axis from the end"),
    Case("TopK", [X, ints(3)], {"largest": 0}, since=11, outputs=2, constant=(1,), name="smallest"),
    Case("TopK", [TIES, ints(3)], since=10, outputs=2, constant=(1,), differentiable=False, name="ties"),
    Case(
        "TopK", [TIES, ints(3)], {"largest": 0}, since=11, outputs=2, constant=(1,), differentiable=False,
        name="smallest ties",
    ),
    Case("TopK", [INTEGERS, ints(3)], since=11, outputs=2, constant=(1,), differentiable=False, name="integers"),
    Case("TopK", [X, ints(1)], {"sorted": 0}, since=11, outputs=2, constant=(1,), name="unsorted"),
]  # fmt: skip


def test_a_row_of_minus_infinities_has_no_gradient_of_nan() -> None:
    case = Case("ReduceLogSumExp", [X, ints(1)], {"keepdims": 0}, constant=(1,))
    module = convert(check_model(case.model(18).SerializeToString()))
    x = torch.from_numpy(X).clone()
    x[0, :, 1] = -np.inf
    x[1, 0, 0] = -np.inf
    x.requires_grad_()
    (y,) = module(x)
    y[y.isfinite()].sum().backward()
    torch.testing.assert_close(y, torch.logsumexp(x, 1))
    softmax = torch.softmax(x.detach(), 1)
    torch.testing.assert_close(x.grad, softmax.nan_to_num(0.0))
