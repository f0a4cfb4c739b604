import re

import numpy as np
import pytest
import torch
from onnx import numpy_helper

from analysis.convert import DifferentiableModel
from analysis.convert.registry import _TABLE, Operator, lookup
from analysis.errors import BadOptions, NodeFailed
from tests.analysis.convert.conversion import RANDOM, Tensor, assert_sound, converted, floats, ids, proto, reference

# ------------------------------------------------------------------ ties


@pytest.mark.parametrize(
    ("nodes", "inputs"),
    [
        ("h = MatMul(x, w) y = MatMul(h, w)", (floats(2, 4),)),
        ("h = MatMul(x, w) t = Transpose(w) y = MatMul(h, t)", (floats(2, 4),)),
        ("h = Gemm(x, w) i = Identity(w) y = Gemm<transB: int = 1>(h, i)", (floats(2, 4),)),
        ("i = Cast<to: int = 7>(x) h = Gather(w, i) t = Transpose<perm: ints = [1, 0]>(w) y = MatMul(h, t)",
         (np.array([[0, 3, 1, 1]], np.float32),)),
    ],
    ids=["twice", "transposed", "behind an identity", "embedding and head"],
)  # fmt: skip
def test_a_tied_weight_is_one_parameter_whose_gradients_add_up(nodes: str, inputs: tuple[np.ndarray, ...]) -> None:
    module = assert_sound(proto(nodes, w=floats(4, 4)), *inputs)
    assert [tuple(parameter.shape) for parameter in module.parameters()] == [(4, 4)]


def test_weights_of_equal_values_are_not_tied() -> None:
    weight = floats(4, 4)
    module = assert_sound(proto("h = MatMul(x, a) y = MatMul(h, b)", a=weight, b=weight), floats(2, 4))
    assert list(module.initializers) == ["a", "b"]


# ------------------------------------------------------------------ where a weight may come from


@pytest.mark.parametrize(
    ("chain", "trained"),
    [
        ("e = Identity(w)", "w"),
        ("e = Transpose<perm: ints = [1, 0]>(w)", "w"),
        ("d = Cast<to: int = 11>(w) e = Cast<to: int = 1>(d)", "w"),
        ("e = Slice(wide, zero, four, zero)", "wide"),
        ("e = Concat<axis: int = 1>(left, right)", "left right"),
        ("e, f = Split<axis: int = 0, num_outputs: int = 2>(wide)", "wide"),
        ("e = Reshape(flat, square)", "flat"),
        ("f = Unsqueeze(w, zero) e = Squeeze(f, zero)", "w"),
        ("e = Gather(wide, picked)", "wide"),
        ("s = ReduceL2<keepdims: int = 1>(w, zero) d = Div(w, s) e = Mul(d, g)", "w g"),
        ("t = Transpose(w) s = MatMul(w, t) e = Tanh(s)", "w"),
        ("""p = Slice(wide, zero, four, zero) t = Transpose(p) c = Concat<axis: int = 1>(t, left, right)
            f = Reshape(c, tall) e = Slice(f, zero, four, zero)""", "wide left right"),
        ("e = Constant<value = float[4, 4] {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7}>()", "e"),
        ("""k = Constant<value_floats: floats = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7]>()
            e = Reshape(k, square)""", "k"),
        ("f = Expand(g, square) e = Trilu(f)", "g"),
    ],
    ids=["identity", "transpose", "cast", "slice", "concat", "split", "reshape", "unsqueeze", "gather",
         "weight normalization", "arithmetic", "long", "constant", "constant floats", "expand"],
)  # fmt: skip
def test_a_weight_may_stand_behind_other_nodes(chain: str, trained: str) -> None:
    known = {
        "w": floats(4, 4), "wide": floats(8, 4), "left": floats(4, 1), "right": floats(4, 3), "flat": floats(16),
        "g": floats(1, 4), "zero": ids(0), "four": ids(4), "square": ids(4, 4), "tall": ids(8, 4),
        "picked": ids(7, 0, 0, 3),
    }  # fmt: skip
    weights = {name: array for name, array in known.items() if name in re.findall(r"\w+", chain)}
    module = assert_sound(proto(f"{chain} y = MatMul(x, e)", **weights), floats(2, 4))
    assert sorted(module.initializers) == sorted(trained.split())


