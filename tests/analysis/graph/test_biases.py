import numpy as np
import pytest

from analysis.graph.biases import cancelling_operator, find_biases
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
    ],
)
def test_a_bias_right_in_front_of_a_normalization_is_cancelled(text: str, cancelled: str | None) -> None:
    checked = model(
        text, "float[N,3,4,4] x",
        w=floats(3, 3, 1, 1), b=floats(3), c=floats(3, 1, 1), s=floats(3), o=floats(3), m=floats(3), l=floats(4),
        v=np.ones(3, np.float32),
    )  # fmt: skip
    assert cancelling_operator(checked, layers_of(checked)[0]) == cancelled
