import re

import numpy as np
import pytest
import torch
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper, parser
from torch import nn

from analysis.graph.sources import Sources, find_sources, gradient_inputs
from analysis.model import CheckedModel, check_model
from tests.analysis.graph.graphs import HEAD, RANDOM, exported, floats, model


def used(found: Sources) -> list[tuple[str, str, str]]:
    return [(use.initializer, use.role, use.node.op_type) for use in found.uses]


# ------------------------------------------------------------------ looked up


def test_uses_are_found_by_initializer_and_by_the_node_of_the_main_graph() -> None:
    found = find_sources(
        model(
            """
            h = MatMul(x, w) g = Relu(h) k = MatMul(g, w) j = Mul(k, s)
            y = If(flag) <then_branch = a () => (float[N,4] t) {t = MatMul(j, v)},
                          else_branch = b () => (float[N,4] e) {e = MatMul(j, w)}>
            """,
            w=floats(4, 4), v=floats(4, 4), s=floats(4), flag=np.array(True), idle=floats(4),
        )
    )  # fmt: skip
    readers = {name: [use.owner.output[0] for use in uses] for name, uses in found.by_initializer.items()}
    assert readers["w"] == ["h", "k", "y"]
    assert (readers["v"], readers["s"]) == (["y"], ["j"])
    assert "idle" not in readers
    read = {name: [use.initializer for use in uses] for name, uses in found.by_owner.items()}
    assert (read["h"], read["k"], read["j"]) == (["w"], ["w"], ["s"])
    assert {"v", "w"} <= {*read["y"]}
    assert not {"g", "t", "e"} & read.keys()


# ------------------------------------------------------------------ weight expressions


@pytest.mark.parametrize(
    "chain",
    [
        "e = Identity(w)",
        "e = Transpose<perm: ints = [1, 0]>(w)",
        "e = Cast<to: int = 1>(w)",
        "d = Cast<to: int = 11>(w) e = Cast<to: int = 1>(d)",
        "f = Slice(w, zero, four) e = Identity(f)",
        "f = Reshape(w, four_four) e = Identity(f)",
        "f = Unsqueeze(w, zero) e = Squeeze(f, zero)",
        "f = Gather(w, four_ids) e = Transpose(f)",
        "f, g = Split<num_outputs: int = 2>(w) e = Concat<axis: int = 0>(f, g)",
        "f = Expand(w, four_four) g = Flatten(f) e = Pad(g, no_pads)",
        "f = Mul(w, half) e = Add(f, half)",
        "f = Dropout(w) e = Trilu(f)",
        "f = CastLike(w, half) e = Tile(f, once)",
    ],
)
def test_a_weight_is_found_behind_what_exporters_put_in_front(chain: str) -> None:
    constants = {
        "zero": np.array([0]), "four": np.array([4]), "four_four": np.array([4, 4]), "four_ids": np.arange(4),
        "no_pads": np.zeros(4, np.int64), "once": np.array([1, 1]),
    }  # fmt: skip
    found = find_sources(
        model(f"{chain} y = MatMul(x, e)", w=floats(4, 4), half=np.array(0.5, np.float32), **constants)
    )
    uses = [use for use in found.uses if use.initializer == "w"]
    assert [(use.role, use.node.op_type, use.value) for use in uses] == [("weight", "MatMul", "e")]
    assert "w" in found.of["e"]
    assert {name for name in found.of["e"] if name not in {"w", "half"}} == set()


def test_data_are_no_weight_expressions() -> None:
    found = find_sources(model("h = MatMul(x, w) y = Relu(h)", w=floats(4, 4)))
    assert set(found.of) == {"w"}


def test_constants_without_floats_are_made_of_nothing() -> None:
    found = find_sources(
        model("s = Shape(w) t = Cast<to: int = 1>(s) u = ConstantOfShape(s) i = Cast<to: int = 7>(w) y = Add(x, x)",
              w=floats(4, 4), n=np.array([1, 2]))
    )  # fmt: skip
    assert found.of["w"] == ("w",)
    assert [found.of[name] for name in ("n", "s", "t", "u", "i")] == [()] * 5
    assert found.uses == ()


def test_a_fused_projection_is_made_of_all_its_parts() -> None:
    parts = {name: floats(4, 2) for name in ("q", "k", "v")}
    found = find_sources(model("w = Concat<axis: int = 1>(q, k, v) y = MatMul(x, w)", **parts))
    assert found.of["w"] == ("q", "k", "v")
    assert used(found) == [(name, "weight", "MatMul") for name in ("q", "k", "v")]


