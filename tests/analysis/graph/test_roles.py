import re

import numpy as np
import pytest
import torch
from onnx import numpy_helper, parser
from torch import nn

from analysis.convert.translate import read_graph
from analysis.errors import BadOptions
from analysis.graph.roles import Roles
from analysis.model import CheckedModel, check_model
from tests.analysis.graph.graphs import HEAD, RANDOM, floats, model
from tests.gallery import Recurrent, ResidualNetwork, Transformer, export, seeded


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def divided(checked: CheckedModel, **overrides) -> Roles:
    return read_graph(checked, **overrides).roles


# ------------------------------------------------------------------ what trains


@pytest.mark.parametrize(
    ("nodes", "inputs", "weights"),
    [
        ("y = MatMul(x, w)", "float[N,4] x", {"w": (4, 3)}),
        ("y = MatMul(w, x)", "float[4,N] x", {"w": (3, 4)}),
        ("y = Gemm(x, w, b)", "float[N,4] x", {"w": (4, 3), "b": (3,)}),
        ("h = MatMul(x, w) y = Add(h, b)", "float[N,4] x", {"w": (4, 1), "b": (1,)}),
        ("y = Conv(x, w, b)", "float[N,3,8] x", {"w": (5, 3, 3), "b": (5,)}),
        ("y = ConvTranspose(x, w, b)", "float[N,3,8] x", {"w": (3, 5, 3), "b": (5,)}),
        ('y = Einsum<equation: string = "ni,io->no">(x, w)', "float[N,4] x", {"w": (4, 3)}),
        ("y = LayerNormalization(x, s, b)", "float[N,4] x", {"s": (4,), "b": (4,)}),
        ("y = InstanceNormalization(x, s, b)", "float[N,3,8] x", {"s": (3,), "b": (3,)}),
        ("y = PRelu(x, a)", "float[N,4] x", {"a": (1,)}),
        ("y = Gather(e, i)", "int64[N] i", {"e": (9, 4)}),
        ("y = RNN<hidden_size: int = 3>(x, w, r, b, , h)", "float[5,1,4] x",
         {"w": (1, 3, 4), "r": (1, 3, 3), "b": (1, 6), "h": (1, 1, 3)}),
        ("y = LSTM<hidden_size: int = 3>(x, w, r, b, , h, c, p)", "float[5,1,4] x",
         {"w": (1, 12, 4), "r": (1, 12, 3), "b": (1, 24), "h": (1, 1, 3), "c": (1, 1, 3), "p": (1, 9)}),
        ("y = Mul(x, g)", "float[N,4] x", {"g": (4,)}),
        ("y = Add(x, p)", "float[N,4] x", {"p": (4,)}),
        ("y = Concat<axis: int = 0>(t, x)", "float[N,4] x", {"t": (1, 4)}),
        ("y = Sum(x, p)", "float[N,4] x", {"p": (4,)}),
    ],
    ids=["matmul", "left matmul", "gemm", "bias", "conv", "conv transpose", "einsum", "layer norm", "instance norm",
         "slope", "embedding", "rnn", "lstm", "layer scale", "positions", "token", "sum"],
)  # fmt: skip
def test_parameters_train(nodes: str, inputs: str, weights: dict[str, tuple[int, ...]]) -> None:
    roles = divided(model(nodes, inputs, **{name: floats(*shape) for name, shape in weights.items()}))
    assert roles == Roles(tuple(weights), {})


@pytest.mark.parametrize("fill", [np.zeros, np.ones, floats], ids=["zeros", "ones", "normal"])
def test_values_decide_nothing(fill) -> None:
    roles = divided(
        model(
            "h = Gemm(x, w, b) n = LayerNormalization(h, s, c) m = Mul(n, g) y = Mul(m, k)",
            w=floats(4, 4), b=np.float32(fill(4)), s=np.float32(fill(4)), c=np.float32(fill(4)),
            g=np.float32(fill(4)), k=np.float32(fill(1)),
        )
    )  # fmt: skip
    assert roles == Roles(("w", "b", "s", "c", "g"), {"k": "single number in Mul"})


