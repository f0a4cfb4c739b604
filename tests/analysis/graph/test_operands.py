"""What is no parameter although it stands where one may: by place and provenance, never by value."""

import numpy as np
import pytest
from onnx import numpy_helper, parser

from analysis.convert.translate import read_graph
from analysis.graph.roles import Roles
from analysis.model import CheckedModel, check_model

RANDOM = np.random.default_rng(20261125)
HEAD = '<ir_version: 10, opset_import: ["": 20], producer_name: "{}">'


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def model(
    nodes: str,
    weights: dict[str, np.ndarray],
    inputs: str = "float[N,4] x",
    outputs: str = "float[] y",
    producer: str = "",
) -> CheckedModel:
    """ONNX text with these initialisers, whose names may be any."""
    plain = {f"w_{number}": name for number, name in enumerate(weights)}
    for short, name in plain.items():
        nodes = nodes.replace(f"<{name}>", short)
    proto = parser.parse_model(f"{HEAD.format(producer)} net ({inputs}) => ({outputs}) {{ {nodes} }}")
    for node in proto.graph.node:
        node.input[:] = [plain.get(name, name) for name in node.input]
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return check_model(proto.SerializeToString())


def divided(checked: CheckedModel) -> Roles:
    return read_graph(checked).roles


# ------------------------------------------------------------------ provenance


@pytest.mark.parametrize(
    "name",
    ["/block/Constant_output_0", "/Constant_12_output_0", "zeros", "full_like_3", "m.ones_1", "helper.constant.7"],
)
def test_what_an_exporter_made_on_the_spot_is_frozen_beside_real_weights(name: str) -> None:
    roles = divided(model(f"h = MatMul(x, <w>) y = Add(h, <{name}>)", {"w": floats(4, 4), name: floats(3, 1, 4)}))
    assert roles.trainable == ("w",)
    assert "literal" in roles.frozen[name]


def test_constant_nodes_are_literals_only_beside_weights_that_are_initialisers() -> None:
    constant = "c = Constant<value = float[2,4] {1, 2, 3, 4, 5, 6, 7, 8}>()"
    apart = divided(model(f"{constant} h = MatMul(x, <w>) y = Mul(h, c)", {"w": floats(4, 4)}, "float[2,4] x"))
    assert apart.trainable == ("w",)
    matrix = "w = Constant<value = float[4,2] {1, 2, 3, 4, 5, 6, 7, 8}>()"
    together = divided(model(f"{constant} {matrix} m = Mul(x, c) y = MatMul(m, w)", {}, "float[2,4] x"))
    assert set(together.trainable) == {"w", "c"}


def test_a_computed_name_may_hold_parameters() -> None:
    weights = {"m.weight": floats(4, 4), "val_12": floats(4), "/m/Gather_output_0": floats(3, 4)}
    roles = divided(model("h = MatMul(x, <m.weight>) a = Mul(h, <val_12>) y = Add(a, </m/Gather_output_0>)", weights))
    assert set(roles.trainable) == set(weights)


@pytest.mark.parametrize(
    ("name", "trains"), [("h0", True), ("lstm.h0", True), ("val_7", False), ("onnx::RNN_4", False)]
)
def test_initial_states_are_learnt_where_somebody_named_them(name: str, trains: bool) -> None:
    weights = {"w": floats(1, 3, 4), "r": floats(1, 3, 3), name: np.zeros((1, 1, 3), np.float32)}
    roles = divided(model(f"y = RNN<hidden_size: int = 3>(x, <w>, <r>, , , <{name}>)", weights, "float[5,1,4] x"))
    assert (name in roles.trainable) is trains


@pytest.mark.parametrize(
    ("name", "producer", "trains"),
    [
        ("clip.logit_scale", "", True), ("logit_scale", "pytorch", True), ("logit_scale", "", False),
        ("3.alpha", "", True), ("3.block.4.alpha", "", True), ("3.1", "", False),
        ("mul_3", "pytorch", False), ("scalar_tensor_default_2", "pytorch", False), ("val_3", "pytorch", False),
        ("onnx::Mul_3", "pytorch", False), ("net/scale/ReadVariableOp:0", "", True), ("const_fold_opt__3", "", False),
    ],
)  # fmt: skip
def test_a_single_number_trains_where_its_name_is_that_of_a_parameter(
    name: str,
    producer: str,
    trains: bool,
) -> None:
    weights = {"w": floats(4, 4), name: np.array(1.5, np.float32)}
    roles = divided(model(f"h = MatMul(x, <w>) y = Mul(h, <{name}>)", weights, producer=producer))
    assert (name in roles.trainable) is trains


def test_a_quantisation_scale_is_no_parameter_although_it_has_a_name() -> None:
    weights = {"m.w": floats(4, 4), "m.w_scale": np.array(0.1, np.float32), "m.w_zero_point": np.array(0, np.int8)}
    roles = divided(model("h = MatMul(x, <m.w>) y = Mul(h, <m.w_scale>)", weights))
    assert roles.trainable == ("m.w",)


@pytest.mark.parametrize(
    "nodes",
    [
        "y = Where(b, h, <m.c>)", "y = Sub(h, <m.c>)", "y = Div(h, <m.c>)", "y = Pow(h, <m.c>)", "y = Max(h, <m.c>)",
    ],
)  # fmt: skip
@pytest.mark.parametrize(("name", "trains"), [("m.c", True), ("c", False)])
def test_operators_that_rarely_hold_a_parameter_ask_for_its_name(nodes: str, name: str, trains: bool) -> None:
    weights = {"m.w": floats(4, 4), name: floats(4)}
    text = f"h = MatMul(x, <m.w>) {nodes.replace('m.c', name)}"
    roles = divided(model(text, weights, "float[N,4] x, bool[N,4] b"))
    assert (name in roles.trainable) is trains


