import numpy as np
import pytest

from analysis.graph.biases import added_biases, cancelling_operator, find_biases
from analysis.graph.sources import find_sources
from tests.analysis.graph.graphs import floats, layers_of, model, owned

# ------------------------------------------------------------------ additions that are a bias


@pytest.mark.parametrize("addition", ["Add(h, b)", "Add(b, h)"])
@pytest.mark.parametrize("product", ["h = MatMul(x, w)", "h = Gemm(x, w)", "h = Gemm(x, w, c)"])
def test_a_bias_added_behind_a_product_belongs_to_the_layer(product: str, addition: str) -> None:
    (layer,) = layers_of(model(f"{product} p = {addition} y = Relu(p)", w=floats(4, 4), b=floats(4), c=floats(4)))
    roles = {"weight": "w", "bias": "c", "bias.2": "b"} if "c" in product else {"weight": "w", "bias": "b"}
    assert owned(layer) == roles
    assert (layer.op, layer.output, layer.pre_activation, layer.activated) == (product.split()[2][:-3], "p", "p", "y")


@pytest.mark.parametrize("shape", [(1, 6, 1, 1), (6, 1, 1)])
def test_a_bias_added_behind_a_convolution_belongs_to_the_layer(shape: tuple[int, ...]) -> None:
    (layer,) = layers_of(
        model("h = Conv(x, w) y = Add(h, b)", "float[N,3,8,8] x", w=floats(6, 3, 3, 3), b=floats(*shape))
    )
    assert (owned(layer), layer.output) == ({"weight": "w", "bias": "b"}, "y")


def test_a_bias_may_be_a_weight_expression() -> None:
    (layer,) = layers_of(
        model("c = Unsqueeze(b, i) h = MatMul(x, w) y = Add(h, c)", w=floats(4, 4), b=floats(4), i=np.array([0]))
    )
    assert owned(layer) == {"weight": "w", "bias": "b"}


def test_a_positional_embedding_is_a_layer_of_its_own() -> None:
    product, position = layers_of(
        model("h = MatMul(x, w) p = Add(h, e) y = Relu(p)", "float[N,7,4] x", w=floats(4, 4), e=floats(1, 7, 4))
    )
    assert (product.op, owned(product), product.output) == ("MatMul", {"weight": "w"}, "h")
    assert (position.op, owned(position), position.output) == ("Add", {"offset": "e"}, "p")
    assert (product.depth, position.depth) == (1, 2)


def test_an_addition_to_a_product_that_others_read_is_a_layer_of_its_own() -> None:
    product, addition = layers_of(
        model("h = MatMul(x, w) p = Add(h, b) r = Relu(h) y = Add(p, r)", w=floats(4, 4), b=floats(4))
    )
    assert (owned(product), owned(addition)) == ({"weight": "w"}, {"offset": "b"})


def test_an_addition_behind_something_else_is_a_layer_of_its_own() -> None:
    product, addition = layers_of(
        model("h = MatMul(x, w) r = Relu(h) y = Add(r, b)", w=floats(4, 4), b=floats(4))
    )  # fmt: skip
    assert (owned(product), owned(addition)) == ({"weight": "w"}, {"offset": "b"})
    (attention,) = layers_of(model("h = MatMul(x, z) y = Add(h, b)", "float[N,4] x, float[4,4] z", b=floats(4)))
    assert owned(attention) == {"offset": "b"}


def test_biases_are_told_by_the_addition() -> None:
    checked = model("h = MatMul(x, w) y = Add(h, b)", w=floats(4, 4), b=floats(4))
    product, addition = checked.nodes
    assert find_biases(checked, find_sources(checked)) == {id(addition): product}


