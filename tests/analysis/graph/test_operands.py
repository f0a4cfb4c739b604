"""What is no parameter although it stands where one may: by place and provenance, never by value."""

import numpy as np
import pytest

from analysis.graph.roles import Roles
from tests.analysis.graph import graphs
from tests.analysis.graph.named import divided, floats, model

MASK = "added to attention scores: a mask or a fixed position bias"
PLACEHOLDER = "placeholder of a GroupNormalization written as InstanceNormalization"


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


@pytest.mark.parametrize(
    ("name", "bins", "trains"),
    [
        ("dfl.conv.weight", np.arange(16.0), False), ("dfl.conv.weight", np.arange(0.0, -9.0, -1.0), False),
        ("dfl.conv.weight", np.linspace(0, 5, 16), True), ("tmp_8", np.linspace(0, 5, 16), False),
        ("dfl.conv.weight", np.arange(4.0), True), ("dfl.conv.weight", np.arange(16.0) ** 2, True),
        ("dfl.conv.weight", np.ones(16), True),
    ],
)  # fmt: skip
def test_whole_numbers_in_a_row_are_places_and_evenly_spaced_ones_where_nobody_named_them(
    name: str, bins: np.ndarray, trains: bool
) -> None:
    weights = {"m.weight": floats(bins.size, 4, 1, 1), name: bins.astype(np.float32).reshape(1, -1, 1, 1)}
    nodes = f"h = Conv(x, <m.weight>) p = Softmax<axis: int = 1>(h) y = Conv(p, <{name}>)"
    assert (name in divided(model(nodes, weights, "float[N,4,2,2] x")).trainable) is trains


def test_numbers_without_end_are_in_no_row() -> None:
    limits = np.array([-np.inf] * 9, np.float32)
    assert divided(model("y = Mul(x, <m.limits>)", {"m.limits": limits}, "float[N,9] x")).trainable == ("m.limits",)


def test_whole_numbers_in_a_table_are_weights() -> None:
    table = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert divided(model("y = MatMul(x, <w>)", {"w": table})).trainable == ("w",)


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
        ("clip.logit_scale", "", True), ("logit_scale", "pytorch", True), ("logit_scale", "", True),
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


@pytest.mark.parametrize(("name", "trains"), [("m.token", True), ("token", False)])
@pytest.mark.parametrize(
    "nodes", ["y = ScatterND(h, <i>, <c>)", "y = ScatterElements(h, <j>, <c>)", "y = GridSample(<p>, grid)"]
)
def test_what_is_written_into_data_or_sampled_by_them_trains_under_the_name_of_a_parameter(
    nodes: str, name: str, *, trains: bool
) -> None:
    """A class token in place of the first row, and a plane of features that is read at the places of the data."""
    weights = {"m.w": floats(4, 4), name: floats(1, 2, 4, 4) if "GridSample" in nodes else floats(1, 4)}
    weights |= {"i": np.zeros((1, 1), np.int64)} if "<i>" in nodes else {}
    weights |= {"j": np.zeros((1, 4), np.int64)} if "<j>" in nodes else {}
    grid = "h = MatMul(x, <m.w>) four = Constant<value_ints = [1, -1, 2, 2]>() grid = Reshape(h, four)"
    text = f"{grid} {nodes.replace('<c>', f'<{name}>').replace('<p>', f'<{name}>')}"
    roles = divided(model(text, weights, "float[2,4] x"))
    assert (name in roles.trainable) is trains


def test_the_fill_of_a_mask_is_no_parameter_whatever_its_name() -> None:
    """`masked_bias`, a buffer of GPT-2."""
    weights = {"h.w": floats(4, 4), "h.attn.masked_bias": np.array(-1e4, np.float32)}
    text = "h = MatMul(x, <h.w>) m = Where(b, h, <h.attn.masked_bias>) y = Softmax(m)"
    roles = divided(model(text, weights, "float[N,4] x, bool[N,4] b"))
    assert roles.trainable == ("h.w",)


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


