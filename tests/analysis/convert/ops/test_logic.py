"""Cases of the logic family."""

from collections.abc import Callable

import numpy as np

from tests.analysis.convert.ops.cases import RANDOM, Case, floats, scalar

A, B = RANDOM.integers(-2, 3, (2, 3, 4, 3, 4))
X = A.astype(np.float32)
P, Q = A > 0, B > 0
SPECIAL = np.array([1.0, np.nan, np.inf, -np.inf, 0.0], np.float32)


def comparison(op: str, *inputs: np.ndarray, **rest: object) -> Case:
    """No gradient, and outputs of another type than the inputs."""
    return Case(op, inputs, differentiable=False, returns=("bool",), **rest)


def aligned(op: str, a: np.ndarray, b: np.ndarray, function: Callable[..., np.ndarray]) -> Case:
    """A vector along axis 1; onnx's reference ignores the axis."""
    formula = lambda a, b: function(a, b[:, None, None])  # noqa: E731
    return comparison(op, a, b, attributes={"broadcast": 1, "axis": 1}, until=7, name="middle axis", formula=formula)


BITS = RANDOM.integers(-(2**63), 2**63 - 1, (2, 3, 4))
AMOUNTS = np.array([0, 1, 7, 8, 15, 31, 32, 63], np.uint64)
SHIFTED = np.array([-128, -1, 0, 1, 5, 127], np.int64)
STEPS = np.array([[0], [1], [7], [8], [31], [63], [64], [-1]], np.int64)
ALL = (np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64)


def shifts(direction: str) -> list[Case]:
    """Unsigned ones within the type since opset 11, any amount and signed ones since opset 28."""
    attributes = {"direction": direction}
    return [
        *[
            comparison(
                "BitShift", BITS.astype(kind)[..., None], AMOUNTS[8 * np.dtype(kind).itemsize > AMOUNTS].astype(kind),
                attributes=attributes, refused=True, name=f"{direction} {np.dtype(kind).name}",
            )
            for kind in ALL[:4]
        ],
        comparison(
            "BitShift", BITS.astype(np.uint8), np.uint8(3).reshape(1), attributes=attributes, name=f"{direction} bytes"
        ),
        *[
            comparison(
                "BitShift", SHIFTED.astype(kind), STEPS.astype(kind), attributes=attributes, since=28, refused=True,
                name=f"{direction} {np.dtype(kind).name} by any amount",
            )
            for kind in ALL
        ],
    ]  # fmt: skip


CASES = [
    comparison("Equal", A, B, until=7),
    comparison("Equal", P, Q, name="logical"),
    comparison("Equal", A, B[0, 0], attributes={"broadcast": 1}, until=7, name="trailing axes"),
    aligned("Equal", A, B[0, :, 0, 0], np.equal),
    comparison("Equal", A, B[0], since=7, name="broadcast"),
    comparison("Equal", X, X[0], since=11, name="floats"),
    *[
        case
        for name, function in (("Greater", np.greater), ("Less", np.less))
        for case in (
            comparison(name, X, B.astype(np.float32)),
            comparison(name, X, X[0, 0], attributes={"broadcast": 1}, until=7, name="trailing axes"),
            aligned(name, X, X[0, :, 0, 0], function),
            comparison(name, X, scalar(0.5), since=7, name="broadcast"),
            comparison(name, A, B, since=9, name="integers"),
        )
    ],
    *[
        case
        for name in ("GreaterOrEqual", "LessOrEqual")
        for case in (comparison(name, X, X[0]), comparison(name, A, B, name="integers"))
    ],
    *[
        case
        for name, function in (("And", np.logical_and), ("Or", np.logical_or), ("Xor", np.logical_xor))
        for case in (
            comparison(name, P, Q),
            comparison(name, P, Q[0, 0], attributes={"broadcast": 1}, until=7, name="trailing axes"),
            aligned(name, P, Q[0, :, 0, 0], function),
            comparison(name, P, Q[0], since=7, name="broadcast"),
        )
    ],
    *[
        comparison(name, (A + 2).astype(kind), (B + 2).astype(kind), since=13, refused=True, name=np.dtype(kind).name)
        for name in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
        for kind in (np.uint16, np.uint32, np.uint64)
    ],
    *[
        Case(
            name,
            [BITS.astype(kind), BITS[1, :, ::-1].astype(kind)],
            differentiable=False,
            refused=True,
            name=np.dtype(kind).name,
        )
        for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")
        for kind in ALL
    ],
    *[Case("BitwiseNot", [BITS.astype(kind)], differentiable=False, name=np.dtype(kind).name) for kind in ALL],
    *shifts("LEFT"),
    *shifts("RIGHT"),
    comparison("Not", P),
    comparison("IsNaN", SPECIAL),
    comparison("IsInf", SPECIAL),
    comparison("IsInf", SPECIAL, attributes={"detect_negative": 0}, name="positive only"),
    comparison("IsInf", SPECIAL, attributes={"detect_positive": 0}, name="negative only"),
    Case("Where", [P, floats(*P.shape), floats(*P.shape)]),
    Case("Where", [P, floats(3, 1), scalar(0.5)], name="broadcast"),
    Case("Where", [P, A.astype(np.uint16), B.astype(np.uint16)], differentiable=False, name="unsigned"),
    Case("Where", [P[0], A, B], differentiable=False, name="integers", returns=("int64",)),
]
