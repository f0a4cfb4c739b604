import io
import re
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

from analysis.convert import DifferentiableModel, convert
from analysis.convert.registry import _TABLE, Operator, OutputCount, lookup
from analysis.errors import BadOptions, NeverSupported, NodeFailed, UnsupportedOp
from analysis.model import check_model
from tests.analysis.convert.conversion import (
    RANDOM,
    Tensor,
    assert_differentiable,
    assert_sound,
    converted,
    floats,
    ids,
    proto,
    reference,
)
from tests.gallery import HEALTHY, Recurrent, ResidualNetwork, Transformer, export, seeded

# ------------------------------------------------------------------ one parameter per initialiser


def test_a_parameter_has_the_name_layout_and_values_of_its_initializer() -> None:
    weights = {"b": floats(3), "w": floats(4, 3), "v": floats(2, 3)}
    module = converted(proto("h = Gemm(x, w, b) y = Gemm<transB: int = 1>(h, v)", **weights))
    assert list(module.initializers) == ["b", "w", "v"]
    for name, parameter in module.initializers.items():
        assert isinstance(parameter, nn.Parameter)
        assert parameter.dtype is torch.float32
        np.testing.assert_array_equal(parameter.detach().numpy(), weights[name])
    assert {id(p) for p in module.parameters()} == {id(p) for p in module.initializers.values()}
    assert len(list(module.parameters())) == 3
    assert list(module.buffers()) == []


NAMES = ["a.b", "a%2Eb", "a", "a/b::c", "ü ß", "training", "weight:a", "constant:1", "forward"]


def test_any_name_is_kept_apart() -> None:
    made = proto("y = Identity(x)")
    del made.graph.node[:]
    ends = ["x", *(f"h{n}" for n in range(len(NAMES) - 1)), "y"]
    made.graph.node.extend(helper.make_node("MatMul", [ends[n], name], [ends[n + 1]]) for n, name in enumerate(NAMES))
    made.graph.initializer.extend(numpy_helper.from_array(floats(4, 4), name) for name in NAMES)
    module = assert_sound(made, floats(2, 4))
    assert list(module.initializers) == NAMES
    assert len(set(module.state_dict())) == len(NAMES)


def test_a_state_dict_carries_all_that_trains_and_nothing_else() -> None:
    made = proto("h = MatMul(x, w) y = Div(h, d)", w=floats(4, 4), d=floats(4) + 9)
    first, second = converted(made), converted(made)
    with torch.no_grad():
        first.initializers["w"].add_(1)
    state = first.state_dict()
    assert len(state) == 1
    second.load_state_dict(state)
    x = torch.from_numpy(floats(2, 4))
    assert torch.equal(first(x)[0], second(x)[0])


@pytest.mark.parametrize("element", ["float16", "float64", "bfloat16"])
def test_a_weight_keeps_its_values_and_an_output_its_type(element: str) -> None:
    """Half precision is for storage: the weight trains in float32."""
    number = {"float16": 10, "float64": 11, "bfloat16": 16}[element]
    made = proto(
        f"h = Cast<to: int = {number}>(x) y = MatMul(h, w)", outputs=f"{element.replace('float64', 'double')}[] y"
    )
    weight = torch.from_numpy(floats(4, 3)).to(getattr(torch, element))
    content = weight.view(torch.int16 if weight.itemsize == 2 else torch.int64).numpy().tobytes()
    made.graph.initializer.append(TensorProto(name="w", data_type=number, dims=[4, 3], raw_data=content))
    module = converted(made)
    assert module.initializers["w"].dtype is (torch.float64 if element == "float64" else torch.float32)
    assert torch.equal(module.initializers["w"], weight.to(module.initializers["w"].dtype))
    (y,) = module(torch.ones(1, 4))
    assert y.dtype is weight.dtype
    torch.testing.assert_close(y, weight.sum(0, keepdim=True), rtol=1e-2, atol=1e-2)