def test_trainable_weights_come_in_the_order_of_the_file() -> None:
    weights = {name: floats(4, 4) for name in "zam"}
    assert divided(model("h = MatMul(x, a) i = MatMul(h, m) y = MatMul(i, z)", **weights)).trainable == ("z", "a", "m")


def test_one_trainable_use_is_enough() -> None:
    roles = divided(model("d = Div(x, w) h = MatMul(d, w) y = Max(h, w)", w=floats(4, 4)))
    assert roles == Roles(("w",), {})


@pytest.mark.parametrize("shape", [(1, 6, 1), (6, 1)])
def test_a_bias_behind_a_convolution_trains_even_with_one_channel(shape: tuple[int, ...]) -> None:
    one = tuple(min(size, 1) for size in shape)
    for sizes, channels in ((shape, 6), (one, 1)):
        roles = divided(
            model("h = Conv(x, w) y = Add(h, b)", "float[N,3,8] x", w=floats(channels, 3, 3), b=floats(*sizes))
        )
        assert roles.trainable == ("w", "b")


@pytest.mark.parametrize(
    ("module", "example", "keep"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)), torch.zeros(2, 4), False),
        (ResidualNetwork, torch.zeros(2, 3, 16, 16), True),
        (Transformer, torch.zeros(2, 12, dtype=torch.int64), False),
        (Recurrent, torch.zeros(2, 20, 8), False),
        (lambda: Recurrent(nn.GRU), torch.zeros(2, 20, 8), False),
        (lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.GroupNorm(2, 4), nn.PReLU()), torch.zeros(2, 4, 6, 6), False),
    ],
    ids=["mlp", "residual network", "transformer", "lstm", "gru", "group norm"],
)
def test_what_trains_in_torch_trains_here(module, example: torch.Tensor, keep: bool) -> None:
    built = seeded(module)
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.1)  # torch's exporter ties equal tensors, such as fresh norms
    checked = check_model(export(built, example, keep_batch_norm=keep))
    elements = sum(checked.weights[name].size for name in divided(checked).trainable)
    assert elements == sum(parameter.numel() for parameter in built.parameters())


# ------------------------------------------------------------------ what is frozen, and why


CONSTANTS = {
    "w": floats(4, 4), "v": floats(4), "k": np.float32(0.5), "one": floats(1), "i": ids(0, 4), "z": np.int8(0),
    "q": RANDOM.integers(-9, 9, (4, 4)).astype(np.int8), "b": np.array([True] * 4), "pads": ids(0, 1, 0, 1),
}  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "frozen"),
    [
        ("y = Relu(x)", {"w": "unused"}),
        ("y = Reshape(x, i)", {"i": "int64 constant"}),
        ("y = Where(b, x, x)", {"b": "bool constant"}),
        ("y = Mul(x, k)", {"k": "single number in Mul"}),
        ("y = Mul(x, one)", {"one": "single number in Mul"}),
        ("y = Add(x, one)", {"one": "single number in Add"}),
        ("h = MatMul(x, w) y = Add(h, k)", {"k": "single number in Add"}),
        ("u = Mul(w, k) y = MatMul(x, u)", {"k": "single number in MatMul"}),
        ("y = Div(x, v)", {"v": "constant operand of Div"}),
        ("y = Sub(v, x)", {"v": "constant operand of Sub"}),
        ("y = Pow(x, k)", {"k": "single number in Pow"}),
        ("y = Where(b, x, v)", {"v": "constant operand of Where", "b": "bool constant"}),
        ("y = Clip(x, k, k)", {"k": "bound of Clip"}),
        ('y = Pad<mode: string = "constant">(x, pads, k)', {"k": "padding value", "pads": "int64 constant"}),
        ("y = QuantizeLinear(x, k, z)", {"k": "quantisation scale", "z": "int8 constant"}),
        ("u = DequantizeLinear(q, k, z) y = MatMul(x, u)", {"k": "quantisation scale", "z": "int8 constant"}),
        ("s = Shape(w) y = Expand(x, s)", {"w": "read only by Shape, which passes no gradient to it"}),
        ("c = Identity(v) y = Div(x, c)", {"v": "constant operand of Div"}),
        ("d = Div(x, v) m = Max(d, v) y = Sub(m, v)", {"v": "constant operand of Div"}),
    ],
)  # fmt: skip
def test_constants_are_frozen_with_a_reason(nodes: str, frozen: dict[str, str]) -> None:
    words = set(re.findall(r"\w+", nodes)) | frozen.keys()
    weights = {name: array for name, array in CONSTANTS.items() if name in words}
    roles = divided(model(nodes, **weights))
    assert roles.frozen == frozen
    assert set(roles.trainable) == weights.keys() - frozen.keys()