def test_a_weight_may_be_made_of_a_shape() -> None:
    made = proto(
        "s = Shape(w) f = ConstantOfShape<value = float[1] {0.5}>(s) e = Add(f, w) h = MatMul(x, f) y = MatMul(h, e)",
        w=floats(4, 4),
    )
    assert list(assert_sound(made, floats(2, 4)).initializers) == ["w"]


def test_a_left_operand_is_a_weight_too() -> None:
    assert list(assert_sound(proto("y = MatMul(w, x)", "float[4,N] x", w=floats(3, 4)), floats(4, 2)).initializers)


# ------------------------------------------------------------------ dequantized weights


def dequantize_linear(
    x: Tensor, scale: Tensor, zero: Tensor | None = None, *, axis: int = 1, block_size: int = 0
) -> Tensor:
    """(x - zero) * scale, per tensor or along an axis."""
    sizes = [-1 if place == axis % x.ndim else 1 for place in range(x.ndim)] if scale.ndim else []
    wide = x.to(scale.dtype) if zero is None else x.to(scale.dtype) - zero.to(scale.dtype).reshape(sizes)
    return wide * scale.reshape(sizes)


@pytest.fixture
def _dequantization(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator, as long as the shelf has none of its own."""
    if lookup("", "DequantizeLinear", 20) is None:
        operator = Operator("", "DequantizeLinear", 10, dequantize_linear, pure=True)
        monkeypatch.setitem(_TABLE, ("", "DequantizeLinear"), [operator])


INTEGERS = RANDOM.integers(-100, 100, (4, 3)).astype(np.int8)
SCALES = {
    "per tensor": (np.float32(0.02), np.int8(3), "axis: int = 1"),
    "per column": (np.array([0.01, 0.02, 0.04], np.float32), np.array([1, -2, 0], np.int8), "axis: int = 1"),
    "per row": (np.array([0.01, 0.02, 0.04, 0.5], np.float32), np.zeros(4, np.int8), "axis: int = 0"),
}


@pytest.mark.usefixtures("_dequantization")
@pytest.mark.parametrize("scaling", SCALES)
@pytest.mark.parametrize("behind", ["", "transposed"])
def test_an_int8_weight_trains_as_the_floats_it_stands_for(scaling: str, behind: str) -> None:
    scale, zero, axis = SCALES[scaling]
    transposed = "t = Transpose(w) y = MatMul(x, t)" if behind else "y = MatMul(x, w)"
    x = floats(2, 3 if behind else 4)
    made = proto(
        f"w = DequantizeLinear<{axis}>(q, s, z) {transposed}", f"float[N,{x.shape[1]}] x", q=INTEGERS, s=scale, z=zero
    )
    module = assert_sound(made, x)
    assert module.frozen == {"s": "quantisation scale", "z": "int8 constant"}
    shape = (-1, 1) if scaling == "per row" else (-1,)
    wanted = (INTEGERS - zero.reshape(shape).astype(np.float32)) * scale.reshape(shape)
    np.testing.assert_allclose(module.initializers["q"].detach().numpy(), wanted, rtol=1e-6)


@pytest.mark.usefixtures("_dequantization")
def test_an_int8_weight_dequantized_twice_is_tied() -> None:
    made = proto(
        "a = DequantizeLinear(q, s) h = MatMul(x, a) b = DequantizeLinear(q, s) t = Transpose(b) y = MatMul(h, t)",
        q=INTEGERS, s=np.float32(0.02),
    )  # fmt: skip
    assert list(assert_sound(made, floats(2, 4)).initializers) == ["q"]


@pytest.mark.usefixtures("_dequantization")
def test_an_int8_weight_in_a_body_is_the_same_as_outside() -> None:
    made = proto(
        """c = If (on) < then_branch = t () => (float[N,3] u) { a = DequantizeLinear(q, s) u = MatMul(x, a) },
                         else_branch = e () => (float[N,3] v) { v = MatMul(x, w) } >
        b = DequantizeLinear(q, s) o = Transpose(b) y = MatMul(c, o)""",
        "float[N,4] x, bool on", q=INTEGERS, s=np.float32(0.02), w=floats(4, 3),
    )  # fmt: skip
    module = assert_sound(made, floats(2, 4), np.array(True), freeze=["w"])
    assert list(module.initializers) == ["q"]


@pytest.mark.usefixtures("_dequantization")
def test_a_frozen_int8_weight_may_have_a_scale_that_trains() -> None:
    made = proto("w = DequantizeLinear(q, s) y = MatMul(x, w)", q=INTEGERS, s=np.float32(0.02))
    module = assert_sound(made, floats(2, 4), train=["s"], freeze=["q"])
    assert list(module.initializers) == ["s"]


@pytest.mark.usefixtures("_dequantization")
def test_an_int8_weight_and_its_scale_do_not_both_train() -> None:
    made = proto("w = DequantizeLinear(q, s) y = MatMul(x, w)", q=INTEGERS, s=np.float32(0.02))
    with pytest.raises(BadOptions, match="scale") as caught:
        converted(made, train=["s"])
    assert caught.value.where == "q"
    assert "freeze" in caught.value.hint


@pytest.mark.usefixtures("_dequantization")
def test_an_int8_weight_that_the_data_scale_is_a_constant() -> None:
    made = proto(
        "s = ReduceMax<keepdims: int = 0>(x) w = DequantizeLinear(q, s) h = MatMul(x, w) y = MatMul(h, v)",
        q=INTEGERS, v=floats(3, 2),
    )  # fmt: skip
    assert list(assert_sound(made, floats(2, 4)).initializers) == ["v"]


# ------------------------------------------------------------------ bodies


BODIES = {
    "if": ("""y = If (on) < then_branch = t () => (float[N,4] u) { u = MatMul(x, w) },
                            else_branch = e () => (float[N,4] f) { h = MatMul(x, w) f = Tanh(h) } >""", "w"),
    "if with a weight of its own": (
        """y = If (on) < then_branch = t () => (float[N,4] u) <float[4] own = {1, 2, 3, 4}> {
                            h = MatMul(x, w) u = Add(h, own) },
                         else_branch = e () => (float[N,4] f) { f = Neg(x) } >""", "w own"),
    "if over a value computed outside": (
        """h = MatMul(x, w) e = Transpose(v)
        y = If (on) < then_branch = t () => (float[N,4] u) { r = Tanh(h) u = MatMul(r, e) },
                      else_branch = e () => (float[N,4] f) { f = Neg(h) } >""", "w v"),
    "two outputs": (
        """a, b = If (on) < then_branch = t () => (float[N,4] u, float[N,4] o) { u = MatMul(x, w) o = MatMul(u, v) },
                            else_branch = e () => (float[N,4] f, float[N,4] g) { f = Neg(x) g = Exp(x) } >
        y = Add(a, b)""", "w v"),
    "a branch that hands over what is outside": (
        """h = MatMul(x, w)
        y = If (on) < then_branch = t () => (float[N,4] u) { u = Identity(h) },
                      else_branch = e () => (float[N,4] f) { f = Neg(h) } >""", "w"),
    "loop": ("""y = Loop (three, , x) < body = b (int64 trip, bool go, float[N,4] a) => (bool again, float[N,4] n) {
        again = Identity(go) m = MatMul(a, w) n = Tanh(m) } >""", "w"),
    "loop with scan outputs": (
        """s, r = Loop (three, , x) < body = b (int64 trip, bool go, float[N,4] a)
                                     => (bool again, float[N,4] n, float[N,4] o) {
            again = Identity(go) m = MatMul(a, w) n = Tanh(m) o = MatMul(n, v) } >
        y = ReduceSum(r)""", "w v"),
    "loop over a weight": (
        """y = Loop (three, , x) < body = b (int64 trip, bool go, float[N,4] a) => (bool again, float[N,4] n) {
            again = Identity(go) r = Gather(w, trip) m = Mul(a, r) n = Tanh(m) } >""", "w"),
    "scan": ("""s, y = Scan <num_scan_inputs = 1, body = b (float[4] a, float[4] i) => (float[4] n, float[4] o) {
            c = Add(a, i) l = MatMul(c, w) n = Tanh(l) o = Mul(n, row) } > (start, x)""", "w row"),
    "if in a loop": (
        """y = Loop (three, , x) < body = b (int64 trip, bool go, float[N,4] a) => (bool again, float[N,4] n) {
            again = Identity(go) first = Equal(trip, zero)
            n = If (first) < then_branch = t () => (float[N,4] u) { k = MatMul(a, w) u = Add(k, x) },
                             else_branch = e () => (float[N,4] f) { h = MatMul(a, v) f = Tanh(h) } > } >""", "w v"),
    "loop in a branch": (
        """e = Transpose(v)
        y = If (on) < then_branch = t () => (float[N,4] u) {
                u = Loop (three, , x) < body = b (int64 trip, bool go, float[N,4] a) => (bool again, float[N,4] n) {
                    again = Identity(go) m = MatMul(a, w) k = MatMul(m, e) n = Tanh(k) } > },
            else_branch = e () => (float[N,4] f) { f = Neg(x) } >""", "w v"),
    "constants in a body": (
        """y = Loop (three, , x) < body = b (int64 trip, bool go, float[N,4] a) => (bool again, float[N,4] n) {
            again = Identity(go) half = Constant<value = float {0.5}>() scaled = Mul(half, half)
            shape = Constant<value_ints: ints = [-1, 4]>() m = MatMul(a, w) k = Mul(m, scaled)
            n = Reshape(k, shape) } >""", "w"),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_bodies_read_and_train_the_weights_around_them(name: str) -> None:
    nodes, trained = BODIES[name]
    known = {"w": floats(4, 4) / 2, "v": floats(4, 4), "start": floats(4), "row": floats(4), "three": np.array(3),
             "zero": np.array(0)}  # fmt: skip
    words = re.findall(r"\w+", nodes)
    weights = {key: array for key, array in known.items() if key in words}
    made = proto(nodes, "float[N,4] x, bool on" if "(on)" in nodes else "float[N,4] x", **weights)
    inputs = (floats(2, 4), np.array(True)) if "(on)" in nodes else (floats(2, 4),)
    assert sorted(assert_sound(made, *inputs).initializers) == sorted(trained.split())


def test_the_branch_that_is_not_taken_trains_nothing() -> None:
    made = proto(
        """y = If (on) < then_branch = t () => (float[N,4] u) { u = MatMul(x, w) },
                        else_branch = e () => (float[N,4] f) { f = MatMul(x, v) } >""",
        "float[N,4] x, bool on", w=floats(4, 4), v=floats(4, 4),
    )  # fmt: skip
    module, x = converted(made), floats(2, 4)
    for on, (taken, other) in ((True, "wv"), (False, "vw")):
        (y,) = module(torch.from_numpy(x), torch.tensor(on))
        np.testing.assert_allclose(y.detach().numpy(), reference(made, x, np.array(on))[0], rtol=1e-5, atol=1e-6)
        module.zero_grad()
        y.sum().backward()
        assert module.initializers[other].grad is None
        np.testing.assert_allclose(
            module.initializers[taken].grad.numpy(), np.repeat(x.sum(0)[:, None], 4, 1), rtol=1e-5, atol=1e-6
        )


def test_a_step_of_training_is_seen_inside_bodies_and_behind_other_nodes() -> None:
    made = proto(
        """t = Transpose(w) h = MatMul(x, t)
        y = Loop (three, , h) < body = b (int64 trip, bool go, float[N,4] a) => (bool again, float[N,4] n) {
            again = Identity(go) m = MatMul(a, w) n = Tanh(m) } >""",
        w=floats(4, 4), three=np.array(2),
    )  # fmt: skip
    module, x, fresh = converted(made), floats(2, 4), floats(4, 4)
    module(torch.from_numpy(x))
    with torch.no_grad():
        module.initializers["w"].copy_(torch.from_numpy(fresh))
    made.graph.initializer[0].CopyFrom(numpy_helper.from_array(fresh, "w"))
    (y,) = module(torch.from_numpy(x))
    np.testing.assert_allclose(y.detach().numpy(), reference(made, x)[0], rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------ what runs, and what does not


def operators(module: DifferentiableModel) -> list[str]:
    return [step.operator for step in module.steps]


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        ("c = Exp(k) d = Neg(c) y = Mul(x, d)", ["Mul"]),
        ("s = Shape(k) f = ConstantOfShape(s) c = Add(f, k) m = MatMul(x, w) y = Add(m, c)", ["MatMul", "Add"]),
        ("s = Shape(x) c = Exp(k) m = Reshape(x, s) y = Mul(m, c)", ["Shape", "Reshape", "Mul"]),
        ("t = Transpose(w) c = Transpose(k) h = MatMul(x, t) y = MatMul(h, c)", ["Transpose", "MatMul", "MatMul"]),
        ("""c = If (on) < then_branch = t () => (float[4,4] u) { u = Exp(k) },
                          else_branch = e () => (float[4,4] f) { f = Neg(k) } > y = Mul(x, c)""", ["Mul"]),
        ("""c = If (on) < then_branch = t () => (float[4,4] u) { u = Exp(w) },
                          else_branch = e () => (float[4,4] f) { f = Neg(w) } > y = MatMul(x, c)""", ["If", "MatMul"]),
        ("""c = Loop (two, , k) < body = b (int64 trip, bool go, float[4,4] a) => (bool again, float[4,4] n) {
            again = Identity(go) n = Tanh(a) } > y = Mul(x, c)""", ["Mul"]),
    ],
    ids=["chain", "shape", "shape of data", "weights", "if", "if over weights", "loop"],
)  # fmt: skip
def test_what_depends_on_constants_alone_is_computed_once(nodes: str, left: list[str]) -> None:
    known = {"k": floats(4, 4), "w": floats(4, 4), "on": np.array(True), "two": np.array(2)}
    words = re.findall(r"\w+", nodes)
    made = proto(nodes, "float[4,4] x", **{name: array for name, array in known.items() if name in words})
    module, x = converted(made, **({"freeze": ["k"]} if "k" in words else {"train": ["w"]})), floats(4, 4)
    assert operators(module) == left
    (y,) = module(torch.from_numpy(x))
    np.testing.assert_allclose(y.detach().numpy(), reference(made, x)[0], rtol=1e-5, atol=1e-5)


def test_a_constant_that_cannot_be_computed_names_its_node() -> None:
    with pytest.raises(NodeFailed) as caught:
        converted(proto("c = MatMul(k, k) y = Div(x, c)", k=floats(2, 3)))
    assert caught.value.where == "c (MatMul)"


@pytest.mark.parametrize(
    ("nodes", "outputs", "count", "values"),
    [
        ("a, b, c = own.Spread(x) y = Neg(a)", "float[] y", 1, [-2]),
        ("a, b, c = own.Spread(x) y = Neg(b)", "float[] y", 2, [-3]),
        ("a, b, c = own.Spread(x) y = Neg(c)", "float[] y", 3, [-4]),
        ("a, b, c = own.Spread(x) y = Neg(a)", "float[] y, float[] b", 2, [-2, 3]),
        ("a, , c = own.Spread(x) y = Add(a, c)", "float[] y", 3, [6]),
        ("""a, b, c = own.Spread(x)
            y = If (on) < then_branch = t () => (float[N,4] u) { u = Neg(b) },
                          else_branch = e () => (float[N,4] f) { f = Neg(a) } >""", "float[] y", 2, [-3]),
        ("""y = If (on) < then_branch = t () => (float[N,4] u) { a, b, c = own.Spread(x) u = Neg(b) },
                          else_branch = e () => (float[N,4] f) { f = Neg(x) } >""", "float[] y", 2, [-3]),
    ],
)  # fmt: skip
def test_outputs_that_nobody_reads_are_not_computed(
    asked: list[int], nodes: str, outputs: str, count: int, values: list[float]
) -> None:
    module = converted(proto(nodes, outputs=outputs, on=np.array(True)))
    got = module(torch.full((2, 4), 2.0))
    assert asked == [count]
    assert [float(y[0, 0]) for y in got] == values


def unchanged(x: Tensor) -> Tensor:
    return x


@pytest.mark.parametrize(
    ("nodes", "inputs", "told"),
    [
        ("y = Reshape(x, fixed)", "float[N,4] x", True),
        ("y = Reshape(x, fixed)", "float[2,4] x", False),
        ("y = Reshape(x, kept)", "float[N,4] x", False),
        ("y = Reshape(x, open)", "float[N,4] x", False),
        ("s = Shape(x) z = Mul(s, s) y = Reshape(x, z)", "float[N,4] x", False),
        ("h = own.Unknown(x) y = Reshape(h, fixed)", "float[N,4] x", False),
        ("y = Expand(x, fixed)", "float[N,4] x", False),
    ],
    ids=["fixed", "fixed graph", "kept", "open", "computed", "unknown", "another operator"],
)
def test_a_reshape_tells_where_it_fixes_the_batch_of_a_graph_whose_batch_is_open(
    monkeypatch: pytest.MonkeyPatch, nodes: str, inputs: str, told: bool
) -> None:
    monkeypatch.setitem(_TABLE, ("own", "Unknown"), [Operator("own", "Unknown", 1, unchanged, pure=True)])
    shapes = {"fixed": ids(2, 4), "kept": ids(0, 2, 2), "open": ids(-1, 2, 2)}
    used = {name: shape for name, shape in shapes.items() if name in re.findall(r"\w+", nodes)}
    note = converted(proto(nodes, inputs, **used)).steps[-1].note
    assert bool(note) is told
    if told:
        assert "'y' reshapes to [2, 4]" in note
