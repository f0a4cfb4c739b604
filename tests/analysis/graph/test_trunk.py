import re
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import NodeProto, numpy_helper, parser

from analysis.graph.biases import find_biases
from analysis.graph.layers import find_layers
from analysis.graph.sources import Sources, find_sources, gradient_inputs
from analysis.graph.trunk import Trunk, block_ends, find_trunk, last_layer_output, mark_trunk
from analysis.model import CheckedModel, check_model
from tests.analysis.graph.graphs import layers_of

HEAD = '<ir_version: 10, opset_import: ["": 20, "com.microsoft": 1]>'
WEIGHTS = {
    **{name: np.ones((4, 4), np.float32) for name in ("w0", "w1", "w2", "w3", "w4")},
    **{name: np.ones(4, np.float32) for name in ("b0", "b1", "g0")},
    "e0": np.ones((9, 4), np.float32), "e1": np.ones((7, 4), np.float32), "k0": np.ones((4, 4, 1), np.float32),
    "rw": np.ones((1, 4, 4), np.float32), "rr": np.ones((1, 4, 4), np.float32), "start": np.array([0]),
    "one": np.array([1]), "three": np.array(3), "row": np.array([-1, 4]),
    "count": np.arange(4), "zero": np.array(0), "unit": np.array(1),
}  # fmt: skip
NO_PATH = "the logits do not depend on a floating-point input or an embedding"
TOO_SHORT = "fewer than 3 tensors lie on every path from weights to logits"


def model(nodes: str, inputs: str = "float[N,4] x", output: str = "y") -> CheckedModel:
    """ONNX text with those of WEIGHTS that it reads."""
    proto = parser.parse_model(f"{HEAD} net ({inputs}) => (float[] {output}) {{ {nodes} }}")
    read = set(re.findall(r"\w+", nodes))
    proto.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in WEIGHTS.items() if name in read
    )
    return check_model(proto.SerializeToString())


def trunk_of(nodes: str, inputs: str = "float[N,4] x", logits: str = "y") -> Trunk:
    checked = model(nodes, inputs, logits)
    return find_trunk(checked, find_sources(checked), layers_of(checked), logits)


# ------------------------------------------------------------------ which values


def test_a_plain_network_is_all_trunk() -> None:
    trunk = trunk_of("h = Gemm(x, w0, b0) r = Relu(h) i = MatMul(r, w1) s = Tanh(i) y = MatMul(s, w2)")
    assert trunk == Trunk(("x", "h", "r", "i", "s", "y"), end="y", start="h", entry="x")


def test_the_trunk_of_a_residual_network_is_its_stream() -> None:
    blocks = "".join(
        f"n{n} = LayerNormalization(s{n}, g0) a{n} = MatMul(n{n}, w{n}) r{n} = Relu(a{n}) s{n + 1} = Add(s{n}, r{n}) "
        for n in range(3)
    )
    trunk = trunk_of(f"s0 = MatMul(x, w3) {blocks} y = MatMul(s3, w4)")
    assert trunk == Trunk(("x", "s0", "s1", "s2", "s3", "y"), end="y", start="s0", entry="x")


@pytest.mark.parametrize("fused", ["SkipLayerNormalization", "SkipSimplifiedLayerNormalization"])
def test_a_stream_that_fused_normalisations_carry_on_is_the_trunk(fused: str) -> None:
    """n1 and s1 are two outputs of one node, but n1 is made of s1: what is read is the stream, as before the fusion."""
    trunk = trunk_of(
        f"""s0 = MatMul(x, w3) a0 = MatMul(s0, w0)
        n1, , , s1 = com.microsoft.{fused}(s0, a0, g0) a1 = MatMul(n1, w1)
        n2, , , s2 = com.microsoft.{fused}(s1, a1, g0) a2 = MatMul(n2, w2)
        n3, , , unread = com.microsoft.{fused}(s2, a2, g0) y = MatMul(n3, w4)""",
        "float[N,2,4] x",
    )
    assert trunk == Trunk(("x", "s0", "s1", "s2", "n3", "y"), end="y", start="s0", entry="x")


def test_flow_starts_behind_the_first_block_where_that_skips_over_the_first_layer() -> None:
    trunk = trunk_of("a = MatMul(x, w0) s = Add(x, a) b = MatMul(s, w1) t = Add(s, b) y = MatMul(t, w2)")
    assert trunk == Trunk(("x", "s", "t", "y"), end="y", start="s", entry="x")