# ------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("name", "literal"),
    [
        ("Constant_output_0", True), ("Constant_3_output_1", True), ("/m/Constant_output_0", True),
        ("Constant_output_0.w", False), ("p2o.pd_op.full.3", True), ("p2o.pd_op.assign_value.0", True),
        ("p2o.pd_op.arange.1", True), ("p2o.pd_op.matmul.1", False), ("x.p2o.pd_op.full.w", False),
        ("helper.constant.7", True), ("m/zeros_like_1", True), ("ones_default_2", True), ("_empty", True),
        ("arange_1_2", True), ("eye", True), ("linspace4", True), ("lifted_tensor_0", True), ("full", True),
        ("scalar_tensor_default_1", True), ("ones_of_all", False), ("zeroshot", False), ("m.everyone", False),
        ("block.gain", False),
    ],
)  # fmt: skip
def test_literals_are_told_by_the_names_that_exporters_give_them(name: str, literal: bool) -> None:
    roles = divided(model(f"h = MatMul(x, <w>) y = Add(h, <{name}>)", {"w": floats(4, 4), name: floats(3, 1, 4)}))
    assert ("literal" in roles.frozen.get(name, "")) is literal
    assert (name in roles.trainable) is not literal


def test_a_literal_that_is_a_matrix_by_itself_is_one_and_a_factor_of_a_matrix_is_none() -> None:
    alone = divided(model("h = MatMul(x, <w>) y = MatMul(h, <zeros>)", {"w": floats(4, 4), "zeros": floats(4, 4)}))
    assert alone.trainable == ("w", "zeros")
    weights = {"w": floats(4, 4), "ones": floats(4, 4)}
    factor = divided(model("m = Mul(<w>, <ones>) y = MatMul(x, m)", weights))
    assert factor.trainable == ("w",)
    assert "literal in MatMul" in factor.frozen["ones"]


@pytest.mark.parametrize("matrix", ["w", "zeros_like"])
def test_literals_are_told_only_where_some_matrix_has_a_name_of_its_own(matrix: str) -> None:
    weights = {matrix: floats(4, 4), "ones_like": floats(4)}
    roles = divided(model(f"h = MatMul(x, <{matrix}>) y = Mul(h, <ones_like>)", weights))
    assert ("ones_like" in roles.trainable) is (matrix == "zeros_like")


def test_an_embedding_with_a_name_of_its_own_keeps_weights_apart_too() -> None:
    roles = divided(
        model("h = Gather(<table>, i) y = Mul(h, <ones>)", {"table": floats(9, 4), "ones": floats(4)}, "int64[N] i")
    )
    assert roles.trainable == ("table",)


@pytest.mark.parametrize(
    ("name", "trains"),
    [
        ("a.b", True), ("a.b_c.d1", True), ("_a.b", True), ("0.a", True), ("12.3.a", True), ("1.2", False),
        ("a", False), ("a.", False), (".a", False), ("a.b/c", False), ("a/ReadVariableOp", True), ("onnx::a.b", False),
        ("p2o.a", False), ("/a.b", False), ("val_3", False), ("a.val_3", True), ("a.x_output_0", False),
        ("a.x_default", False), ("a.x_default_3", False), ("a.x_cast", False), ("a.x_cast_1", False),
        ("a.cast_b", True),
    ],
)  # fmt: skip
def test_a_single_number_asks_for_the_path_of_a_module(name: str, trains: bool) -> None:
    roles = divided(model(f"h = MatMul(x, <w>) y = Mul(h, <{name}>)", {"w": floats(4, 4), name: np.float32(2)}))
    assert (name in roles.trainable) is trains
    assert roles.frozen.get(name) == (None if trains else "single number in Mul")


@pytest.mark.parametrize(
    ("name", "producer", "trains"),
    [
        ("gain", "pytorch", True), ("gain_2", "pytorch", True), ("gain", "other", True),
        ("add_x", "other", False), ("add", "pytorch", False),
        ("add_12", "pytorch", False), ("sqrt_1", "pytorch", False), ("2gain", "pytorch", False),
        ("gain/x", "pytorch", False),
    ],
)  # fmt: skip
def test_torch_names_what_it_computed_after_its_operators(name: str, producer: str, trains: bool) -> None:
    weights = {"w": floats(4, 4), name: np.float32(2)}
    roles = divided(model(f"h = MatMul(x, <w>) y = Mul(h, <{name}>)", weights, producer=producer))
    assert (name in roles.trainable) is trains


@pytest.mark.parametrize(
    ("beside", "trains"), [("m.w_zero_point", False), ("m.w_zero", True), ("n.w_zero_point", True)]
)
def test_a_quantisation_scale_is_told_by_the_zero_point_beside_it(beside: str, trains: bool) -> None:
    weights = {"v": floats(4, 4), "m.w_scale": np.float32(2), beside: np.int8(0)}
    roles = divided(model("h = MatMul(x, <v>) y = Mul(h, <m.w_scale>)", weights))
    assert ("m.w_scale" in roles.trainable) is trains