def test_a_value_made_of_a_weight_twice_names_it_once() -> None:
    found = find_sources(model("t = Transpose(w) s = MatMul(w, t) y = MatMul(x, s)", w=floats(4, 4)))
    assert found.of["s"] == ("w",)
    assert used(found) == [("w", "weight", "MatMul")]


def test_weight_normalization_is_arithmetic_on_two_weights() -> None:
    found = find_sources(
        model(
            "n = ReduceL2<keepdims: int = 1>(v, one) d = Div(v, n) w = Mul(d, g) y = MatMul(x, w)",
            v=floats(4, 3),
            g=floats(4, 1),
            one=np.array([1]),
        )
    )
    assert used(found) == [("v", "weight", "MatMul"), ("g", "weight", "MatMul")]
    assert set(found.of["w"]) == {"v", "g"}


def test_weight_normalization_as_torch_exports_it_is_arithmetic_on_two_weights() -> None:
    torch.manual_seed(0)
    module = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    found = find_sources(exported(module, torch.zeros(2, 4), do_constant_folding=False))
    weights = [use.initializer for use in found.uses if use.role == "weight"]
    assert {name.rsplit(".", 1)[-1] for name in weights} == {"original0", "original1"}


def test_a_dequantized_weight_is_the_int8_tensor_and_not_its_scale() -> None:
    found = find_sources(
        model("w = DequantizeLinear(q, s, z) t = Transpose(w) y = MatMul(x, t)",
              q=RANDOM.integers(-9, 9, (4, 4)).astype(np.int8), s=np.float32(0.1), z=np.int8(0))
    )  # fmt: skip
    assert found.of["t"] == ("q",)
    assert used(found) == [("q", "weight", "MatMul")]


def within(found: Sources) -> list[tuple[str, str, str, str]]:
    return [(use.initializer, use.role, use.node.op_type, use.value) for use in found.within]


@pytest.mark.parametrize(
    ("nodes", "meetings"),
    [
        ("q = MatMul(a, b) y = MatMul(x, q)", [("a", "weight", "MatMul", "a"), ("b", "weight", "MatMul", "b")]),
        ("t = Transpose(b) q = Gemm(a, t, c) y = MatMul(x, q)",
         [("a", "weight", "Gemm", "a"), ("b", "weight", "Gemm", "t"), ("c", "bias", "Gemm", "c")]),
        ("q = LayerNormalization(a, c) y = MatMul(x, q)",
         [("a", "other", "LayerNormalization", "a"), ("c", "scale", "LayerNormalization", "c")]),
        ("q = MatMul(a, b) r = Add(c, q) y = MatMul(x, r)",
         [("a", "weight", "MatMul", "a"), ("b", "weight", "MatMul", "b"), ("c", "bias", "Add", "c"),
          ("a", "bias", "Add", "q"), ("b", "bias", "Add", "q")]),
        ("q = MatMul(a, i) r = Add(q, c) y = MatMul(x, r)", [("a", "bias", "Add", "q"), ("c", "bias", "Add", "c")]),
        ("t = Transpose(a) q = MatMul(a, t) y = MatMul(x, q)", []),
        ("q = Add(a, b) y = MatMul(x, q)", []),
        ("q = Mul(a, b) y = MatMul(x, q)", []),
        ("q = Mul(a, b) r = Add(q, c) y = MatMul(x, r)", []),
        ("h = MatMul(x, a) y = MatMul(h, b)", []),
    ],
    ids=["product", "with a bias", "normalised", "bias behind a product", "a product with one weight", "with itself",
         "sum", "scaled", "sum of no product", "data between"],
)  # fmt: skip
def test_weights_that_meet_in_an_operator_with_parameters_are_noted_before_any_data(
    nodes: str, meetings: list[tuple[str, str, str, str]]
) -> None:
    weights = {"a": floats(4, 4), "b": floats(4, 4), "c": floats(4), "i": np.ones((4, 4), np.int64)}
    read = {name: array for name, array in weights.items() if name in re.findall(r"\w+", nodes)}
    assert within(find_sources(model(nodes, "float[4,4] x", **read))) == meetings