def test_a_gate_is_no_trunk() -> None:
    trunk = trunk_of(
        """h = Conv(x, k0) p = GlobalAveragePool(h) t = Transpose<perm: ints = [0, 2, 1]>(p) a = MatMul(t, w0)
        s = Sigmoid(a) g = Transpose<perm: ints = [0, 2, 1]>(s) m = Mul(h, g) y = Conv(m, k0)""",
        "float[N,4,8] x",
    )
    assert trunk == Trunk(("x", "h", "m", "y"), end="y", start="h", entry="x")


def test_projections_of_an_attention_are_no_trunk() -> None:
    trunk = trunk_of(
        """q = MatMul(x, w0) k = MatMul(x, w1) v = MatMul(x, w2) t = Transpose(k) s = MatMul(q, t) p = Softmax(s)
        h = MatMul(p, v) y = MatMul(h, w3)""",
        "float[6,4] x",
    )
    assert trunk.values == ("x", "h", "y")


def test_branches_meet_again_on_the_trunk() -> None:
    trunk = trunk_of("a = MatMul(x, w0) b = MatMul(x, w1) h = Concat<axis: int = 1>(a, b) r = Relu(h) y = Tanh(r)")
    assert trunk == Trunk(("x", "h", "r", "y"), end="y", start="h", entry="x")


def test_what_lies_behind_or_beside_the_logits_is_no_trunk() -> None:
    trunk = trunk_of("h = MatMul(x, w0) r = Relu(h) y = MatMul(r, w1) p = Softmax(y) z = MatMul(r, w2) o = Add(p, z)")
    assert trunk.values == ("x", "h", "r", "y")


def test_a_bias_added_behind_its_product_is_a_step_of_the_trunk() -> None:
    trunk = trunk_of("m = MatMul(x, w0) h = Add(b0, m) r = Relu(h) y = MatMul(r, w1)")
    assert trunk == Trunk(("x", "m", "h", "r", "y"), end="y", start="m", entry="x")


def test_flow_starts_at_the_first_weight_and_not_at_the_input() -> None:
    trunk = trunk_of("f = Reshape(x, row) n = Neg(f) h = MatMul(n, w0) r = Relu(h) y = MatMul(r, w1)")
    assert trunk == Trunk(("x", "f", "n", "h", "r", "y"), end="y", start="h", entry="n")


def test_a_weight_that_is_read_as_a_plain_number_does_not_start_the_flow() -> None:
    nodes = "m = Mod<fmod: int = 1>(x, w0) h = MatMul(m, w0) r = Relu(h) y = MatMul(r, w1)"
    trunk = trunk_of(nodes, "float[4,4] x")
    assert trunk == Trunk(("x", "m", "h", "r", "y"), end="y", start="h", entry="m")


def test_frozen_layers_do_not_start_the_flow() -> None:
    checked = model("h = MatMul(x, w0) i = MatMul(h, w1) r = Relu(i) y = MatMul(r, w2)")
    sources = find_sources(checked)
    trunk = find_trunk(
        checked, sources, find_layers(checked, sources, find_biases(checked, sources), frozenset({"w1", "w2"})), "y"
    )
    assert trunk == Trunk(("x", "h", "i", "r", "y"), end="y", start="i", entry="x")


# ------------------------------------------------------------------ where it begins


def test_token_ids_enter_at_the_embedding() -> None:
    trunk = trunk_of("t = Gather(e0, i) h = MatMul(t, w0) r = Relu(h) y = MatMul(r, w1)", "int64[N] i")
    assert trunk == Trunk(("t", "h", "r", "y"), end="y", start="t", entry="t")


def test_tokens_and_looked_up_positions_meet_on_the_trunk() -> None:
    trunk = trunk_of(
        "t = Gather(e0, i) p = Gather(e1, j) s = Add(t, p) h = MatMul(s, w0) y = Relu(h)", "int64[N] i, int64[N] j"
    )  # fmt: skip
    assert trunk == Trunk(("s", "h", "y"), end="y", start="s", entry="s")


def test_two_inputs_meet_on_the_trunk() -> None:
    trunk = trunk_of(
        "a = MatMul(x, w0) b = MatMul(z, w1) h = Add(a, b) r = Relu(h) y = MatMul(r, w2)", "float[N,4] x, float[N,4] z"
    )
    assert trunk == Trunk(("h", "r", "y"), end="y", start="h", entry="h")


def test_a_float_mask_is_no_data() -> None:
    attention = """t = Transpose(x) s = MatMul(x, t) m = Add(s, mask) p = Softmax(m) h = MatMul(p, x)
        i = MatMul(h, w0) r = Relu(i) y = MatMul(r, w1)"""
    inputs = "float[6,4] x, float[6,6] mask"
    assert trunk_of(attention, inputs) == Trunk(("x", "h", "i", "r", "y"), end="y", start="i", entry="h")