# ------------------------------------------------------------------ place


def test_frequencies_that_multiply_positions_are_frozen_and_scales_of_data_are_not() -> None:
    nodes = """
        e = Gather(<table>, ids) p = Cast<to: int = 1>(ids) angle = Mul(p, <inv_freq>) c = Cos(angle)
        scaled = Mul(e, <gain>) y = Add(scaled, c)"""
    weights = {"table": floats(9, 4), "inv_freq": floats(4), "gain": floats(4)}
    roles = divided(model(nodes, weights, "int64[4] ids"))
    assert set(roles.trainable) == {"table", "gain"}
    assert "positions" in roles.frozen["inv_freq"]


@pytest.mark.parametrize(
    ("shape", "trains"),
    [((1, 2, 6, 6), True), ((2, 6, 6), True), ((3, 1, 6, 6), False), ((6, 6), False), ((1, 2, 1, 6), False)],
)
def test_scores_may_have_a_learnt_table_for_each_head_but_masks_are_the_same_for_all(
    shape: tuple[int, ...],
    trains: bool,
) -> None:
    nodes = (
        "q = MatMul(x, <w>) t = Transpose<perm: ints = [0,1,3,2]>(x) s = MatMul(q, t) a = Add(s, <m>) y = Softmax(a)"
    )
    roles = divided(model(nodes, {"w": floats(8, 8), "m": floats(*shape)}, "float[3,2,6,8] x", "float[3,2,6,6] y"))
    assert ("m" in roles.trainable) is trains


def test_a_frozen_batch_normalisation_that_is_written_out_is_frozen() -> None:
    weights = {"w": floats(4, 3, 3, 3), **{name: np.abs(floats(1, 4, 1, 1)) for name in ("g", "b", "m", "v")}}
    nodes = """
        h = Conv(x, <w>) d = Sqrt(<v>) s = Div(<g>, d) a = Mul(h, s) ms = Mul(<m>, s) o = Sub(<b>, ms) y = Add(a, o)"""
    roles = divided(model(nodes, weights, "float[N,3,8,8] x"))
    assert roles.trainable == ("w",)
    assert roles.frozen["g"] == "part of a frozen batch normalisation"


def test_a_mean_subtracted_from_the_input_is_preprocessing() -> None:
    weights = {"m.mean": floats(1, 3, 1, 1), "m.w": floats(4, 3, 3, 3)}
    roles = divided(model("h = Sub(x, <m.mean>) y = Conv(h, <m.w>)", weights, "float[N,3,8,8] x"))
    assert roles.trainable == ("m.w",)
    assert roles.frozen["m.mean"] == "preprocessing of the input"


# ------------------------------------------------------------------ expressions


def test_a_second_output_without_floats_does_not_end_an_expression() -> None:
    nodes = "d, mask = Dropout(<w>) t = Transpose(d) y = MatMul(x, t)"
    assert divided(model(nodes, {"w": floats(4, 4)})).trainable == ("w",)


def test_a_sequence_of_pieces_of_a_weight_is_made_of_the_weight() -> None:
    nodes = """
        s = SplitToSequence<axis: int = 1>(<w>, <two>) i = Constant<value = int64 {1}>() k = SequenceAt(s, i)
        y = MatMul(x, k)"""
    roles = divided(model(nodes, {"w": floats(4, 6), "two": np.array(2)}))
    assert roles.trainable == ("w",)


def test_queries_that_are_learnt_are_traced_through_the_matrices_they_meet() -> None:
    nodes = "q = MatMul(<queries>, <w>) b = Add(q, <bias>) g = Tanh(b) y = GridSample(x, g)"
    weights = {"queries": floats(1, 5, 6, 7), "w": floats(7, 2), "bias": floats(2)}
    roles = divided(model(nodes, weights, "float[1,3,8,8] x"))
    assert set(roles.trainable) == set(weights)


def test_weights_that_a_loop_hands_on_unchanged_train_and_its_own_states_ask_for_a_name() -> None:
    for name, trains in (("m.h0", True), ("zeros", False)):
        text = f"""
            n = Constant<value = int64 {{3}}>() c = Constant<value = bool {{1}}>()
            ws, hs = Loop(n, c, <w>, <{name}>) <body = turn (int64 i, bool go, float[4,4] w_in, float[2,4] s_in)
                => (bool go_on, float[4,4] w_out, float[2,4] s_out)
                {{ go_on = Identity(go) w_out = Identity(w_in) h = MatMul(s_in, w_in) s_out = Tanh(h) }}>
            z = MatMul(x, <v>) y = Add(z, hs)"""
        weights = {"w": floats(4, 4), name: floats(2, 4), "v": floats(4, 4)}
        roles = divided(model(text, weights, "float[2,4] x", "float[2,4] y"))
        assert "w" in roles.trainable
        assert (name in roles.trainable) is trains


@pytest.mark.parametrize("between", ["Identity", "Cast<to: int = 1>"])
def test_a_bias_behind_a_cast_of_the_product_is_its_bias(between: str) -> None:
    nodes = f"h = MatMul(x, <w>) c = {between}(h) l = Add(c, <b>) y = Softmax(l)"
    for width in (1, 3):
        roles = divided(model(nodes, {"w": floats(4, width), "b": floats(width)}))
        assert roles.trainable == ("w", "b")


def test_a_single_number_behind_a_convolution_of_many_channels_is_no_bias() -> None:
    weights = {"w": floats(6, 3, 3, 3), "three": np.full((1, 1, 1, 1), 3, np.float32)}
    roles = divided(model("h = Conv(x, <w>) y = Add(h, <three>)", weights, "float[1,3,8,8] x"))
    assert roles.trainable == ("w",)
