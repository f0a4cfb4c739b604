import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from analysis.graph.biases import find_biases
from analysis.graph.layers import find_layers
from analysis.graph.sources import find_sources
from analysis.model import CheckedModel, check_model
from tests.analysis.graph.graphs import floats, layers_of, model, owned, proto

# ------------------------------------------------------------------ what is a layer


def test_the_layers_of_a_plain_network_are_its_products_in_order() -> None:
    first, second = layers_of(
        model("h = Gemm(x, w, b) r = Relu(h) y = MatMul(r, v)", w=floats(4, 8), b=floats(8), v=floats(8, 3))
    )
    assert (first.id, first.name, first.op, first.depth) == ("layer-01", "h", "Gemm", 1)
    assert owned(first) == {"weight": "w", "bias": "b"}
    assert first.parameters["weight"].shape == (4, 8)
    assert (first.output, first.activation, first.pre_activation, first.activated) == ("h", "Relu", "h", "r")
    assert (second.id, second.depth, owned(second)) == ("layer-02", 2, {"weight": "v"})
    assert (second.activation, second.pre_activation, second.activated) == (None, None, None)
    assert not first.on_trunk


def test_a_layer_has_the_name_of_its_node_where_it_has_one() -> None:
    made = proto("h = MatMul(x, w) y = Relu(h)", w=floats(4, 4))
    made.graph.node[0].name = "/encoder/MatMul"
    (layer,) = layers_of(check_model(made.SerializeToString()))
    assert layer.name == "/encoder/MatMul"


def test_normalizations_embeddings_scales_and_slopes_are_layers() -> None:
    found = layers_of(
        model(
            "e = Gather(t, i) l = LayerNormalization(e, s, b) m = Mul(l, g) y = PRelu(m, a)",
            "int64[N,7] i", "float[] y",
            t=floats(9, 4), s=floats(4), b=floats(4), g=floats(4), a=floats(1),
        )
    )  # fmt: skip
    assert [(layer.op, owned(layer)) for layer in found] == [
        ("Gather", {"embedding": "t"}),
        ("LayerNormalization", {"scale": "s", "bias": "b"}),
        ("Mul", {"scale": "g"}),
        ("PRelu", {"slope": "a"}),
    ]


def test_a_tied_weight_is_in_every_layer_that_uses_it() -> None:
    first, second = layers_of(model("h = MatMul(x, w) t = Transpose(w) y = MatMul(h, t)", w=floats(4, 8)))
    assert owned(first) == owned(second) == {"weight": "w"}


def test_the_parts_of_a_fused_projection_are_numbered() -> None:
    parts = {name: floats(4, 2) for name in ("q", "k", "v")}
    (layer,) = layers_of(model("w = Concat<axis: int = 1>(q, k, v) y = MatMul(x, w)", **parts))
    assert owned(layer) == {"weight": "q", "weight.2": "k", "weight.3": "v"}


def test_frozen_weights_make_no_layer() -> None:
    checked = model("h = MatMul(x, w) y = MatMul(h, v)", w=floats(4, 4), v=floats(4, 4))
    (layer,) = find_layers(checked, find_sources(checked), find_biases(checked, find_sources(checked)), {"v"})
    assert (layer.id, layer.depth, owned(layer)) == ("layer-01", 1, {"weight": "v"})


def test_a_recurrent_layer_has_all_its_parameters() -> None:
    (layer,) = layers_of(
        model(
            "y, h, c = LSTM<hidden_size: int = 3>(x, w, r, b, , h0, c0, p)", "float[5,1,4] x",
            w=floats(1, 12, 4), r=floats(1, 12, 3), b=floats(1, 24), p=floats(1, 9), h0=floats(1, 1, 3),
            c0=floats(1, 1, 3),
        )
    )  # fmt: skip
    assert owned(layer) == {
        "weight": "w",
        "recurrent_weight": "r",
        "bias": "b",
        "initial_state": "h0",
        "initial_cell": "c0",
        "peephole": "p",
    }


# ------------------------------------------------------------------ ids and depth


def chain(names: list[str], order: list[int], count: int) -> CheckedModel:
    nodes, before = [], "x"
    for n in range(count):
        after = "y" if n == count - 1 else f"h{n}"
        nodes.append(f"{after} = MatMul({before}, {names[n]})")
        before = after
    made = proto(" ".join(nodes))
    made.graph.initializer.extend(numpy_helper.from_array(floats(4, 4), names[n]) for n in order)
    return check_model(made.SerializeToString())


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(5)), st.permutations(range(5)))
def test_ids_depend_neither_on_names_nor_on_the_order_of_the_file(order: list[int], naming: list[int]) -> None:
    names = [f"w{number}" for number in naming]
    found = layers_of(chain(names, order, 5))
    assert [layer.id for layer in found] == [f"layer-0{n}" for n in range(1, 6)]
    assert [owned(layer)["weight"] for layer in found] == names
    assert [layer.depth for layer in found] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("count", "first"), [(9, "layer-01"), (99, "layer-01"), (100, "layer-001")])
def test_ids_sort_as_text(count: int, first: str) -> None:
    ids = [layer.id for layer in layers_of(chain([f"w{n}" for n in range(count)], list(range(count)), count))]
    assert ids[0] == first
    assert ids == sorted(ids)


def test_depth_is_the_longest_path() -> None:
    weights = {name: floats(4, 4) for name in "abcde"}
    long, short = "p = MatMul(x, a) q = MatMul(p, b) r = MatMul(q, c)", "s = MatMul(x, d)"
    found = layers_of(model(f"{long} {short} t = Add(r, s) u = Relu(t) y = MatMul(u, e)", **weights))
    assert {owned(layer)["weight"]: layer.depth for layer in found} == {"a": 1, "b": 2, "c": 3, "d": 1, "e": 4}


def body(nodes: list[NodeProto], output: str) -> GraphProto:
    return helper.make_graph(nodes, "body", [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)])


def test_a_control_flow_node_with_weights_inside_is_one_layer_as_deep_as_what_it_captures() -> None:
    made = proto(
        "h = MatMul(x, a) y = MatMul(h, c)", **{name: floats(4, 4) for name in ("a", "b", "c")}, on=np.array(True)
    )
    then = body([helper.make_node("MatMul", ["h", "b"], ["t"])], "t")
    otherwise = body([helper.make_node("Neg", ["h"], ["e"])], "e")
    made.graph.node.insert(1, helper.make_node("If", ["on"], ["i"], then_branch=then, else_branch=otherwise))
    made.graph.node[2].input[0] = "i"
    found = layers_of(check_model(made.SerializeToString()))
    assert [(layer.op, owned(layer), layer.depth) for layer in found] == [
        ("MatMul", {"weight": "a"}, 1),
        ("If", {"weight": "b"}, 2),
        ("MatMul", {"weight": "c"}, 3),
    ]