@pytest.mark.parametrize(
    ("nodes", "inputs", "values"),
    [
        (
            "i = MatMul(x, w0) h = MatMul(a, i) r = Relu(h) j = MatMul(r, w1) y = MatMul(a, j)",
            "float[6,4] x, float[6,6] a", ("x", "i", "h", "r", "j", "y"),
        ),
        (
            "g = MatMul(a, x) h = MatMul(g, w0) r = Relu(h) i = MatMul(a, r) y = MatMul(i, w1)",
            "float[6,4] x, float[6,6] a", ("x", "g", "h", "r", "i", "y"),
        ),
        (
            "h = MatMul(x, w0) i = Mul(h, m) r = Relu(i) j = MatMul(r, w1) y = Mul(m, j)",
            "float[6,4] x, float[6,4] m", ("x", "h", "i", "r", "j", "y"),
        ),
    ],
    ids=["A (X W)", "(A X) W", "scales"],
)  # fmt: skip
def test_a_factor_that_a_layer_is_multiplied_by_is_no_data(nodes: str, inputs: str, values: tuple[str, ...]) -> None:
    assert trunk_of(nodes, inputs).values == values


def test_the_data_stays_data_where_a_gate_is_made_of_it_and_two_towers_are_two_inputs() -> None:
    gated = "g = MatMul(x, w0) s = Sigmoid(g) h = Mul(x, s) i = MatMul(h, w1) r = Relu(i) y = MatMul(r, w2)"
    assert trunk_of(gated) == Trunk(("x", "h", "i", "r", "y"), end="y", start="h", entry="x")
    towers = "g = MatMul(x, w0) i = MatMul(z, w1) h = Mul(g, i) r = Relu(h) y = MatMul(r, w2)"
    assert trunk_of(towers, "float[N,4] x, float[N,4] z").values == ("h", "r", "y")


def test_where_no_input_meets_a_weight_every_float_input_counts() -> None:
    softmaxed = "p = Softmax(x) q = Softmax(z) s = Add(p, q) h = MatMul(s, w0) r = Relu(h) y = MatMul(r, w1)"
    trunk = trunk_of(softmaxed, "float[N,4] x, float[N,4] z")
    assert trunk == Trunk(("s", "h", "r", "y"), end="y", start="h", entry="s")


@pytest.mark.parametrize(
    "cut",
    ["i = Cast<to: int = 7>(x) c = Cast<to: int = 1>(i)", "a = ArgMax(x) c = Cast<to: int = 1>(a)", "c = Hardmax(x)"],
)
def test_no_trunk_leads_through_what_passes_no_gradient(cut: str) -> None:
    """It begins behind the first matrix that reads what was cut off."""
    trunk = trunk_of(f"{cut} h = MatMul(c, w0) r = Relu(h) y = MatMul(r, w1)")
    assert trunk == Trunk(("h", "r", "y"), "y", "h", "h")


def test_what_is_made_of_a_shape_depends_on_no_data() -> None:
    trunk = trunk_of("s = Shape(x) c = ConstantOfShape(s) h = MatMul(c, w0) r = Relu(h) y = MatMul(r, w1)")
    assert trunk == Trunk((), "y", None, None, NO_PATH)


def test_shapes_and_indices_are_no_second_path() -> None:
    trunk = trunk_of("s = Shape(x) h = MatMul(x, w0) f = Reshape(h, s) t = Shape(h) a = Expand(f, t) y = MatMul(a, w1)")
    assert trunk.values == ("x", "h", "f", "a", "y")


def test_picking_rows_of_the_data_is_a_step_and_no_way_in() -> None:
    trunk = trunk_of("h = MatMul(x, w0) g = Gather(h, i) r = Relu(g) y = MatMul(r, w1)", "float[N,4] x, int64[M] i")
    assert trunk == Trunk(("x", "h", "g", "r", "y"), end="y", start="h", entry="x")


def test_an_initial_state_made_of_the_input_is_no_second_path() -> None:
    trunk = trunk_of(
        """z = ReduceSum<keepdims: int = 1>(x, start) o, h = RNN<hidden_size: int = 4>(x, rw, rr, , , z)
        s = Squeeze(h, start) r = Relu(s) y = MatMul(r, w0)""",
        "float[5,1,4] x",
    )
    assert trunk == Trunk(("x", "h", "s", "r", "y"), end="y", start="h", entry="x")


# ------------------------------------------------------------------ bodies