def test_a_large_weight_is_a_parameter_like_any_other() -> None:
    weight = floats(300, 200)
    module = converted(proto("y = MatMul(x, w)", "float[N,300] x", w=weight))
    x = floats(2, 300)
    module(torch.from_numpy(x))[0].sum().backward()
    np.testing.assert_allclose(
        module.initializers["w"].grad.numpy(), np.repeat(x.sum(0)[:, None], 200, 1), rtol=1e-5, atol=1e-5
    )


def test_an_initializer_that_is_also_declared_as_an_input_is_none() -> None:
    made = proto("y = MatMul(x, w)", "float[N,4] x, float[4,3] w", w=floats(4, 3))
    module = converted(made)
    assert module.input_names == ("x",)
    assert list(module.initializers) == ["w"]


def test_options_decide_what_trains() -> None:
    made = proto("h = MatMul(x, w) m = Mul(h, k) y = MatMul(m, v)", w=floats(4, 4), v=floats(4, 4), k=np.float32(0.5))
    module = assert_sound(made, floats(2, 4), train=["k"], freeze=["v*"])
    assert list(module.initializers) == ["w", "k"]
    assert module.frozen == {"v": "frozen by options"}
    with pytest.raises(BadOptions):
        converted(made, freeze=["missing"])


def test_running_statistics_can_be_made_to_train() -> None:
    weights = {name: np.abs(floats(3)) + 1 for name in "sbmv"}
    made = proto("y = BatchNormalization(x, s, b, m, v)", "float[N,3,5] x", **weights)
    assert list(assert_sound(made, floats(2, 3, 5), train=["m", "v"]).initializers) == list("sbmv")


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


# ------------------------------------------------------------------ precision


def test_a_narrower_input_is_widened_to_what_the_graph_declares() -> None:
    made = proto("y = MatMul(x, w)", "double[N,4] x", "double[] y", w=floats(4, 3).astype(np.float64))
    x = floats(2, 4)
    (y,) = converted(made)(torch.from_numpy(x))
    assert y.dtype is torch.float64
    np.testing.assert_allclose(y.detach().numpy(), reference(made, x.astype(np.float64))[0], rtol=1e-12)


def test_double_precision_takes_the_place_of_single_throughout() -> None:
    weights = {"w": floats(4, 4), "k": np.float32(1 / 3), "shape": ids(4), "three": np.array(3)}
    made = proto(
        """f = ConstantOfShape<value = float[1] {0.1}>(shape) h = MatMul(x, w) m = Mul(h, k) a = Add(m, f)
        i = Cast<to: int = 7>(a) c = Cast<to: int = 1>(i) s = Add(a, c)
        y = Loop (three, , s) < body = b (int64 trip, bool go, float[N,4] v) => (bool again, float[N,4] n) {
            again = Identity(go) tenth = Constant<value = float {0.1}>() p = Mul(v, tenth) n = Sin(p) } >""",
        **weights,
    )
    module, x = converted(made, precision=torch.float64), RANDOM.standard_normal((2, 4))
    assert all(parameter.dtype is torch.float64 for parameter in module.parameters())
    (y,) = module(torch.from_numpy(x))
    wanted = x @ weights["w"].astype(float) * float(weights["k"]) + float(np.float32(0.1))
    wanted = wanted + np.trunc(wanted)
    for _ in range(3):
        wanted = np.sin(wanted * float(np.float32(0.1)))
    assert y.dtype is torch.float64
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-12)


CAST = """h = MatMul(x, w) d = Div(h, r) g = Gather(d, i)
    y = Loop (three, , g) < body = b (int64 trip, bool go, float[2,4] a) => (bool again, float[2,4] n) {
        again = Identity(go) half = Constant<value = float[4] {0.5, 0.25, 0.125, 2}>() sine = Sin(half)
        m = MatMul(a, e) o = Mul(m, sine) q = Mul(o, v)
        n = If (go) < then_branch = t () => (float[2,4] u) { c = Constant<value = float {0.1}>() u = Mul(q, c) },
                      else_branch = o () => (float[2,4] f) { f = Neg(q) } > } >"""


