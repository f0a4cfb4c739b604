import numpy as np
import pytest

from analysis.errors import BadOptions
from analysis.graph.survey import Survey, survey
from tests.analysis.graph.graphs import floats, model


def read(nodes: str, *interface: str, operators: tuple[str, ...] = (), **weights: np.ndarray) -> Survey:
    return survey(model(nodes, *interface, **weights), is_operator=operators.__contains__)


def test_a_graph_is_read_once_and_everything_fits_together() -> None:
    found = read(
        "h = MatMul(x, w) b = Add(h, v) r = Relu(b) y = MatMul(r, u)", w=floats(4, 4), v=floats(4), u=floats(4, 2)
    )
    assert found.roles.trainable == ("w", "v", "u")
    assert [layer.op for layer in found.layers] == ["MatMul", "MatMul"]
    assert {role: info.initializer for role, info in found.layers[0].parameters.items()} == {"weight": "w", "bias": "v"}
    assert {use.initializer for use in found.sources.uses} == {"w", "v", "u"}
    assert found.attention == ()


def test_what_options_freeze_owns_no_layer() -> None:
    checked = model("h = MatMul(x, w) y = MatMul(h, u)", w=floats(4, 4), u=floats(4, 2))
    found = survey(checked, freeze=["w"], is_operator=lambda _name: False)
    assert [layer.parameters["weight"].initializer for layer in found.layers] == ["u"]
    assert found.roles.frozen == {"w": "frozen by options"}
    with pytest.raises(BadOptions, match="matches no initialiser"):
        survey(checked, train=["z"], is_operator=lambda _name: False)


def test_attention_is_found_between_products_of_data() -> None:
    found = read(
        "q = MatMul(x, w) k = MatMul(x, u) t = Transpose<perm = [0, 2, 1]>(k) s = MatMul(q, t) a = Softmax(s)"
        "y = MatMul(a, x)", "float[N,3,4] x", w=floats(4, 4), u=floats(4, 4),
    )  # fmt: skip
    assert [site.node.op_type for site in found.attention] == ["Softmax"]