def test_what_a_body_captures_flows_into_the_node_around_it() -> None:
    trunk = trunk_of(
        """h = MatMul(x, w0)
        c = If (on) < then_branch = t () => (float[N,4] u) { u = MatMul(h, w1) },
                      else_branch = e () => (float[N,4] v) { v = Neg(h) } >
        r = Relu(c) y = MatMul(r, w2)""",
        "float[N,4] x, bool on",
    )
    assert trunk == Trunk(("x", "h", "c", "r", "y"), end="y", start="h", entry="x")


def test_a_loop_with_a_weight_inside_starts_the_flow() -> None:
    trunk = trunk_of(
        """c = Loop (three, , x) < body = b (int64 trip, bool go, float[N,4] a) => (bool on, float[N,4] n) {
            on = Identity(go) m = MatMul(a, w0) n = Tanh(m) } >
        r = Relu(c) y = MatMul(r, w1)"""
    )
    assert trunk == Trunk(("x", "c", "r", "y"), end="y", start="c", entry="x")


# ------------------------------------------------------------------ too short


@pytest.mark.parametrize(
    ("nodes", "values", "entry"),
    [
        ("y = MatMul(x, w0)", ("x", "y"), "x"),
        ("h = MatMul(x, w0) y = Relu(h)", ("x", "h", "y"), "x"),
        ("n = Neg(x) e = Exp(n) s = Sin(e) h = MatMul(s, w0) y = Relu(h)", ("x", "n", "e", "s", "h", "y"), "s"),
        ("a = MatMul(x, w0) b = MatMul(x, w1) r = Relu(b) y = Mul(a, r)", ("x", "y"), "x"),
        ("n = Neg(x) y = Exp(n)", ("x", "n", "y"), "x"),
    ],
)
def test_flow_over_fewer_than_three_tensors_is_not_measured(nodes: str, values: tuple[str, ...], entry: str) -> None:
    assert trunk_of(nodes) == Trunk(values, "y", None, entry, TOO_SHORT)


@pytest.mark.parametrize("logits", ["missing", "n"])
def test_logits_that_depend_on_no_data_have_no_trunk(logits: str) -> None:
    checked = model("h = MatMul(x, w0) r = Relu(h) y = MatMul(r, w1) s = Shape(x) n = ConstantOfShape(s)")
    trunk = find_trunk(checked, find_sources(checked), layers_of(checked), logits)
    assert trunk == Trunk((), logits, None, None, NO_PATH)


# ------------------------------------------------------------------ layers on it


def test_layers_are_told_whether_they_lie_on_the_trunk() -> None:
    checked = model(
        """h = Gemm(x, w0, b0) q = MatMul(h, w1) s = Sigmoid(q) m = Mul(h, s) a = MatMul(m, w2) c = Add(a, b1)
        y = MatMul(c, w3)"""
    )
    layers = layers_of(checked)
    trunk = find_trunk(checked, find_sources(checked), layers, "y")
    marked = mark_trunk(layers, trunk)
    assert [layer.on_trunk for layer in layers] == [False] * 4
    assert {layer.output: layer.on_trunk for layer in marked} == {"h": True, "q": False, "c": True, "y": True}
    assert [layer.id for layer in marked] == [layer.id for layer in layers]


def test_the_last_layer_of_a_graph_with_its_own_loss_lies_before_the_loss() -> None:
    checked = model("h = MatMul(x, w0) r = Relu(h) l = MatMul(r, w1) d = Sub(l, t) q = Mul(d, d) y = ReduceMean(q)",
                    "float[N,4] x, float[N,4] t")  # fmt: skip
    layers, sources = layers_of(checked), find_sources(checked)
    assert last_layer_output(find_trunk(checked, sources, layers, "y"), layers) == "l"
    assert last_layer_output(find_trunk(checked, sources, layers, "r"), layers) == "h"
    assert last_layer_output(Trunk((), "y", None, None), layers) is None


# ------------------------------------------------------------------ any graph


def reached(edges: Iterable[tuple[int, int]], starts: Iterable[int], removed: int | None = None) -> set[int]:
    """Nodes that a path from the starts leads to, once a node is taken out; targets have higher numbers."""
    found = set(starts) - {removed}
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        if source in found and target != removed:
            found.add(target)
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.booleans()), min_size=1, max_size=14))
def test_the_trunk_is_what_no_path_gets_around(draws: list[tuple[int, int, bool]]) -> None:
    nodes, edges, weighted = [], set(), set()
    for number, (first, second, learns) in enumerate(draws, 1):
        left, right = first % number, second % number
        edges |= {(left, number)} if learns else {(left, number), (right, number)}
        weighted |= {number} if learns else set()
        nodes.append(f"v{number} = MatMul(v{left}, w0)" if learns else f"v{number} = Max(v{left}, v{right})")
    end = len(draws)
    needed = [number for number in range(end + 1) if end not in reached(edges, [0], removed=number)]
    behind = [number for number in needed if number in reached(edges, weighted)]
    trunk = trunk_of(" ".join(nodes), "float[N,4] v0", f"v{end}")
    assert trunk.values == tuple(f"v{number}" for number in needed)
    assert trunk.start == (f"v{behind[0]}" if len(behind) >= 3 else None)