@pytest.mark.parametrize(
    ("nodes", "shape", "trains"),
    [
        ("y = Mul(h, <c>)", (1,), False), ("y = Mul(h, <c>)", (1, 1), False), ("y = Add(x, <c>)", (1,), False),
        ("y = PRelu(h, <c>)", (1,), True), ("y = PRelu(h, <c>)", (), False),
        ("y = Concat<axis = 1>(k, <c>)", (4, 1), True),
        ("y = Mul(h, <c>)", (4,), True), ("y = Min(h, <c>)", (4,), False), ("y = Sum(h, <c>)", (4,), True),
    ],
)  # fmt: skip
def test_single_numbers_are_asked_for_a_name_where_they_are_weak_or_have_no_axis(
    nodes: str, shape: tuple[int, ...], trains: bool
) -> None:
    weights = {"w": floats(4, 4), "c": np.asarray(floats(*shape))}
    roles = divided(model(f"h = MatMul(x, <w>) k = Relu(h) {nodes}", weights, "float[4,4] x"))
    assert ("c" in roles.trainable) is trains


# ------------------------------------------------------------------ places


@pytest.mark.parametrize(
    ("between", "masked"),
    [
        ("p = Softmax(s)", True),
        ("a = Reshape(s, i) p = Softmax(a)", True),
        ("a = Cast<to: int = 1>(s) c = Clip(a) p = Softmax(c)", True),
        ("a = Cast<to: int = 1>(s) c = Clip(a) d = Max(c, c) p = Softmax(d)", False),
        ("a = Relu(s) p = Softmax(a)", False),
        ("p = Sigmoid(s)", False),
    ],
)
def test_what_is_added_to_attention_scores_is_frozen(between: str, masked: bool) -> None:
    roles = divided(
        graphs.model(f"t = Transpose(x) h = MatMul(x, t) s = Add(h, m) {between} y = MatMul(p, x)", "float[4,4] x",
              m=floats(4, 4), i=np.array([4, 4]))
    )  # fmt: skip
    assert roles.frozen.get("m") == (MASK if masked else None)
    assert ("m" in roles.trainable) is not masked


GROUPS = "g = Reshape(x, split) n = InstanceNormalization(g, one, nil) j = Reshape(n, join)"


def groups(nodes: str) -> Roles:
    return divided(
        graphs.model(
            nodes, "float[2,4,6,6] x", split=np.array([0, 2, -1]), join=np.array([2, 4, 6, 6]),
            one=np.ones(2, np.float32), nil=np.zeros(2, np.float32), s=floats(4, 1, 1), b=floats(4, 1, 1),
        )
    )  # fmt: skip


def test_the_placeholders_of_a_group_normalization_are_frozen() -> None:
    roles = groups(f"{GROUPS} m = Mul(j, s) y = Add(m, b)")
    assert roles.trainable == ("s", "b")
    assert {name: roles.frozen[name] for name in ("one", "nil")} == {"one": PLACEHOLDER, "nil": PLACEHOLDER}


@pytest.mark.parametrize(
    "nodes",
    [
        f"{GROUPS} y = Mul(j, s)",
        f"{GROUPS} m = Add(j, s) y = Mul(m, b)",
        f"{GROUPS} m = Mul(j, s) a = Add(m, b) y = Add(a, j)",
        "n = InstanceNormalization(x, s4, b4) j = Reshape(n, join) m = Mul(j, s) y = Add(m, b)",
    ],
)
def test_only_the_whole_pattern_makes_a_placeholder(nodes: str) -> None:
    if "s4" in nodes:
        names = ("s4", "b4")
        checked = graphs.model(nodes, "float[2,4,6,6] x", s4=np.ones(4, np.float32), b4=np.zeros(4, np.float32),
                        join=np.array([2, 4, 6, 6]), s=floats(4, 1, 1), b=floats(4, 1, 1))  # fmt: skip
        roles = divided(checked)
    else:
        names, roles = ("one", "nil"), groups(nodes)
    assert set(names) <= set(roles.trainable)