def biased(nodes: str, *interface: str, **weights: np.ndarray) -> dict[str, str]:
    """What each addition of a bias writes, and what the product in front of it does."""
    checked = model(nodes, *interface, **weights)
    additions = {id(node): node.output[0] for node in checked.nodes}
    return {additions[key]: product.output[0] for key, product in find_biases(checked, find_sources(checked)).items()}


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ("h = MatMul(x, w) y = Add(h, b)", True),
        ("h = MatMul(x, w) c = Cast<to = 1>(h) y = Add(c, b)", True),
        ("h = MatMul(x, w) c = Identity(h) d = Cast<to = 1>(c) y = Add(b, d)", True),
        ("h = MatMul(x, w) y = Sub(h, b)", False),
        ("h = MatMul(x, w) c = Relu(h) y = Add(c, b)", False),
        ("h = MatMul(x, w) c = Identity(h) d = Relu(h) e = Add(c, b) y = Add(d, e)", False),
        ("h = MatMul(x, w) c = Identity(h) d = Relu(c) e = Add(c, b) y = Add(d, e)", False),
        ("c = Identity(x) y = Add(c, b)", False),
        ("y = Add(x, b)", False),
        ("h = MatMul(x, x) y = Add(h, b)", False),
        ("h = Gemm(x, x, b) y = Add(h, b)", False),
        ("h = Mul(x, b) y = Add(h, b)", False),
    ],
    ids=["behind a product", "behind a Cast", "behind several", "subtracted", "behind an activation", "product read",
         "copy read", "behind an input", "on an input", "product of data", "with a bias of its own only",
         "behind a scale"],
)  # fmt: skip
def test_a_bias_stands_right_behind_a_product_that_has_a_weight_and_that_nobody_else_reads(
    nodes: str, found: bool
) -> None:
    assert biased(nodes, "float[4,4] x", w=floats(4, 4), b=floats(4)) == ({"y": "h"} if found else {})


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ("h = MatMul(x, w) q = QuantizeLinear(h, s) d = DequantizeLinear(q, s) y = Add(d, b)", True),
        ("z, t, o = DynamicQuantizeLinear(x) h = MatMulInteger(z, q) c = Cast<to = 1>(h) f = Mul(c, s) y = Add(f, b)",
         True),
        ("h = MatMul(x, w) c = Cast<to = 1>(h) f = Mul(c, s) y = Add(f, b)", False),
    ],
)  # fmt: skip
def test_a_bias_is_one_behind_what_quantises_a_product_or_makes_floats_of_it(nodes: str, found: bool) -> None:
    weights = {"w": floats(4, 4), "q": np.ones((4, 4), np.int8), "s": np.array(0.1, np.float32), "b": floats(4)}
    read = {name: array for name, array in weights.items() if f" {name})" in nodes or f" {name}," in nodes}
    assert biased(nodes, "float[4,4] x", **read) == ({"y": "h"} if found else {})


@pytest.mark.parametrize(
    ("nodes", "inputs", "weight", "shape", "found"),
    [
        ("h = MatMul(x, w)", "float[N,4] x", (4, 3), (3,), True),
        ("h = MatMul(x, w)", "float[N,4] x", (4, 3), (1, 3), True),
        ("h = MatMul(x, w)", "float[N,4] x", (4, 2), (2,), True),
        ("h = com.microsoft.FusedMatMul(x, w)", "float[N,4] x", (4, 3), (1,), True),
        ("h = MatMul(x, w)", "float[2,4] x", (4, 3), (2, 3), False),
        ("h = MatMul(x, w)", "float[N,4] x", (4, 3), (1,), False),
        ("h = MatMul(x, w)", "float[N,4] x", (4, 1), (1,), True),
        ("h = MatMul(x, w)", "float[N,4] x", (4, 1), (), True),
        ("h = MatMul(z, w)", "float[N,4] x, float[] z", (4, 3), (1,), True),
        ("h = MatMul(x, w)", "float[2,4] x", (4, 1), (), True),
        ("h = MatMul(x, w)", "float[2,4] x", (4, 3), (), False),
        ("h = Conv(x, w)", "float[2,3,8] x", (5, 3, 1), (5, 1), True),
        ("h = Conv(x, w)", "float[2,3,8] x", (1, 3, 1), (1, 1), True),
        ("h = Conv(x, w)", "float[2,3,8] x", (5, 3, 8), (1,), False),
        ("h = Conv(x, w)", "float[N,3,8] x", (5, 3, 8), (1,), False),
        ("h = Conv(x, w)", "float[N,3,8] x", (1, 3, 1), (1,), True),
        ("h = ConvTranspose(x, w)", "float[2,3,8] x", (3, 1, 2), (1,), True),
        ("h = ConvTranspose(x, w)", "float[2,3,1] x", (3, 5, 1), (1,), False),
    ],
)  # fmt: skip
def test_a_bias_is_a_vector_or_the_number_of_a_single_channel(
    nodes: str, inputs: str, weight: tuple[int, ...], shape: tuple[int, ...], found: bool
) -> None:
    made = biased(f"{nodes} y = Add(h, b)", inputs, w=floats(*weight), b=np.asarray(floats(*shape)))
    assert made == ({"y": "h"} if found else {})