@pytest.mark.parametrize(
    ("enters", "inputs"),
    [
        ("u = Unsqueeze(i, one) e = Equal(u, count) o = Cast<to: int = 1>(e)", "int64[N] i"),
        ("o = Cast<to: int = 1>(i)", "int64[N,4] i"),
    ],
)
def test_integers_that_meet_a_matrix_enter_there(enters: str, inputs: str) -> None:
    """Ids compared with 0, 1, 2, or features that are counts: the first matrix is their table."""
    trunk = trunk_of(f"{enters} h = MatMul(o, w0) r = Relu(h) y = MatMul(r, w1)", inputs)
    assert trunk == Trunk(("h", "r", "y"), end="y", start="h", entry="h")


def test_positions_that_are_made_of_a_shape_are_no_entry() -> None:
    positions = (
        "s = Shape(x) n = Gather(s, zero) t = Range(zero, n, unit) f = Cast<to: int = 1>(t) c = Unsqueeze(f, one)"
    )
    nodes = f"{positions} d = Concat<axis: int = 1>(c, c, c, c) p = MatMul(d, w2)"
    trunk = trunk_of(f"{nodes} h = MatMul(x, w0) a = Add(h, p) r = Relu(a) y = MatMul(r, w1)")
    assert trunk == Trunk(("x", "h", "a", "r", "y"), end="y", start="h", entry="x")


def test_a_table_of_positions_that_is_looked_up_by_the_shape_alone_is_no_entry() -> None:
    """As relative positions are, which enter every attention of a T5: the stream in front of the last is trunk, too."""
    blocks = "".join(f"a{n} = MatMul(s{n}, w{n}) c{n} = Add(a{n}, p) s{n + 1} = Add(s{n}, c{n}) " for n in range(3))
    positions = "d = Shape(i) n = Gather(d, zero) t = Range(zero, n, unit) p = Gather(e1, t)"
    trunk = trunk_of(f"{positions} s0 = Gather(e0, i) {blocks} y = MatMul(s3, w3)", "int64[N] i")
    assert trunk == Trunk(("s0", "s1", "s2", "s3", "y"), end="y", start="s0", entry="s0")


# ------------------------------------------------------------------ blocks


def ends_of(nodes: str, inputs: str = "float[N,4] x") -> dict[str, str]:
    checked = model(nodes, inputs)
    layers = layers_of(checked)
    trunk = find_trunk(checked, find_sources(checked), layers, "y")
    return block_ends(checked, trunk, mark_trunk(layers, trunk))


def test_a_block_ends_where_its_skip_path_comes_back() -> None:
    blocks = "".join(
        f"a{n} = MatMul(s{n}, w{n}) r{n} = Relu(a{n}) c{n} = MatMul(r{n}, w{n + 1}) s{n + 1} = Add(s{n}, c{n}) "
        for n in range(2)
    )
    ends = ends_of(f"s0 = MatMul(x, w3) {blocks} t = Relu(s2) y = MatMul(t, w4)")
    assert ends == {"layer-03": "s1", "layer-05": "s2"}


def test_a_plain_network_has_no_blocks_and_a_bias_is_no_path() -> None:
    assert ends_of("h = MatMul(x, w0) i = Add(h, b0) r = Relu(i) j = MatMul(r, w1) y = MatMul(j, w2)") == {}


def test_every_node_is_looked_at_so_often_however_many_inputs_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum of 3,000 inputs took half a minute."""
    asked: list[str] = []

    def counted(model: CheckedModel, sources: Sources, node: NodeProto) -> list[str]:
        asked.append(node.op_type)
        return gradient_inputs(model, sources, node)

    monkeypatch.setattr("analysis.graph.trunk.gradient_inputs", counted)
    names = [f"x{number}" for number in range(200)]
    inputs = ", ".join(f"float[N,4] {name}" for name in names)
    trunk = trunk_of(f"s = Sum({', '.join(names)}) y = MatMul(s, w0)", inputs)
    assert trunk.entry == "s"
    assert len(asked) < 10