def test_running_statistics_are_frozen_and_the_affine_part_trains() -> None:
    weights = {name: floats(3) for name in "sbmv"}
    roles = divided(model("y = BatchNormalization(x, s, b, m, v)", "float[N,3,8] x", **weights))
    assert roles == Roles(("s", "b"), {"m": "running mean", "v": "running variance"})


def test_scales_and_regions_of_resize_are_frozen() -> None:
    roles = divided(
        model("y = Resize(x, r, s)", "float[1,3,8] x", r=floats(6), s=np.array([1, 1, 2], np.float32))
    )  # fmt: skip
    assert roles.frozen == {"r": "region of interest of Resize", "s": "scales of Resize"}


def test_the_bias_of_logits_in_front_of_a_softmax_trains() -> None:
    roles = divided(model("h = MatMul(x, w) l = Add(h, b) y = Softmax(l)", w=floats(4, 3), b=floats(3)))
    assert roles.trainable == ("w", "b")


# ------------------------------------------------------------------ bodies


def test_weights_in_bodies_have_the_roles_of_their_operators() -> None:
    roles = divided(
        model(
            """y = If (on) <
                then_branch = then () => (float[N,4] t) { h = MatMul(x, w) t = Mul(h, k) },
                else_branch = other () => (float[N,4] e) { e = BatchNormalization(x, s, b, m, v) }>""",
            "bool on, float[N,4] x",
            w=floats(4, 4), k=np.float32(2), **{name: floats(4) for name in "sbmv"},
        )
    )  # fmt: skip
    assert roles.trainable == ("w", "s", "b")
    assert roles.frozen == {"k": "single number in Mul", "m": "running mean", "v": "running variance"}


# ------------------------------------------------------------------ options


def layered() -> CheckedModel:
    """Two blocks of two layers, a scalar and a shape."""
    names = [f"{block}_{number}" for block in ("body", "head") for number in (0, 1)]
    weights = {f"{name}_{kind}": floats(*shape) for name in names for kind, shape in (("w", (4, 4)), ("b", (4,)))}
    layers = "".join(f"h{n + 1} = Gemm(h{n}, {name}_w, {name}_b) " for n, name in enumerate(names))
    return model(
        f"h0 = Mul(x, body_scale) {layers} y = Reshape(h4, body_shape)",
        body_scale=np.float32(2), body_shape=ids(0, 2, 2), **weights,
    )  # fmt: skip


EVERY = tuple(f"{block}_{number}_{kind}" for block in ("body", "head") for number in (0, 1) for kind in ("w", "b"))


@pytest.mark.parametrize(
    ("freeze", "left"),
    [
        (["body_0_w"], [name for name in EVERY if name != "body_0_w"]),
        (["body_0_w", "head_1_b"], [name for name in EVERY if name not in {"body_0_w", "head_1_b"}]),
        (["body*"], EVERY[4:]),
        (["*_w"], EVERY[1::2]),
        (["body_?_b"], [name for name in EVERY if name not in {"body_0_b", "body_1_b"}]),
        (["*_[0]_*"], [*EVERY[2:4], *EVERY[6:]]),
        (["*"], []),
    ],
    ids=str,
)
def test_weights_are_frozen_by_name_and_glob(freeze: list[str], left: list[str]) -> None:
    roles = divided(layered(), freeze=iter(freeze))
    assert sorted(roles.trainable) == sorted(left)
    assert all(roles.frozen[name] == "frozen by options" for name in EVERY if name not in left)


def test_what_options_freeze_anyway_says_so() -> None:
    assert divided(layered(), freeze=["body_scale"]).frozen["body_scale"] == "frozen by options"


