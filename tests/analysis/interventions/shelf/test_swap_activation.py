import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.facts import Effect
from analysis.model.onnx_tools import assemble_proto
from tests.analysis.interventions.builders import SQUARE, applied, bare, operators, parsed, refused
from tests.gallery import Transformer, export, mlp, seeded, tokens, xavier

CURVES = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
}
CHAIN = "h = MatMul(x, A) s = Sigmoid(h) g = MatMul(s, B) t = Softsign(g) z = MatMul(t, C) y = Sigmoid(z)"


@pytest.mark.parametrize("token", CURVES)
@pytest.mark.parametrize("opset", [11, 17, 20])
def test_the_new_function_is_torchs_and_the_head_is_left(token: str, opset: int) -> None:
    model = parsed(CHAIN, SQUARE)
    model.proto.opset_import[0].version = opset
    recipe = applied(token, model)
    assert recipe.effect is Effect.CHANGES_FUNCTION
    assert recipe.cost == "2 nodes changed"
    assert operators(recipe.model)[-1] == "Sigmoid"
    x = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    a, b, c = (torch.from_numpy(np.array(model.weights[name])) for name in "ABC")
    expected = torch.sigmoid(CURVES[token](CURVES[token](torch.from_numpy(x) @ a) @ b) @ c)
    content = assemble_proto(recipe.model.proto, dict(recipe.model.weights)).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_gates_are_left_alone() -> None:
    # squeeze-excite: x * sigmoid(W relu(V x))
    body = "s = MatMul(x, A) r = Elu(s) e = MatMul(r, B) g = Sigmoid(e) m = Mul(x, g) y = MatMul(m, C)"
    kept = ["MatMul", "Relu", "MatMul", "Sigmoid", "Mul", "MatMul"]
    assert operators(applied("relu", parsed(body, SQUARE)).model) == kept


def test_a_cell_that_is_written_out_keeps_its_gates() -> None:
    # one step of a GRU's update: (1 - z) * h + z * tanh(..)
    body = """
        a = MatMul(x, A) z = Sigmoid(a) b = MatMul(x, B) n = Tanh(b) zn = Mul(z, n) one = Constant<value_float = 1.0>()
        o = Sub(one, z) ox = Mul(o, x) h = Add(ox, zn) y = MatMul(h, C)"""
    assert "no hidden" in refused("relu", parsed(body, SQUARE))


def test_a_swish_that_is_written_out_is_one_activation() -> None:
    body = "h = MatMul(x, A) s = Sigmoid(h) a = Mul(h, s) y = MatMul(a, C)"
    assert operators(applied("relu", parsed(body, SQUARE)).model) == ["MatMul", "Relu", "MatMul"]
    assert "SiLU already" in refused("silu", parsed(body, SQUARE))


def test_in_a_transformer_the_feed_forward_is_swapped_and_nothing_else() -> None:
    model = export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64))
    edited = operators(applied("relu", model, tokens()).model)
    assert edited.count("Relu") == edited.count("Softmax") == 3
    assert "Erf" not in edited
    assert "Gelu" not in edited
    assert operators(applied("silu", bare()).model).count("Softmax") == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("h = MatMul(x, A) r = Relu(h) y = MatMul(r, C)", "ReLU already"),
        ("h = MatMul(x, A) y = MatMul(h, C)", "no hidden"),
    ],
)
def test_it_says_why_it_does_not_apply(body: str, reason: str) -> None:
    assert reason in refused("relu", parsed(body, SQUARE))


def test_an_old_opset_is_refused_with_its_number() -> None:
    model = parsed(CHAIN, SQUARE)
    model.proto.opset_import[0].version = 6
    assert "opset 6" in refused("relu", model)


def test_gelu_needs_erf() -> None:
    model = parsed(CHAIN, SQUARE)
    model.proto.opset_import[0].version = 8
    assert "opset 8 is older than 9" in refused("gelu", model)


def test_the_words_count_what_is_replaced() -> None:
    assert "3 Tanh" in applied("relu", mlp(4, "Tanh", xavier())).words