@pytest.mark.parametrize(
    ("behind", "frozen"),
    [
        ("y = Softmax(a)", True),
        ("b = Reshape(a, <same>) y = Softmax(b)", True),
        ("b = Identity(a) y = Softmax(b)", False),
        ("b = Add(a, a) c = Max(b, b) y = Softmax(c)", True),
        ("b = Where(on, a, a) y = Softmax(b)", True),
        ("b = Cast<to = 1>(a) c = Clip(b) d = Add(c, c) y = Softmax(d)", False),
        ("b = Relu(a) c = Softmax(a) y = Add(b, c)", True),
        ("b = Relu(a) c = Cast<to = 1>(a) d = Softmax(c) y = Add(b, d)", True),
        ("y = Relu(a)", False),
    ],
)
def test_a_mask_reaches_its_softmax_within_three_nodes(behind: str, frozen: bool) -> None:
    nodes = f"t = Transpose(x) s = MatMul(x, t) a = Add(s, <mask>) {behind}"
    weights = {"mask": floats(4, 4), "same": np.array([4, 4])}
    read = {name: array for name, array in weights.items() if f"<{name}>" in nodes}
    roles = divided(model(nodes, read, "float[4,4] x, bool on"))
    assert ("mask" in roles.frozen) is frozen


@pytest.mark.parametrize(
    ("table", "trains"),
    [
        ("c = Gather(<t>, <i>) a = Add(s, c)", True),
        ("g = GatherND(<t>, <pairs>) c = Unsqueeze(g, <zero>) a = Add(s, c)", True),
        ("g = Gather(<t>, <i>) u = Transpose(g) c = Identity(u) a = Add(c, s)", True),
        ("g = Gather(<t>, <i>) c = Mul(<gain>, g) a = Add(s, c)", True),
        ("c = Slice(<t>, <zero>, <six>) a = Add(s, c)", False),
    ],
)
def test_a_table_that_is_looked_up_by_position_is_learnt_whatever_its_shape(table: str, trains: bool) -> None:
    weights = {"t": floats(9, 6), "i": np.arange(6), "pairs": np.arange(6)[:, None], "zero": np.array([0]),
               "six": np.array([6]), "gain": floats(6)}  # fmt: skip
    nodes = f"r = Transpose(x) s = MatMul(x, r) {table} y = Softmax(a)"
    read = {name: array for name, array in weights.items() if f"<{name}>" in nodes}
    roles = divided(model(nodes, read, "float[6,4] x"))
    assert ("t" in roles.trainable) is trains


def test_over_scores_without_an_axis_of_heads_a_table_for_each_of_several_is_a_mask_of_the_samples() -> None:
    nodes = "q = MatMul(x, <w>) t = Transpose<perm: ints = [0,2,1]>(x) s = MatMul(q, t) a = Add(s, <m>) y = Softmax(a)"
    roles = divided(model(nodes, {"w": floats(8, 8), "m": floats(2, 6, 6)}, "float[2,6,8] x", "float[2,6,6] y"))
    assert roles.trainable == ("w",)


ROTARY = "p = Mul(x, <cos>) q = Mul({}, <sin>) y = Add(p, q)"
HALVES = "a, b = Split<axis = 1, num_outputs = 2>(x) n = Neg(b) "


PAIRS = "e = Unsqueeze(n, <last>) f = Unsqueeze(a, <last>) c = Concat<axis = 2>(e, f) r = Flatten(c)"


@pytest.mark.parametrize(
    ("turned", "frozen"),
    [
        (f"{HALVES}r = Concat<axis = 1>(n, a) {ROTARY.format('r')}", True),
        (f"{HALVES}r = Concat<axis = 1>(a, n) {ROTARY.format('r')}", True),
        (f"{HALVES}c = Concat<axis = 1>(n, a) d = Reshape(c, <same>) r = Transpose(d) {ROTARY.format('r')}", True),
        (f"{HALVES}{PAIRS} {ROTARY.format('r')}", True),
        (f"{HALVES}r = Concat<axis = 1>(a, b) {ROTARY.format('r')}", False),
        (f"{HALVES}r = Concat<axis = 1>(n, a, b) {ROTARY.format('r')}", False),
        (f"r = Neg(x) {ROTARY.format('r')}", False),
        (f"{HALVES}r = Concat<axis = 1>(n, a) {ROTARY.format('r').replace('Add', 'Sub')}", False),
        (f"{HALVES}r = Concat<axis = 1>(n, a) {ROTARY.format('r').replace('Mul(r', 'Div(r')}", False),
        (f"{HALVES}r = Concat<axis = 1>(n, a) {ROTARY.format('r').replace('Mul(x', 'Add(x')}", False),
    ],
    ids=["halves", "the other half", "laid out anew", "pairs", "nothing turned", "three parts", "all turned",
         "subtracted", "divided", "added"],
)  # fmt: skip
def test_cosines_are_told_by_the_half_that_is_turned(turned: str, frozen: bool) -> None:
    weights = {"w": floats(4, 4), "cos": floats(4), "sin": floats(4), "same": np.array([-1, 4]), "last": np.array([2])}
    read = {name: array for name, array in weights.items() if f"<{name}>" in turned or name == "w"}
    roles = divided(model(f"x = MatMul(z, <w>) {turned}", read, "float[3,4] z"))
    assert (roles.frozen.get("cos") == "cosine or sine of rotary positions") is frozen


