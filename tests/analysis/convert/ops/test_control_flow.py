"""Cases of the control_flow family: bodies are ONNX text; what is not declared in them is captured from outside."""

import numpy as np
import pytest
import torch
from onnx import GraphProto, parser

from analysis.convert import convert
from analysis.convert.ops import control_flow
from analysis.errors import LimitExceeded
from tests.analysis.convert.ops.cases import Case, floats, ints, scalar
from tests.analysis.graph.graphs import model

X, W = floats(3), floats(3)
GRID = floats(4, 3)
YES, NO = scalar(True, np.bool_), scalar(False, np.bool_)
FLOAT = ("float32",)


def body(text: str) -> GraphProto:
    """A graph named body; only operators that opset 1 has in the same form, Add and Mul from opset 7 on."""
    return parser.parse_graph(f"body {text}")


BRANCHES = {
    "then_branch": body("() => (float[3] y) { y = Tanh (x1) }"),
    "else_branch": body("() => (float[3] z) { a = Neg (x2) z = Exp (a) }"),
}
TWO = {
    "then_branch": body("() => (float[3] y, float[3] z) { y = Add (x1, x2) z = Mul (x1, x2) }"),
    "else_branch": body("() => (float[3] y, float[3] z) { y = Sub (x1, x2) z = Tanh (x1) }"),
}
GROW = body("(int64 trip, bool go, float[3] h) => (bool on, float[3] next) { on = Identity (go) next = Tanh (h) }")
COLLECT = body(
    """(int64 trip, bool go, float[3] h) => (bool on, float[3] next, float[3] seen, float[1] size) {
        on = Identity (go)
        a = Mul (h, x3)
        next = Tanh (a)
        seen = Neg (a)
        number = Cast <to = 1> (trip)
        one = Constant <value = float[1] {1.0}> ()
        size = Add (number, one)
    }"""
)
UNTIL = body(
    """(int64 trip, bool go, float[3] h) => (bool on, float[3] next) {
        next = Add (h, x3)
        total = ReduceMax <keepdims = 0> (next)
        limit = Constant <value = float {3.0}> ()
        on = Less (total, limit)
    }"""
)
WITHOUT_STATE = body(
    """(int64 trip, bool go) => (bool on, float[3] row) { on = Identity (go) row = Gather <axis = 0> (x2, trip) }"""
)
LINES = body(
    """(int64[1] trip, bool[1] go, float[3] h) => (bool[1] on, float[3] next, float[1,3] row) {
        on = Identity (go)
        row = Gather <axis = 0> (x3, trip)
        a = ReduceMax <axes = [0], keepdims = 0> (row)
        b = Mul (a, h)
        next = Tanh (b)
    }"""
)
RUNNING = body("(float[3] s, float[3] x) => (float[3] next, float[3] y) { next = Add (s, x) y = Tanh (next) }")
PAIR = body(
    """(float[3] s, float[3] a, float[3] b) => (float[3] next, float[3] y, float[3] z) {
        c = Mul (a, x3)
        next = Sub (s, c)
        y = Mul (next, b)
        z = Identity (next)
    }"""
)
STATELESS = body("(float[3] x) => (float[3] y) { y = Exp (x) }")


def scan(
    name: str, inputs: list[np.ndarray], graph: GraphProto, outputs: int, captured: int = 0, **attributes: object
) -> Case:
    """Inputs after the states are scanned over."""
    return Case("Scan", inputs, {"body": graph, **attributes}, since=9, outputs=outputs, captured=captured, name=name)