def test_a_lookup_asks_whether_its_own_indices_depend_on_the_data() -> None:
    """The table of the second lookup is what the first one cut."""
    nodes = "t = Gather(e, k) p = Identity(i) y = Gather(t, p)"
    found = find_sources(model(nodes, "int64[N] i", e=floats(9, 4), k=np.arange(5)))
    assert used(found) == [("e", "embedding", "Gather")]
    assert [(use.node.output[0], use.value) for use in found.uses] == [("y", "t")]


def test_what_holds_no_floats_any_more_is_made_of_nothing_whatever_it_is_cast_to() -> None:
    found = find_sources(
        model("a = ArgMax(w) b = Cast<to: int = 1>(a) z = NonZero(w) s = Size(w) h = Hardmax(w) y = MatMul(x, h)",
              w=floats(4, 4))
    )  # fmt: skip
    assert [found.of[name] for name in ("a", "b", "z", "s", "h")] == [()] * 5
    assert found.uses == ()


def test_integers_rescaled_by_the_data_are_data() -> None:
    nodes = "s = ReduceMax<keepdims: int = 0>(x) w = DequantizeLinear(q, s) y = MatMul(x, w)"
    found = find_sources(model(nodes, q=np.ones((4, 4), np.int8)))
    assert "w" not in found.of
    assert used(found) == []


def test_sources_are_initialisers_and_integers_that_were_computed_are_none() -> None:
    nodes = "t = Max(q, q) w = DequantizeLinear(t, s) y = MatMul(x, w)"
    found = find_sources(model(nodes, q=np.ones((4, 4), np.int8), s=np.float32(0.1)))
    assert found.of["w"] == ()


def test_integers_that_are_laid_out_anew_before_they_are_floats_are_a_weight() -> None:
    nodes = "t = Transpose(q) w = DequantizeLinear(t, s) y = MatMul(x, w)"
    found = find_sources(model(nodes, q=np.ones((4, 4), np.int8), s=np.float32(0.1)))
    assert (found.of["w"], used(found)) == (("q",), [("q", "weight", "MatMul")])


def test_a_weight_that_the_graph_quantises_itself_is_the_source() -> None:
    nodes = "q = QuantizeLinear(w, s) d = DequantizeLinear(q, s) y = MatMul(x, d)"
    found = find_sources(model(nodes, w=floats(4, 4), s=np.float32(0.1)))
    assert (found.of["d"], used(found)) == (("w",), [("w", "weight", "MatMul")])


def test_a_dequantized_weight_times_a_gain_is_made_of_both() -> None:
    nodes = "w = DequantizeLinear(q, s) v = Mul(w, g) y = MatMul(x, v)"
    found = find_sources(model(nodes, q=np.ones((4, 4), np.int8), s=np.float32(0.1), g=floats(4, 4)))
    assert found.of["v"] == ("q", "g")


# ------------------------------------------------------------------ where they meet data


def test_a_tied_weight_has_every_use() -> None:
    found = find_sources(
        model("h = Gather(e, x) t = Transpose<perm: ints = [1, 0]>(e) y = MatMul(h, t)", "int64[N] x", e=floats(9, 4))
    )
    assert used(found) == [("e", "embedding", "Gather"), ("e", "weight", "MatMul")]


def test_a_gather_with_constant_indices_cuts_and_with_data_looks_up() -> None:
    cut = find_sources(model("w = Gather(e, i) y = MatMul(x, w)", e=floats(9, 4), i=np.arange(4)))
    assert used(cut) == [("e", "weight", "MatMul")]
    looked_up = find_sources(model("y = Gather(e, x)", "int64[N] x", e=floats(9, 4)))
    assert used(looked_up) == [("e", "embedding", "Gather")]
    found = find_sources(
        model("p = Reshape(x, s) y = GatherND(e, p)", "int64[N] x", e=floats(9, 4), s=np.array([-1, 1]))
    )
    assert used(found) == [("e", "embedding", "GatherND")]


def test_an_operand_without_a_role_is_other() -> None:
    found = find_sources(model("h = Clip(x, s) m = PRelu(w, h) y = Mod<fmod: int = 1>(m, w)", w=floats(4), s=floats()))
    assert used(found) == [("s", "other", "Clip"), ("w", "other", "PRelu"), ("w", "other", "Mod")]