@pytest.mark.parametrize(
    ("scale", "frozen"),
    [
        ("d = Sqrt(<v>) s = Div(<g>, d)", True),
        ("d = Sqrt(<v>) i = Reciprocal(d) s = Mul(<g>, i)", True),
        ("s = Div(<g>, <v>)", False),
        ("e = ReduceSum(<v>) d = Sqrt(e) s = Div(<g>, d)", False),
        ("e = ReduceL2(<v>) d = Sqrt(e) s = Div(<g>, d)", False),
        ("s = Sqrt(<v>)", False),
    ],
)
def test_a_variance_that_was_kept_is_told_by_its_root_and_one_that_is_computed_is_not(scale: str, frozen: bool) -> None:
    weights = {"w": floats(4, 4), "g": np.abs(floats(4)), "v": np.abs(floats(4))}
    read = {name: array for name, array in weights.items() if name == "w" or f"<{name}>" in scale}
    roles = divided(model(f"h = MatMul(x, <w>) {scale} y = Mul(h, s)", read))
    assert ("v" in roles.frozen and "batch normalisation" in roles.frozen["v"]) is frozen


@pytest.mark.parametrize(
    ("nodes", "frozen"),
    [
        ("h = Sub(x, <m.c>) y = MatMul(h, <m.w>)", True),
        ("h = Div(x, <m.c>) y = MatMul(h, <m.w>)", True),
        ("h = Sub(<m.c>, x) y = MatMul(h, <m.w>)", True),
        ("t = Cast<to = 1>(x) u = Identity(t) h = Sub(u, <m.c>) y = MatMul(h, <m.w>)", True),
        ("t = Relu(x) h = Sub(t, <m.c>) y = MatMul(h, <m.w>)", False),
        ("k = MatMul(x, <m.w>) y = Sub(k, <m.c>)", False),
        ("h = Mul(x, <m.c>) y = MatMul(h, <m.w>)", False),
        ("h = Max(x, <m.c>) y = MatMul(h, <m.w>)", False),
    ],
)
def test_what_is_taken_off_the_input_itself_is_preprocessing(nodes: str, frozen: bool) -> None:
    roles = divided(model(nodes, {"m.w": floats(4, 4), "m.c": floats(4)}))
    assert roles.frozen == ({"m.c": "preprocessing of the input"} if frozen else {})


PREPARED = "h = Sub(i, <pixel_mean>) k = Div(h, <pixel_std>) y = MatMul(k, <w>)"


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize(
    ("nodes", "trains"),
    [
        ("h = Sub(x, <pixel_mean>) k = Div(h, <pixel_std>) y = MatMul(k, <w>)", set()),
        ("h = Div(x, <pixel_std>) k = Sub(h, <pixel_mean>) y = MatMul(k, <w>)", set()),
        (f"b = Constant<value_float = 255.>() i = Div(x, b) {PREPARED}", set()),
        (f"b = Constant<value_float = 0.1>() i = Mul(b, x) {PREPARED}", set()),
        ("g = MatMul(x, <w>) h = Sub(g, <pixel_mean>) y = Div(h, <pixel_std>)", {"pixel_mean", "pixel_std"}),
        (
            "r = Relu(x) h = Sub(r, <pixel_mean>) k = Div(h, <pixel_std>) y = MatMul(k, <w>)",
            {"pixel_mean", "pixel_std"},
        ),
        (
            "g = Mul(x, x) h = Sub(g, <pixel_mean>) k = Div(h, <pixel_std>) y = MatMul(k, <w>)",
            {"pixel_mean", "pixel_std"},
        ),
    ],
)
def test_mean_and_deviation_of_the_features_are_preprocessing_as_one_number_too(
    nodes: str, trains: set[str], size: int
) -> None:
    """Buffers have the names of parameters in what PyTorch writes."""
    weights = {"w": floats(4, 4), "pixel_mean": floats(size), "pixel_std": floats(size)}
    roles = divided(model(nodes, weights, producer="pytorch"))
    assert set(roles.trainable) == {"w", *trains}
    assert {why for name, why in roles.frozen.items() if name in weights} <= {"preprocessing of the input"}