def test_an_addition_behind_a_recurrent_layer_is_no_bias_of_it() -> None:
    weights = {"w": floats(1, 3, 4), "r": floats(1, 3, 3), "b": floats(3)}
    assert biased("h = RNN<hidden_size = 3>(x, w, r) y = Add(h, b)", "float[5,N,4] x", **weights) == {}


def test_an_addition_inside_a_body_is_none_of_the_main_graph() -> None:
    nodes = """h = MatMul(x, w) y = If (on) < then_branch = t () => (float[N,4] u) { u = Add(h, b) },
        else_branch = e () => (float[N,4] v) { v = Neg(x) } >"""
    assert biased(nodes, "float[N,4] x, bool on", w=floats(4, 4), b=floats(4)) == {}


def test_added_biases_come_in_topological_order_each_with_its_product() -> None:
    checked = model(
        "h = MatMul(x, w) p = Add(h, b) r = Relu(p) k = MatMul(r, v) q = Add(k, c) y = Add(q, x)",
        w=floats(4, 4), v=floats(4, 4), b=floats(4), c=floats(4),
    )  # fmt: skip
    found = find_biases(checked, find_sources(checked))
    pairs = list(added_biases(checked, dict(reversed(found.items()))))
    assert [(addition.output[0], product.output[0]) for addition, product in pairs] == [("p", "h"), ("q", "k")]


# ------------------------------------------------------------------ biases that do not matter


@pytest.mark.parametrize(
    ("text", "cancelled"),
    [
        ("h = Conv(x, w, b) y = BatchNormalization(h, s, o, m, v)", "BatchNormalization"),
        ("h = Conv(x, w, b) y = InstanceNormalization(h, s, o)", "InstanceNormalization"),
        ("h = Conv(x, w) y = BatchNormalization(h, s, o, m, v)", None),
        ("h = Conv(x, w, b) y = LayerNormalization(h, l)", None),
        ("h = Conv(x, w, b) y = Relu(h)", None),
        ("h = Conv(x, w, b) n = BatchNormalization(h, s, o, m, v) y = Add(n, h)", None),
        ("h = Conv(x, w) k = Add(h, c) y = BatchNormalization(k, s, o, m, v)", "BatchNormalization"),
        ("h = Conv(x, w, b) r = Relu(h) y = BatchNormalization(r, s, o, m, v)", None),
        ("y = Conv(x, w, b)", None),
    ],
)
def test_a_bias_right_in_front_of_a_normalization_is_cancelled(text: str, cancelled: str | None) -> None:
    checked = model(
        text, "float[N,3,4,4] x",
        w=floats(3, 3, 1, 1), b=floats(3), c=floats(3, 1, 1), s=floats(3), o=floats(3), m=floats(3), l=floats(4),
        v=np.ones(3, np.float32),
    )  # fmt: skip
    assert cancelling_operator(checked, layers_of(checked)[0]) == cancelled