def test_a_use_tells_the_value_that_the_operator_reads() -> None:
    found = find_sources(model("t = Transpose(w) y = MatMul(x, t)", w=floats(4, 4)))
    (use,) = found.uses
    assert (use.initializer, use.value) == ("w", "t")
    assert use.node is use.owner


@pytest.mark.parametrize(
    ("module", "shape", "roles"),
    [
        (nn.Linear(4, 3), (2, 4), {"weight", "bias"}),
        (nn.Conv1d(4, 3, 2), (2, 4, 5), {"weight", "bias"}),
        (nn.ConvTranspose1d(4, 3, 2), (2, 4, 5), {"weight", "bias"}),
        (nn.PReLU(4), (2, 4), {"slope"}),
        (nn.LayerNorm(4), (2, 4), {"scale", "bias"}),
        (nn.RNN(4, 3), (5, 2, 4), {"weight", "recurrent_weight", "bias"}),
        (nn.GRU(4, 3), (5, 2, 4), {"weight", "recurrent_weight", "bias"}),
        (nn.LSTM(4, 3), (5, 2, 4), {"weight", "recurrent_weight", "bias"}),
    ],
    ids=["Linear", "Conv1d", "ConvTranspose1d", "PReLU", "LayerNorm", "RNN", "GRU", "LSTM"],
)
def test_every_parameter_of_an_exported_layer_is_used_in_its_role(module: nn.Module, shape, roles: set[str]) -> None:
    torch.manual_seed(0)
    axes = {"x": {1 if isinstance(module, nn.RNNBase) else 0: "N"}}
    found = find_sources(exported(module, torch.randn(shape), input_names=["x"], dynamic_axes=axes))
    assert {use.role for use in found.uses} == roles


# ------------------------------------------------------------------ bodies


def body(nodes: list[NodeProto], output: str) -> GraphProto:
    return helper.make_graph(nodes, "body", [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)])


def choice(then: list[NodeProto], otherwise: list[NodeProto], **weights: np.ndarray) -> CheckedModel:
    """An If whose bodies write `t` and `e`."""
    node = helper.make_node("If", ["b"], ["y"], then_branch=body(then, "t"), else_branch=body(otherwise, "e"))
    proto = parser.parse_model(f"{HEAD} net (float[N,4] x, bool b) => (float[] y) {{ y = Relu(x) }}")
    del proto.graph.node[:]
    proto.graph.node.append(node)
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return check_model(proto.SerializeToString())


def test_a_weight_used_in_a_body_belongs_to_the_node_around_it() -> None:
    found = choice(
        [helper.make_node("Transpose", ["w"], ["wt"]), helper.make_node("MatMul", ["x", "wt"], ["t"])],
        [helper.make_node("MatMul", ["x", "w"], ["e"])],
        w=floats(4, 4),
    )
    uses = find_sources(found).uses
    assert [(use.initializer, use.role, use.node.op_type) for use in uses] == [("w", "weight", "MatMul")] * 2
    assert all(use.owner is found.nodes[0] for use in uses)


@pytest.mark.parametrize("swap", [False, True])
def test_bodies_beside_each_other_may_share_names(swap: bool) -> None:
    def weighted(output: str) -> list[NodeProto]:
        return [helper.make_node("Transpose", ["w"], ["v"]), helper.make_node("MatMul", ["x", "v"], [output])]

    def weightless(output: str) -> list[NodeProto]:
        return [helper.make_node("Relu", ["x"], ["v"]), helper.make_node("Mul", ["x", "v"], [output])]

    bodies = (weightless("t"), weighted("e")) if swap else (weighted("t"), weightless("e"))
    assert used(find_sources(choice(*bodies, w=floats(4, 4)))) == [("w", "weight", "MatMul")]


LOOP = """
    n = Constant<value = int64 {{3}}>() c = Constant<value = bool {{1}}>()
    p, q, r = Loop(n, c, w, v, x) <body = turn (int64 i, bool go, float[4,4] w_in, float[4,4] v_in, float[4,4] s_in)
        => (bool on, float[4,4] w_out, float[4,4] v_out, float[4,4] s_out) {{ on = Identity(go) {} }}>
    y = Add(r, x)"""