@pytest.mark.parametrize(
    ("nodes", "fixed"),
    [
        ("h = Mul(x, <c>) k = Add(h, <d>) y = MatMul(k, <w>)", {"c", "d"}),
        ("h = MatMul(x, <w>) k = Mul(h, <c>) y = Add(k, <d>)", set()),
        ("h = Abs(x) g = Log(h) k = Mul(g, <c>) l = MatMul(k, <w>) y = Add(l, <d>)", {"c"}),  # PowerTransformer
        ("h = MatMul(x, <w>) k = Relu(h) l = Mul(k, <c>) y = Add(l, <d>)", set()),
    ],
)
def test_what_scikit_learn_multiplies_its_features_by_is_preprocessing(nodes: str, fixed: set[str]) -> None:
    weights = {"w": floats(4, 4), "c": floats(4), "d": floats(4)}
    roles = divided(model(nodes, weights, producer="skl2onnx"))
    assert {name for name, why in roles.frozen.items() if why == "preprocessing of the input"} == fixed
    assert set(roles.trainable) == set(weights) - fixed


POSITIONS = "combined with positions or masks, not with data"


@pytest.mark.parametrize(
    ("nodes", "inputs", "frozen"),
    [
        ("f = Cast<to = 1>(i) a = Mul(f, <c>) e = Gather(<t>, i) y = Add(a, e)", "int64[4] i", True),
        ("e = Gather(<t>, i) y = Mul(e, <c>)", "int64[4] i", False),
        ("e = Gather(<q>, i) f = Cast<to = 1>(e) y = Mul(f, <c>)", "int64[4] i", False),
        ("e = Gather(<flat>, i) f = Cast<to = 1>(e) a = Mul(f, <c>) h = Gather(<t>, i) y = Add(a, h)", "int64[4] i",
         True),
        ("s = Shape(x) f = Cast<to = 1>(s) a = Mul(f, <k>) h = MatMul(x, <w>) u = ReduceSum(h) y = Add(a, u)",
         "float[4,4] x", True),
        ("""s = Shape<start = 0, end = 1>(x) n = Squeeze(s) r = Range(<zero>, n, <one>) f = Cast<to = 1>(r)
            a = Mul(f, <c>) o = Cos(a) h = MatMul(x, <w>) y = Add(h, o)""", "float[N,4] x", True),
        ("f = Cast<to = 1>(i) a = Add(f, <c>) h = Gather(<t>, i) y = Add(a, h)", "int64[4] i", True),
        ("f = Cast<to = 1>(i) h = MatMul(f, <w>) y = Mul(h, <c>)", "int64[N,4] i", False),
    ],
    ids=["positions", "embedded", "quantised table", "looked up numbers", "sizes", "steps", "added", "multiplied"],
)  # fmt: skip
def test_what_meets_no_signal_is_no_parameter(nodes: str, inputs: str, frozen: bool) -> None:
    weights = {"t": floats(9, 4), "c": floats(4), "w": floats(4, 4), "q": np.ones((9, 4), np.int8),
               "flat": np.arange(9), "k": floats(2), "zero": np.array(0), "one": np.array(1)}  # fmt: skip
    read = {name: array for name, array in weights.items() if f"<{name}>" in nodes}
    roles = divided(model(nodes, read, inputs))
    assert [name for name, why in roles.frozen.items() if why == POSITIONS] == (
        [*({"c", "k"} & read.keys())] if frozen else []
    )


def test_a_signal_goes_on_through_what_a_body_captures() -> None:
    nodes = """x = Cast<to = 1>(i) h = MatMul(x, <w>)
        b = If (on) < then_branch = t () => (float[N,4] u) { u = Neg(h) },
                      else_branch = e () => (float[N,4] v) { v = Exp(h) } > y = Mul(b, <c>)"""
    weights = {"w": floats(4, 4), "c": floats(4)}
    assert divided(model(nodes, weights, "int64[N,4] i, bool on")).trainable == ("w", "c")