def test_a_frozen_number_trains_where_options_say_so() -> None:
    roles = divided(layered(), train=iter(["body_scale"]))
    assert sorted(roles.trainable) == sorted([*EVERY, "body_scale"])
    assert list(roles.frozen) == ["body_shape"]


def test_a_weight_that_carries_no_role_trains_where_options_say_so() -> None:
    weights = {name: floats(4) for name in "sbmv"}
    checked = model("n = BatchNormalization(x, s, b, m, v) y = Div(n, d)", d=floats(4), **weights)
    assert divided(checked, train=["m", "d"]) == Roles(("d", "s", "b", "m"), {"v": "running variance"})


def test_a_glob_trains_the_floats_it_matches() -> None:
    assert divided(layered(), train=["body_s*"]).frozen == {"body_shape": "int64 constant"}


def test_freezing_wins() -> None:
    roles = divided(layered(), train=["*_w", "body_scale"], freeze=["body*"])
    assert sorted(roles.trainable) == sorted(EVERY[4:])


def test_a_name_that_looks_like_a_glob_means_itself() -> None:
    proto = parser.parse_model(f"{HEAD} net (float[N,4] x) => (float[] y) {{ h = MatMul(x, a) y = MatMul(h, b) }}")
    proto.graph.initializer.extend(numpy_helper.from_array(floats(4, 4), name) for name in ("w[0]", "w0"))
    proto.graph.node[0].input[1], proto.graph.node[1].input[1] = "w[0]", "w0"
    checked = check_model(proto.SerializeToString())
    assert divided(checked, freeze=["w[0]"]) == Roles(("w0",), {"w[0]": "frozen by options"})


@pytest.mark.parametrize("option", ["train", "freeze"])
@pytest.mark.parametrize("pattern", ["missing", "missing*", "", "BODY*", "x", "h1"])
def test_what_matches_no_initializer_is_refused(option: str, pattern: str) -> None:
    with pytest.raises(BadOptions, match="matches no initialiser") as caught:
        divided(layered(), **{option: ["head*", pattern]})
    assert caught.value.where == f"options.{option}"
    assert repr(pattern) in caught.value.detail
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "array"), [("i", ids(0, 4)), ("b", np.array(True)), ("q", np.ones((2, 2), np.int8))], ids=["i", "b", "q"]
)
def test_what_holds_no_floats_cannot_train(name: str, array: np.ndarray) -> None:
    checked = model("y = MatMul(x, w)", w=floats(4, 4), **{name: array})
    with pytest.raises(BadOptions, match=f"{name} holds {array.dtype.name}, not floats") as caught:
        divided(checked, train=["w", name])
    assert caught.value.where == "options.train"


def test_the_integers_of_a_quantized_weight_train_unless_frozen() -> None:
    weights = {"q": np.ones((4, 4), np.int8), "s": np.float32(0.1)}
    checked = model("w = DequantizeLinear(q, s) y = MatMul(x, w)", **weights)
    assert divided(checked).trainable == divided(checked, train=["q"]).trainable == ("q",)
    assert divided(checked, freeze=["q"], train=["s"]) == Roles(("s",), {"q": "frozen by options"})


def test_integers_that_are_scaled_by_the_data_are_no_weight() -> None:
    checked = model(
        "s = ReduceMax<keepdims: int = 0>(x) w = DequantizeLinear(q, s) h = MatMul(x, w) y = MatMul(h, v)",
        q=np.ones((4, 4), np.int8), v=floats(4, 4),
    )  # fmt: skip
    assert divided(checked) == Roles(("v",), {"q": "int8 constant"})


def test_what_goes_to_an_output_without_data_is_said_so() -> None:
    """The spread of a policy's actions, which is learnt by another loss than is measured here."""
    proto = parser.parse_model(
        """<ir_version: 10, opset_import: ["": 20]> net (float[N,4] x) => (float[N,2] mean, float[2] spread)
        <float[4,2] w = {1, 2, 3, 4, 5, 6, 7, 8}, float[2] log_std = {0, -1}>
        { mean = MatMul(x, w) spread = Exp(log_std) }"""
    )
    roles = divided(check_model(proto.SerializeToString()))
    assert roles.trainable == ("w",)
    assert roles.frozen["log_std"] == "goes to an output without meeting data"
