"""Cases of the arithmetic family."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from analysis.convert.ops.arithmetic import div, mod
from tests.analysis.convert.ops.cases import Case, floats, ints, scalar

X, Y = floats(3, 4, 5), floats(3, 4, 5)
POSITIVE = floats(3, 4, low=0.1)
SMALL = floats(3, 4, low=-0.9, high=0.9)
INTEGERS, DIVISORS = np.array([7, -7, 7, -7, 0], np.int64), np.array([2, 2, -2, -3, 5], np.int64)
WHOLE, PARTS = np.array([7, 200, 3, 0, 60000], np.uint64), np.array([2, 7, 5, 9, 60001], np.uint64)
EDGES = np.array([np.inf, -np.inf, np.nan, 2.5, -2.5, 1.0, -7.0], np.float32)
UNSIGNED = (np.uint16, np.uint32, np.uint64)
HALVES = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.4], np.float32)


def aligned(op: str, a: np.ndarray, b: np.ndarray, axis: int, function: Callable[..., np.ndarray]) -> Case:
    """Broadcasting by axis, which onnx's reference ignores: numpy's, once b has the axes that follow."""
    full = b.reshape(*b.shape, *[1] * (a.ndim - axis % a.ndim - b.ndim))
    attributes = {"broadcast": 1, "axis": axis}
    return Case(op, [a, b], attributes, until=7, name=f"axis {axis}", formula=lambda a, _: function(a, full))


def unsigned(op: str, *, since: int, reached: int) -> list[Case]:
    """Types torch does not compute with; two bytes since `reached`. Sums and products leave the type and come back."""
    return [
        Case(
            op, [WHOLE.astype(kind), PARTS.astype(kind)], since=reached if kind is np.uint16 else since,
            differentiable=False, refused=True, name=np.dtype(kind).name,
        )
        for kind in UNSIGNED
    ]  # fmt: skip


CASES = [
    *[
        case
        for name, function in (("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Div", np.divide))
        for case in (
            Case(name, [X, Y]),
            Case(name, [X, floats(4, 5)], {"broadcast": 1}, until=7, name="trailing axes"),
            aligned(name, X, floats(4), 1, function),
            aligned(name, X, floats(3, 4), -3, function),
            Case(name, [X, scalar(1.5)], {"broadcast": 1}, until=7, name="number"),
            Case(name, [floats(3, 1, 5), floats(4, 1)], since=7, name="both broadcast"),
            Case(name, [scalar(1.5), X], since=7, name="number"),
            Case(name, [INTEGERS, DIVISORS], since=7, differentiable=False, name="integers"),
            *unsigned(name, since=7, reached=14),
            Case(name, [X.astype(np.float16), Y.astype(np.float16)], since=7, differentiable=False, name="halves"),
            Case(
                name, [INTEGERS.astype(np.uint8), np.array(2, np.uint8)], since=14, differentiable=False, name="bytes",
            ),
        )
    ],
    Case("Div", [INTEGERS.astype(np.int32), DIVISORS.astype(np.int32)], since=7, differentiable=False, name="int32"),
    Case("Affine", [X], {"alpha": 1.5, "beta": -0.2}),
    Case("Scale", [X], {"scale": 1.5}),
    Case("ImageScaler", [floats(2, 3, 2, 2)], {"bias": [0.1, -0.2, 0.3], "scale": 1.5}),
    Case("Pow", [POSITIVE, floats(3, 4)]),
    aligned("Pow", POSITIVE, floats(3), 0, np.power),
    Case("Pow", [POSITIVE, floats(4)], since=7, name="broadcast"),
    Case("Pow", [X * (X > 0), scalar(2.0)], since=7, constant=(1,), name="square at zero"),
    Case("Pow", [X, scalar(3.0)], since=7, constant=(1,), name="cube of negatives"),
    Case("Pow", [X, np.array([1, 2, 3, 0, 2], np.int64)], since=12, name="integer exponents"),
    Case("Pow", [X, scalar(2, np.int32)], since=12, constant=(1,), name="integer exponent"),
    Case("Pow", [INTEGERS, scalar(3, np.int64)], since=12, differentiable=False, name="integers"),
    Case("Pow", [np.abs(DIVISORS), scalar(2.5)], since=12, differentiable=False, name="integer base"),
    Case("Pow", [X, np.array([1, 2, 3, 0, 2], np.uint64)], since=12, name="unsigned exponents"),
    Case("Pow", [X[0, 0], np.array([[2.0]], np.float32)], since=7, constant=(1,), name="exponent with more axes"),
    Case(
        "Pow", [DIVISORS, scalar(3, np.uint64)], since=12, differentiable=False, refused=True, name="unsigned exponent",
    ),
    Case("Pow", [np.array([1, -1, 2, -3]), ints(-1, -3, -1, -2)], since=12, differentiable=False, name="fractions"),
    Case(
        "Pow", [np.array([3, -3, 10]), ints(39, 39, 18)], since=12, differentiable=False, refused=True,
        name="beyond the whole numbers of float64",
    ),
    Case("Mod", [INTEGERS, DIVISORS], differentiable=False),
    *unsigned("Mod", since=10, reached=10),
    Case("Mod", [EDGES, EDGES[:, None]], {"fmod": 1}, differentiable=False, name="edges of fmod"),
    Case("Mod", [EDGES, EDGES[:, None]], since=28, differentiable=False, name="edges"),
    Case("Mod", [INTEGERS, DIVISORS], {"fmod": 1}, differentiable=False, name="fmod of integers"),
    Case("Mod", [X, floats(4, 5)], {"fmod": 1}, name="fmod"),
    Case("Mod", [X, floats(4, 5)], since=28, name="floats"),
    *[
        case
        for name in ("Sum", "Mean", "Max", "Min")
        for case in (
            Case(name, [X, Y, floats(3, 4, 5)]),
            Case(name, [X], name="one"),
            Case(name, [X, floats(4, 1), scalar(0.3)], since=8, name="broadcast"),
        )
    ],
    *[
        case
        for name in ("Max", "Min")
        for case in (
            Case(name, [INTEGERS, DIVISORS], since=12, differentiable=False, name="integers"),
            *unsigned(name, since=12, reached=12),
            Case(name, [HALVES, scalar(np.nan)], since=8, differentiable=False, name="not a number"),
        )
    ],
    Case("Neg", [X]),
    Case("Neg", [INTEGERS], since=6, differentiable=False, name="integers"),
    Case("Abs", [X]),
    Case("Abs", [WHOLE], since=6, differentiable=False, refused=True, name="unsigned"),
    Case("Abs", [INTEGERS], since=6, differentiable=False, name="integers"),
    Case("Sqrt", [POSITIVE]),
    Case("Exp", [X]),
    Case("Log", [POSITIVE]),
    Case("Reciprocal", [X]),
    Case("Sign", [X]),
    Case("Sign", [WHOLE.astype(np.uint16)], differentiable=False, refused=True, name="unsigned"),
    Case("Sign", [INTEGERS], differentiable=False, name="integers"),
    Case("Floor", [X]),
    Case("Ceil", [X]),
    Case("Round", [X]),
    Case("Round", [HALVES], differentiable=False, name="halves"),
    Case("Sin", [X]),
    Case("Cos", [X]),
    Case("Tan", [SMALL]),
    Case("Asin", [SMALL]),
    Case("Acos", [SMALL]),
    Case("Atan", [X]),
    Case("Sinh", [X]),
    Case("Cosh", [X]),
    Case("Asinh", [X]),
    Case("Acosh", [POSITIVE + 1]),
    Case("Atanh", [SMALL]),
]  # fmt: skip


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_the_least_integer_by_minus_one_is_refused_and_does_not_end_the_process(kind: torch.dtype) -> None:
    least = torch.iinfo(kind).min
    a, b = torch.tensor([least, 7], dtype=kind), torch.tensor([-1], dtype=kind)
    for divide in (div, mod, partial(mod, fmod=1)):
        with pytest.raises(OverflowError, match="divided by -1"):
            divide(a, b)
    assert div(a + 1, b).tolist() == [-(least + 1), -8]
    assert div(a, -2 * b).tolist() == [least // 2, 3]


def test_narrow_integers_are_divided_in_wider_ones() -> None:
    """-128 by -1 is 128, which a byte reads as -128."""
    a, b = torch.tensor([-128, 7], dtype=torch.int8), torch.tensor([-1, -1], dtype=torch.int8)
    assert div(a, b).tolist() == [-128, -7]
    assert mod(a, b).tolist() == [0, 0]