def cast() -> DifferentiableModel:
    weights = {"w": floats(4, 4), "r": floats(4) + 9, "e": floats(4, 4), "v": floats(4), "i": ids(1, 0)}
    return converted(proto(CAST, **weights, three=np.array(2)), freeze=["e"])


def test_a_module_is_cast_as_a_whole() -> None:
    module, x = cast(), RANDOM.standard_normal((2, 4))
    (single,) = module(torch.from_numpy(x).float())
    assert module.to(torch.float64) is module
    inputs = [torch.from_numpy(x)]
    (double,) = module(*inputs)
    assert double.dtype is torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-6)
    assert_differentiable(module, inputs)


def test_a_module_is_moved_as_a_whole() -> None:
    module = cast().to("meta")
    held = [value for value in module._template if isinstance(value, Tensor)]
    assert {value.dtype for value in held} == {torch.float32, torch.int64}
    assert {value.device.type for value in held} == {"meta"}


# ------------------------------------------------------------------ training and evaluation


def normalization(**attributes: int) -> tuple[ModelProto, dict[str, np.ndarray]]:
    weights = {"s": floats(3), "b": floats(3), "m": floats(3), "v": np.abs(floats(3)) + 1}
    given = f"<{', '.join(f'{name}: int = {value}' for name, value in attributes.items())}>" if attributes else ""
    return proto(f"y = BatchNormalization{given}(x, s, b, m, v)", "float[N,3,5] x", **weights), weights


def standardized(x: np.ndarray, mean: np.ndarray, variance: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    def over(vector: np.ndarray) -> np.ndarray:
        return vector[:, None]

    return (x - over(mean)) / np.sqrt(over(variance) + 1e-5) * over(weights["s"]) + over(weights["b"])


def test_batch_normalization_uses_running_statistics_until_it_trains() -> None:
    made, weights = normalization()
    module, x = converted(made), floats(6, 3, 5)
    running = standardized(x, weights["m"], weights["v"], weights)
    batch = standardized(x, x.mean((0, 2)), x.var((0, 2)), weights)
    assert not module.training
    for switch, wanted in (("eval", running), ("train", batch), ("eval", running)):
        assert getattr(module, switch)() is module
        for _ in range(2):
            (y,) = module(torch.from_numpy(x))
            np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)
    statistics = sorted(tuple(buffer.tolist()) for buffer in module.buffers())
    assert statistics == sorted(tuple(weights[name].tolist()) for name in "mv")


def test_a_graph_that_asks_for_batch_statistics_gets_them_in_evaluation_too() -> None:
    made, weights = normalization(training_mode=1)
    made.graph.node[0].output.extend(["m2", "v2"])
    x = floats(6, 3, 5)
    (y,) = converted(made)(torch.from_numpy(x))
    wanted = standardized(x, x.mean((0, 2)), x.var((0, 2)), weights)
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_training_reaches_into_bodies() -> None:
    made = proto(
        """y = If (on) < then_branch = t () => (float[N,3,5] u) { u = BatchNormalization(x, s, b, m, v) },
                         else_branch = e () => (float[N,3,5] f) { f = Neg(x) } >""",
        "float[N,3,5] x, bool on", **normalization()[1],
    )  # fmt: skip
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    module, x = converted(made).train(), floats(6, 3, 5)
    (y,) = module(torch.from_numpy(x), torch.tensor(True))
    wanted = standardized(x, x.mean((0, 2)), x.var((0, 2)), weights)
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("nodes", ["y = Dropout(x)", "y = Dropout(x, half)", "y = Dropout(x, half, on)"])
@pytest.mark.parametrize("training", [False, True])
def test_dropout_is_off_while_measuring(nodes: str, training: bool) -> None:
    module = converted(proto(nodes, half=np.float32(0.5), on=np.array(True))).train(training)
    x = torch.from_numpy(floats(50, 4))
    assert torch.equal(module(x)[0], x)


