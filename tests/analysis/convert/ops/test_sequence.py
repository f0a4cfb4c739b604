"""Cases of the sequence family: nodes that lead from tensors to tensors; sequences at the borders below."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, parser

from analysis.convert import DifferentiableModel, convert
from analysis.convert.ops import sequence
from analysis.errors import LimitExceeded, NodeFailed
from analysis.model import check_model
from tests.analysis.convert.ops.cases import Case, floats, ints, scalar

X, Z, LONG = floats(2, 3), floats(2, 3), floats(5, 3)
WHERE = scalar(1, np.int64)
THREE = "s = SequenceConstruct (x0, x1, x0)"
JOINED = "y0 = ConcatFromSequence <axis = 0> (t)"


def number(name: str, value: int) -> str:
    return f"{name} = Constant <value = int64 {{{value}}}> ()"


def case(op: str, name: str, text: str, *inputs: np.ndarray, outputs: int = 1, **options: Any) -> Case:
    return Case(op, inputs or (X, Z), name=name, text=text, outputs=outputs, **options)


def split(name: str, attributes: str, *inputs: np.ndarray, **options: Any) -> Case:
    """Both pieces, and how many there are."""
    reads = ", ".join(f"x{place}" for place in range(len(inputs)))
    text = f"""
        s = SplitToSequence {attributes} ({reads}) {number("a", 0)} {number("b", 1)}
        y0 = SequenceAt (s, a) y1 = SequenceAt (s, b) y2 = SequenceLength (s)
    """
    return case("SplitToSequence", name, text, *inputs, outputs=3, **options)


def optional(op: str, name: str, text: str, formula: Callable[..., Any], **options: Any) -> Iterator[Case]:
    """onnxruntime knows optionals up to opset 27, and onnx's reference takes an empty one for a full one."""
    yield case(op, name, text, until=28, **options)
    yield case(op, name, text, since=28, formula=formula, **options)


DOUBLE = """
    q (float[2,3] a, float[2,3] b) => (float[2,3] c, float[2,3] d) { c = Mul (a, b) e = Tanh (b) d = Add (e, x1) }
"""
CASES = [
    case("SequenceEmpty", "", f"e = SequenceEmpty <dtype = 1> () t = SequenceInsert (e, x0) {JOINED}", X),
    case("SequenceEmpty", "length", "s = SequenceEmpty () y0 = SequenceLength (s) y1 = Neg (x0)", X, outputs=2),
    case("SequenceConstruct", "", f"t = SequenceConstruct (x0, x1, x0) {JOINED}"),
    case("SequenceInsert", "", f"{THREE} u = Neg (x1) t = SequenceInsert (s, u) {JOINED}"),
    *[
        case(
            "SequenceInsert", f"at {at}",
            f"{THREE} {number('p', at)} u = Neg (x1) t = SequenceInsert (s, u, p) {JOINED}",
        )
        for at in (0, 2, 3, -1, -3)
    ],
    case(
        "SequenceInsert", "where data say", f"{THREE} u = Neg (x1) t = SequenceInsert (s, u, x2) {JOINED}",
        X, Z, WHERE,
    ),
    case("SequenceErase", "", f"{THREE} t = SequenceErase (s) {JOINED}"),
    *[
        case("SequenceErase", f"at {at}", f"{THREE} {number('p', at)} t = SequenceErase (s, p) {JOINED}")
        for at in (0, 1, -2)
    ],
    *[
        case("SequenceAt", f"at {at}", f"s = SequenceConstruct (x0, x1) {number('p', at)} y0 = SequenceAt (s, p)")
        for at in (0, 1, -1, -2)
    ],
    case("SequenceAt", "where data say", "s = SequenceConstruct (x0, x1) y0 = SequenceAt (s, x2)", X, Z, WHERE),
    case("SequenceLength", "", f"{THREE} y0 = SequenceLength (s)", differentiable=False),
    split("slices", "", X),
    split("slices without the axis", "<keepdims = 0>", X),
    split("last axis without it", "<axis = -1, keepdims = 0>", floats(3, 2)),
    split("one size", "", LONG, scalar(3, np.int64)),
    split("one size by the last axis", "<axis = -1>", X, scalar(2, np.int64)),
    split("sizes", "<axis = 1>", X, ints(1, 2)),
    split("sizes keep the axis", "<keepdims = 0>", X, ints(1, 1)),
    split("sizes of nothing", "", floats(0, 3), ints(0, 0), differentiable=False),
    *[
        case(
            "SplitToSequence", f"nothing {name}", f"s = SplitToSequence ({reads}) y0 = SequenceLength (s)", *inputs,
            differentiable=False,
        )
        for name, reads, inputs in (
            ("to split", "x0", (floats(0, 3),)), ("of one size", "x0, x1", (floats(0, 3), scalar(2, np.int64))),
        )
    ],
    *[
        case(
            "ConcatFromSequence", f"{('old', 'new')[new]} axis {axis}",
            f"{THREE} y0 = ConcatFromSequence <axis = {axis}, new_axis = {new}> (s)",
        )
        for axis, new in ((0, 0), (1, 0), (-1, 0), (0, 1), (2, 1), (-1, 1))
    ],
    *optional(
        "Optional", "full", "o = Optional (x0) y0 = OptionalHasElement (o) y1 = OptionalGetElement (o)",
        lambda x, _: (np.array(True), x), outputs=2,
    ),
    *optional(
        "Optional", "empty", "o = Optional <type = float[2,3]> () y0 = OptionalHasElement (o) y1 = Neg (x0)",
        lambda x, _: (np.array(False), -x), outputs=2,
    ),
    *optional(
        "Optional", "of a sequence", f"{THREE} o = Optional (s) t = OptionalGetElement (o) {JOINED}",
        lambda x, z: np.concatenate([x, z, x]),
    ),
    *optional(
        "OptionalHasElement", "empty", "o = Optional <type = float[2,3]> () y0 = OptionalHasElement (o) y1 = Neg (x0)",
        lambda x, _: (np.array(False), -x), outputs=2,
    ),
    *optional(
        "OptionalGetElement", "", "o = Optional (x0) y0 = OptionalGetElement (o) y1 = Mul (y0, x1)",
        lambda x, z: (x, x * z), outputs=2,
    ),
    case("OptionalHasElement", "of a tensor", "y0 = OptionalHasElement (x0)", since=18, differentiable=False),
    case("OptionalHasElement", "of nothing", "y0 = OptionalHasElement () y1 = Neg (x0)", outputs=2, since=18),
    case("OptionalGetElement", "of a tensor", "y0 = OptionalGetElement (x0) y1 = Neg (y0)", outputs=2, since=18),
    case(
        "SequenceMap", "",
        f"""
            {THREE} r = SequenceConstruct (x1, x1, x0) t, u = SequenceMap (s, r) <body = {DOUBLE}> {JOINED}
            y1 = ConcatFromSequence <axis = 0> (u)
        """,
        outputs=2,
    ),
    case("SequenceMap", "beside a tensor", f"{THREE} t, u = SequenceMap (s, x1) <body = {DOUBLE}> {JOINED}"),
    case(
        "SequenceMap", "inside a body",
        f"""
            yes = Constant <value = bool {{1}}> ()
            y0 = If (yes) <
                then_branch = q () => (float[6,3] r) {{
                    {THREE} t, u = SequenceMap (s, x1) <body = {DOUBLE}> r = ConcatFromSequence <axis = 0> (t)
                }},
                else_branch = e () => (float[6,3] n) {{ n = Concat <axis = 0> (x0, x1, x1) }}
            >
        """,
    ),
]  # fmt: skip