CASES = [
    *[
        Case("If", [choice, X, W], BRANCHES, captured=2, returns=FLOAT, name=name)
        for choice, name in ((YES, "then"), (NO, "else"))
    ],
    Case("If", [YES, X, W], TWO, since=7, outputs=2, captured=2, name="two outputs"),
    Case("If", [NO, X, W], BRANCHES, captured=2, constant=(0,), returns=FLOAT, name="decided at conversion"),
    Case("If", [YES, X, W], TWO, since=7, outputs=2, captured=2, constant=(2,), name="own weights"),
    Case("Loop", [scalar(3, np.int64), YES, X], {"body": GROW}, constant=(0, 1), returns=FLOAT),
    # onnx's reference, which opset 1 falls back to, takes a missing condition for a false one
    Case("Loop", [scalar(3, np.int64), None, X], {"body": GROW}, since=11, name="trip count only"),
    Case("Loop", [None, YES, X, np.abs(W)], {"body": UNTIL}, since=7, captured=1, name="condition only"),
    Case(
        "Loop", [scalar(2, np.int64), YES, X, np.abs(W)], {"body": UNTIL}, since=7, captured=1, name="whichever first",
    ),
    Case("Loop", [scalar(3, np.int64), NO, X], {"body": GROW}, returns=FLOAT, name="never begins"),
    Case(
        "Loop", [scalar(3, np.int64), YES, X, W], {"body": COLLECT}, since=7, outputs=3, captured=1, name="scan outputs"
    ),
    Case(
        "Loop", [scalar(3, np.int64), YES, X, W], {"body": COLLECT}, since=7, outputs=3, captured=1,
        constant=(0, 1, 3), name="own weights",
    ),
    Case("Loop", [scalar(0, np.int64), YES, X, W], {"body": COLLECT}, since=11, outputs=3, captured=1, name="no trips"),
    Case(
        "Loop", [scalar(4, np.int64), None, GRID], {"body": WITHOUT_STATE}, outputs=1, captured=1, since=7,
        name="no state",
    ),
    Case(
        "Loop", [ints(4), np.array([True]), X, GRID], {"body": LINES}, outputs=2, captured=1, since=7, until=18,
        name="counted by a line of one",
    ),
    *[
        Case("Scan", [lengths, floats(2, 3), floats(2, 4, 3)], {"body": RUNNING, "num_scan_inputs": 1, **more}, since=8,
             until=9, outputs=2, returns=("float32", "float32"), name=name)
        for name, lengths, more in (
            ("samples", None, {}), ("samples of unequal length", ints(4, 2), {}),
            ("samples backwards", ints(3, 4), {"directions": [1]}),
        )
    ],
    scan("", [X, GRID], RUNNING, 2, num_scan_inputs=1),
    scan("backwards", [X, GRID], RUNNING, 2, num_scan_inputs=1, scan_input_directions=[1]),
    scan("backwards out", [X, GRID], RUNNING, 2, num_scan_inputs=1, scan_output_directions=[1]),
    scan("axes", [X, floats(3, 4)], RUNNING, 2, num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1]),
    scan(
        "two inputs", [X, GRID, floats(3, 4), W], PAIR, 3, 1, num_scan_inputs=2, scan_input_axes=[0, 1],
        scan_input_directions=[1, 0], scan_output_axes=[1, 0], scan_output_directions=[0, 1],
    ),
    scan("no state", [GRID], STATELESS, 1, num_scan_inputs=1),
    Case(
        "Scan", [X, floats(3, 4)],
        {"body": RUNNING, "num_scan_inputs": 1, "scan_input_axes": [-1], "scan_output_axes": [-1]}, since=11,
        outputs=2, name="axes from the end",
    ),
]  # fmt: skip


def repeated(step: str, trips: int, extra: str = "") -> str:
    """A Loop of so many trips, whose body makes `after` of `before`."""
    more = f", {extra}" if extra else ""
    heading = f"b (int64 i, bool go, float[] before) => (bool on, float[] after{more})"
    return f"Loop<body = {heading} {{ on = Identity(go) {step} }}>(n{trips}, , h)"


def test_a_loop_without_end_is_refused_and_named() -> None:
    nodes = "h = Mul(x, W) y = " + repeated("after = Tanh(before)", 9)
    endless = convert(model(nodes, W=X[:1], n9=np.array(10**9)))
    with pytest.raises(LimitExceeded, match="200000 trips") as refused:
        endless(torch.ones(1, 4))
    assert refused.value.where


def test_trips_of_loops_inside_of_loops_count_and_every_pass_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """3 trips outside and 3 x 2 inside are 9."""
    body = "c (int64 j, bool on2, float[] u) => (bool on3, float[] v) { on3 = Identity(on2) v = Tanh(u) }"
    inner = f"after = Loop<body = {body}>(n2, , before)"
    nodes = "h = Mul(x, W) y = " + repeated(inner, 3)
    nested = convert(model(nodes, W=X[:1], n3=np.array(3), n2=np.array(2)))
    monkeypatch.setattr(control_flow, "MAX_TRIPS", 9)
    for _ in range(2):
        nested(torch.ones(1, 4))
    monkeypatch.setattr(control_flow, "MAX_TRIPS", 8)
    with pytest.raises(LimitExceeded, match="8 trips"):
        nested(torch.ones(1, 4))


def test_a_state_that_doubles_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 bytes double to 64 after two trips, and to 128 after three."""
    monkeypatch.setattr(control_flow, "MAX_BYTES", 65)
    nodes = "h = Mul(x, W) y = " + repeated("after = Concat<axis = 0>(before, before)", 1)
    assert convert(model(nodes, W=X[:1], n1=np.array(2)))(torch.ones(1, 4))[0].shape == (4, 4)
    with pytest.raises(LimitExceeded, match="128 bytes"):
        convert(model(nodes, W=X[:1], n1=np.array(60)))(torch.ones(1, 4))


def test_what_a_loop_collects_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 bytes that stay, and 16 more each trip."""
    monkeypatch.setattr(control_flow, "MAX_BYTES", 16 * 5)
    step = "after = Tanh(before) row = Neg(before)"
    nodes = "h = Mul(x, W) l, y = " + repeated(step, 1, "float[] row")
    assert convert(model(nodes, W=X[:1], n1=np.array(3)))(torch.ones(1, 4))[0].shape == (3, 1, 4)
    with pytest.raises(LimitExceeded, match="80 bytes"):
        convert(model(nodes, W=X[:1], n1=np.array(4)))(torch.ones(1, 4))