@pytest.mark.parametrize(
    ("turn", "inside"),
    [
        ("w_out = Identity(w_in) v_out = Identity(v_in) s_out = MatMul(s_in, w_in)", {"w"}),
        ("w_out = Identity(w_in) v_out = Identity(v_in) s_out = MatMul(s_in, v_in)", {"v"}),
        ("k = Identity(w_in) w_out = Identity(k) v_out = Neg(v_in) s_out = MatMul(s_in, w_in)", {"w"}),
        ("w_out = Identity(w_in) v_out = Neg(v_in) s_out = MatMul(s_in, v_in)", set()),
        ("w_out = Identity(v_in) v_out = Identity(w_in) s_out = MatMul(s_in, w_in)", set()),
        ("w_out = Neg(w_in) v_out = Identity(w_in) s_out = MatMul(s_in, w_in)", set()),
    ],
    ids=["first", "second", "through two", "changed", "swapped", "written over"],
)
def test_a_state_that_a_loop_hands_on_unchanged_is_the_weight_inside(turn: str, inside: set[str]) -> None:
    found = find_sources(model(LOOP.format(turn), "float[4,4] x", w=floats(4, 4), v=floats(4, 4)))
    assert {use.initializer for use in found.uses if use.node.op_type == "MatMul"} == inside
    states = [(use.initializer, use.role) for use in found.uses if use.node.op_type == "Loop"]
    assert states == [("w", "initial_state"), ("v", "initial_state")]
    assert all(use.owner.op_type == "Loop" for use in found.uses)


def test_inputs_of_a_body_hide_what_is_outside_under_their_name() -> None:
    """A Scan whose body calls its own slices like a weight."""
    nodes = """s, o = Scan <num_scan_inputs = 1, body = turn (float[4] a, float[4] w) => (float[4] n, float[4] z) {
        n = Add(a, w) z = Mul(n, w) }> (start, x) y = Relu(o)"""
    found = find_sources(model(nodes, "float[5,4] x", w=floats(4), start=floats(4)))
    assert used(found) == [("start", "other", "Scan")]


def test_rows_that_a_scan_takes_from_a_weight_are_no_state_although_a_state_takes_them_over() -> None:
    nodes = """s, t, o = Scan <num_scan_inputs = 1, body = turn (float[4] a, float[4] c, float[4] r)
        => (float[4] n, float[4] m, float[4] z) { n = Add(a, r) m = Identity(r) z = Mul(c, r) }> (x, x, w)
        y = Relu(o)"""
    assert used(find_sources(model(nodes, "float[4] x", w=floats(3, 4)))) == [("w", "other", "Scan")]


# ------------------------------------------------------------------ what passes a gradient


def gradients(
    nodes: str, inputs: str = "float[N,4] x, float[N,4] z, int64[N] i, bool[4] b", **weights
) -> list[list[str]]:
    """For each node, the inputs that a gradient flows back through."""
    found = model(nodes, inputs, **weights)
    sources = find_sources(found)
    return [gradient_inputs(found, sources, node) for node in found.nodes]


def test_a_gradient_flows_back_through_floating_data_only() -> None:
    assert gradients("y = Add(x, z)") == [["x", "z"]]
    assert gradients("y = MatMul(x, w)", w=floats(4, 4)) == [["x"]]
    assert gradients("y = Where(b, x, z)") == [["x", "z"]]
    assert gradients("y = Gather(x, i)") == [["x"]]
    assert gradients("y = Gather(w, i)", w=floats(4, 4)) == [[]]
    assert gradients("j = Cast<to: int = 7>(x) y = Cast<to: int = 1>(j)") == [[], []]
    assert gradients("j = ArgMax(x) y = Cast<to: int = 1>(j)") == [[], []]
    assert gradients("s = Shape(x) y = Cast<to: int = 1>(s)") == [[], []]
    assert gradients("y = Hardmax(x)") == [[]]
    assert gradients("y = Dropout(x)") == [["x"]]


def test_initial_states_pass_no_gradient_into_the_data() -> None:
    weights = {"w": floats(1, 3, 4), "r": floats(1, 3, 3)}
    found = gradients("y = RNN<hidden_size: int = 3>(x, w, r, , , h)", "float[5,2,4] x, float[1,2,3] h", **weights)
    assert found == [["x"]]


def test_bodies_pass_a_gradient_into_what_they_capture() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["t"])], [helper.make_node("Neg", ["x"], ["e"])]
    found = choice(*nodes, w=floats(4, 4))
    assert gradient_inputs(found, find_sources(found), found.nodes[0]) == ["x"]