def test_a_constant_is_overwritten_in_one_model_only() -> None:
    made, weights = normalization()
    first, second = converted(made), converted(made)
    x, mean = floats(6, 3, 5), floats(3)
    first.set_constant("m", torch.from_numpy(mean))
    for module, used in ((first, mean), (second, weights["m"])):
        wanted = standardized(x, used, weights["v"], weights)
        np.testing.assert_allclose(module(torch.from_numpy(x))[0].detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------ nothing is shared


def state(module: DifferentiableModel, *inputs: Tensor) -> list[Tensor]:
    """Outputs and gradients, as they are now."""
    module.zero_grad()
    outputs = module(*inputs)
    sum(y.sin().sum() for y in outputs if y.is_floating_point()).backward()
    gradients = [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]
    return [*(y.detach().clone() for y in outputs), *gradients]


@pytest.mark.parametrize("size", [4, 200], ids=["small", "mapped"])
def test_two_conversions_of_one_model_share_nothing(size: int) -> None:
    made = proto(
        "h = MatMul(x, w) d = Div(h, r) a = Add(d, b) y = MatMul(a, w)", f"float[N,{size}] x",
        w=floats(size, size), r=floats(size) + 9, b=floats(size),
    )  # fmt: skip
    content = made.SerializeToString()
    model = check_model(content)
    before = {name: np.array(array) for name, array in model.weights.items()}
    first, second = convert(model), convert(model)
    x = torch.from_numpy(floats(3, size))
    untouched = state(second, x)
    optimizer = torch.optim.SGD(first.parameters(), lr=0.1)
    for _ in range(3):
        state(first, x)
        optimizer.step()
    first.set_constant("r", torch.zeros(size))
    assert not torch.equal(first.initializers["w"], second.initializers["w"])
    assert all(torch.equal(a, b) for a, b in zip(state(second, x), untouched, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(state(convert(model), x), untouched, strict=True))
    assert all(np.array_equal(model.weights[name], before[name]) for name in before)
    assert model.source == content


@pytest.mark.parametrize("name", sorted(HEALTHY))
def test_running_twice_gives_the_same(name: str) -> None:
    patient = HEALTHY[name]()
    module = convert(check_model(patient.model))
    x = torch.from_numpy(np.load(io.BytesIO(patient.batch))["x"][:8])
    for training in (False, True):
        module.train(training)
        first, second = state(module, x), state(module, x)
        assert len(first) == len(second)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", sorted(HEALTHY))
def test_no_parameter_is_detached(name: str) -> None:
    patient = HEALTHY[name]()
    module = convert(check_model(patient.model))
    x = torch.from_numpy(np.load(io.BytesIO(patient.batch))["x"][:8])
    for training in (False, True):
        module.train(training)
        module.zero_grad()
        sum(y.square().sum() for y in module(x)).backward()
        assert [key for key, parameter in module.initializers.items() if parameter.grad is None] == []


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


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many outputs own.Spread was asked for, run by run."""
    counts: list[int] = []

    def spread(x: Tensor, *, outputs: OutputCount = 1) -> tuple[Tensor, ...]:
        counts.append(outputs)
        return tuple(x + place for place in range(outputs))

    monkeypatch.setitem(_TABLE, ("own", "Spread"), [Operator("own", "Spread", 1, spread, pure=True)])
    return counts


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


# ------------------------------------------------------------------ what cannot be converted


@pytest.fixture
def _stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    def stretch(x: Tensor, *, factor: float) -> Tensor:
        return factor * x

    monkeypatch.setitem(_TABLE, ("own", "Stretch"), [Operator("own", "Stretch", 1, stretch, pure=True)])


def named(made: ModelProto) -> ModelProto:
    for node in made.graph.node:
        node.name = f"node of {node.output[0]}"
    return made


@pytest.mark.usefixtures("_stretch")
def test_all_that_is_unsupported_is_listed_at_once_with_its_nodes() -> None:
    made = named(
        proto(
            """a = own.Fold(x) b = own.Fold(a) c = own.Bend(b) r = Relu(c)
            d = own.Stretch(r) e = own.Stretch<factor: float = 2.0, turn: int = 1>(d)
            f = own.Stretch<factor: float = 2.0>(e)
            y = If (on) < then_branch = t () => (float[N,4] u) { u = own.Fold(f) },
                          else_branch = o () => (float[N,4] v) { w = own.Crush(f) v = Neg(w) } >""",
            on=np.array(True),
        )
    )
    with pytest.raises(UnsupportedOp) as caught:
        converted(made)
    problems = [text.rsplit(", at ", 1) for text in caught.value.detail.split("; ")]
    found = {name: places for reason, places in problems for name in re.findall(r"own::\w+|turn|factor", reason)}
    assert caught.value.where == "graph"
    assert caught.value.hint
    assert len(problems) == 5
    assert found["own::Fold"] == "node of a, node of b, u"
    assert found["own::Bend"] == "node of c"
    assert found["own::Crush"] == "w"
    assert found["factor"] == "node of d"
    assert found["turn"] == "node of e"


def test_what_is_supported_elsewhere_is_not_supported_in_another_domain() -> None:
    with pytest.raises(UnsupportedOp, match="own::Relu"):
        converted(proto("y = own.Relu(x)"))


def test_strings_are_never_supported_and_that_is_said_first() -> None:
    made = named(proto(
        "s = StringConcat(t, t) h = own.Fold(x) y = Neg(h)", "float[N,4] x, string[N] t", "float[] y, string[] s"
    ))  # fmt: skip
    with pytest.raises(NeverSupported) as caught:
        converted(made)
    assert "node of s" in caught.value.detail
    assert "node of h" in caught.value.detail
    assert caught.value.hint


def test_unsupported_nodes_are_told_before_anything_runs(asked: list[int]) -> None:
    with pytest.raises(UnsupportedOp):
        converted(proto("a = own.Spread(k) b = own.Fold(a) y = Add(x, b)", k=floats(4)))
    assert asked == []


# ------------------------------------------------------------------ calling it


def test_inputs_and_outputs_come_in_the_order_of_the_graph() -> None:
    made = proto(
        "d = Sub(b, a) p = MatMul(a, w)", "float[N,4] b, float[N,4] a",
        "float[] p, float[] d, float[N,4] a, float[4,4] w, float[] c", w=floats(4, 4), c=floats(3),
    )  # fmt: skip
    module, a, b = converted(made), floats(2, 4), floats(2, 4)
    assert (module.input_names, module.output_names) == (("b", "a"), ("p", "d", "a", "w", "c"))
    outputs = module(torch.from_numpy(b), torch.from_numpy(a))
    assert isinstance(outputs, tuple)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    for output, wanted in zip(outputs, (a @ weights["w"], b - a, a, weights["w"], weights["c"]), strict=True):
        np.testing.assert_allclose(output.detach().numpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_inputs_is_refused(count: int) -> None:
    module = converted(proto("y = Add(x, z)", "float[N,4] x, float[N,4] z"))
    with pytest.raises(TypeError, match=f"2 inputs, got {count}"):
        module(*[torch.zeros(1, 4)] * count)


def test_a_graph_without_inputs_runs() -> None:
    (y,) = converted(proto("y = Exp(k)", "", k=floats(3)))()
    assert y.shape == (3,)


def test_watched_values_are_shown_once_and_outputs_are_the_same() -> None:
    made = proto("h = MatMul(x, w) r = Relu(h) s = Shape(r) y = Reshape(r, s)", w=floats(4, 4))
    module, x = converted(made), torch.from_numpy(floats(2, 4))
    seen: dict[str, list[Tensor]] = {name: [] for name in ("x", "h", "r", "y", "nowhere")}
    outputs = module.observe([x], {name: [found.append] for name, found in seen.items()})
    assert {name: len(found) for name, found in seen.items()} == {"x": 1, "h": 1, "r": 1, "y": 1, "nowhere": 0}
    assert seen["x"][0] is x
    torch.testing.assert_close(seen["h"][0], x @ module.initializers["w"])
    torch.testing.assert_close(seen["r"][0], seen["h"][0].relu())
    assert torch.equal(outputs[0], module(x)[0])


def test_layers_and_frozen_weights_are_told() -> None:
    made = proto("h = Gemm(x, w, b) y = Div(h, d)", w=floats(4, 4), b=floats(4), d=floats(4), n=ids(1))
    module = converted(made)
    assert [(layer.op, sorted(layer.parameters)) for layer in module.layers] == [("Gemm", ["bias", "weight"])]
    assert module.frozen == {"d": "constant operand of Div", "n": "unused"}


# ------------------------------------------------------------------ as torch has it


class Tied(nn.Module):
    """An embedding that is also the head."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.hidden = nn.Embedding(9, 4), nn.Linear(4, 4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.hidden(self.table(ids)).tanh() @ self.table.weight.T


class Several(nn.Module):
    """Convolutions, transposed ones, group and instance norms, slopes."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.group, self.instance = nn.GroupNorm(3, 6), nn.InstanceNorm2d(4, affine=True)
        self.slope = nn.PReLU(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.instance(self.up(self.slope(self.group(self.down(x)))))


TOKENS = torch.arange(24).reshape(2, 12) % 9
MODULES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3)), lambda: torch.randn(5, 4)),
    "mlp on sequences": (lambda: nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 3)),
                         lambda: torch.randn(2, 5, 4)),
    "tied": (Tied, lambda: TOKENS),
    "several": (Several, lambda: torch.randn(2, 3, 8, 8)),
    "residual": (ResidualNetwork, lambda: torch.randn(2, 3, 8, 8)),
    "transformer": (Transformer, lambda: TOKENS),
    "lstm": (Recurrent, lambda: torch.randn(2, 5, 8)),
    "gru": (lambda: Recurrent(nn.GRU), lambda: torch.randn(2, 5, 8)),
    "rnn": (lambda: Recurrent(nn.RNN), lambda: torch.randn(2, 5, 8)),
}  # fmt: skip
RECURRENT = {"lstm", "gru", "rnn"}


def moments(parameters: Sequence[nn.Parameter]) -> list[tuple[int, float, float, float]]:
    """Of each tensor, whatever its layout: elements, |w|, |g|, <w, g>."""
    found = [
        (p.numel(), p.data.norm().item(), p.grad.norm().item(), (p.data * p.grad).sum().item())
        for p in parameters
        if p.grad is not None
    ]
    return sorted(found)


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", MODULES)
def test_an_exported_module_computes_and_learns_as_the_original(name: str, training: bool) -> None:
    build, draw = MODULES[name]
    module = seeded(build)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)  # torch's exporter ties equal tensors, such as fresh norms
    x = draw()
    translated = convert(check_model(export(module, x, keep_batch_norm=True))).train(training)
    outputs = []
    for network in (module.train(training), translated):
        y = network(x)
        y = y[0] if isinstance(y, tuple) else y
        (y.sin() * torch.arange(y.numel()).reshape(y.shape) / y.numel()).sum().backward()
        outputs.append(y.detach())
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
    theirs, ours = moments(list(module.parameters())), moments(list(translated.parameters()))
    if name in RECURRENT:  # ONNX packs four tensors into three
        theirs, ours = [total(theirs)], [total(ours)]
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-4)


def total(parts: list[tuple[int, float, float, float]]) -> tuple[float, ...]:
    sizes, weights, gradients, products = np.array(parts, float).T
    return sizes.sum(), np.sqrt((weights**2).sum()), np.sqrt((gradients**2).sum()), products.sum()


def test_torchs_new_exporter_leads_to_the_same() -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3))).eval()
    x = torch.randn(5, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module, (x,), dynamo=True, verbose=False)
    translated = convert(check_model(program.model_proto.SerializeToString()))
    for network in (module, translated):
        y = network(x)
        (y if isinstance(y, Tensor) else y[0]).sin().sum().backward()
    np.testing.assert_allclose(
        moments(list(translated.parameters())), moments(list(module.parameters())), rtol=1e-3, atol=1e-5
    )
