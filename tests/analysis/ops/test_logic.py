"""Cases of the logic family."""

from collections.abc import Callable

import numpy as np

from tests.analysis.ops.cases import RANDOM, Case, floats, scalar

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
    *[comparison(name, P, Q[0], since=7) for name in ("And", "Or", "Xor")],
    comparison("Not", P),
    comparison("IsNaN", SPECIAL),
    comparison("IsInf", SPECIAL),
    comparison("IsInf", SPECIAL, attributes={"detect_negative": 0}, name="positive only"),
    comparison("IsInf", SPECIAL, attributes={"detect_positive": 0}, name="negative only"),
    Case("Where", [P, floats(*P.shape), floats(*P.shape)]),
    Case("Where", [P, floats(3, 1), scalar(0.5)], name="broadcast"),
    Case("Where", [P[0], A, B], differentiable=False, name="integers", returns=("int64",)),
]