def model(text: str, opset: int = 18) -> ModelProto:
    return parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> g {text}')


def converted(text: str, **options: Any) -> DifferentiableModel:
    return convert(check_model(model(text).SerializeToString()), **options)


def test_sequences_come_and_go_as_lists() -> None:
    text = """(seq(float[n]) s, float[2] x) => (seq(float[n]) more, seq(float[n]) same, float[n] first) {
        more = SequenceInsert (s, x)
        same = Identity (s)
        zero = Constant <value = int64 {0}> ()
        first = SequenceAt (s, zero)
    }"""
    given = [floats(1), floats(3)], floats(2)
    outputs = converted(text)([torch.from_numpy(array) for array in given[0]], torch.from_numpy(given[1]))
    session = onnxruntime.InferenceSession(model(text).SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"s": given[0], "x": given[1]})
    assert [type(output) for output in outputs] == [list, list, torch.Tensor]
    for got, want in zip([*outputs[0], *outputs[1], outputs[2]], [*wanted[0], *wanted[1], wanted[2]], strict=True):
        np.testing.assert_array_equal(got.numpy(), want)


def test_an_optional_input_is_a_value_or_none() -> None:
    text = """(optional(float[2]) o, float[2] x) => (float[2] y, optional(float[2]) same) {
        full = OptionalHasElement (o)
        y = If (full) <
            then_branch = t () => (float[2] a) { e = OptionalGetElement (o) a = Add (e, x) },
            else_branch = f () => (float[2] b) { b = Neg (x) }
        >
        same = Identity (o)
    }"""
    x, value = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
    module = converted(text)
    assert module(value, x)[0].tolist() == [4.0, 7.0]
    assert module(value, x)[1].tolist() == [3.0, 5.0]
    assert module(None, x)[0].tolist() == [-1.0, -2.0]
    assert module(None, x)[1] is None


def test_a_weight_twice_in_a_sequence_stays_one_parameter() -> None:
    text = """(float[n,2] x) => (float[n,3] y) <float[2,3] w = {1, 2, 3, 4, 5, 6}> {
        s = SequenceConstruct (w, w)
        both = ConcatFromSequence <axis = 0> (s)
        xx = Concat <axis = 1> (x, x)
        y = MatMul (xx, both)
    }"""
    module = converted(text, train=["w"])
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    module(x)[0].sum().backward()
    assert list(module.initializers) == ["w"]
    torch.testing.assert_close(module.initializers["w"].grad, 2 * x.sum(0)[:, None].expand(2, 3))


@pytest.mark.parametrize(
    ("node", "position"),
    [
        ("SequenceAt", 2), ("SequenceAt", -3), ("SequenceErase", 2), ("SequenceErase", -3), ("SequenceInsert", 3),
        ("SequenceInsert", -3),
    ],
)  # fmt: skip
def test_a_position_outside_is_refused(node: str, position: int) -> None:
    reads = "s, x, p" if node == "SequenceInsert" else "s, p"
    result = "float[2] y" if node == "SequenceAt" else "seq(float[2]) y"
    module = converted(f"(float[2] x, int64 p) => ({result}) {{ s = SequenceConstruct (x, x) y = {node} ({reads}) }}")
    with pytest.raises(NodeFailed, match=f"position {position} in a sequence of 2"):
        module(torch.ones(2), torch.tensor(position))


def test_an_empty_optional_has_nothing_to_get() -> None:
    module = converted("(optional(float[2]) o) => (float[2] y) { y = OptionalGetElement (o) }")
    with pytest.raises(NodeFailed, match="the optional is empty"):
        module(None)


def test_a_sequence_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "MAX_LENGTH", 2)
    one = torch.ones(1)
    assert len(sequence.sequence_insert((one,), one)) == 2
    with pytest.raises(LimitExceeded, match="2 tensors"):
        sequence.sequence_insert((one, one), one)
