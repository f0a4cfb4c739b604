import math

import numpy as np
import pytest
import torch
from torch import nn

from analysis.model import check_model
from tests.analysis.interventions.builders import SQUARE, applied, composed, operators, parsed, refused
from tests.gallery import ResidualNetwork, Transformer, export, mlp, npz, seeded, tokens, vectors, xavier


class Plain(nn.Module):
    """A stem, a residual convolution, a head."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)
        self.head = nn.Linear(channels, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        return self.head(torch.relu(x + self.conv(x)).mean((2, 3)))


class Sequence(nn.Module):
    """Positions through two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))).mean(1))


def plain() -> bytes:
    return export(seeded(Plain), torch.zeros(2, 3, 8, 8))


def test_it_goes_between_layer_and_activation_but_not_before_the_head() -> None:
    edited = applied("batch_norm", mlp(4, "Tanh", xavier())).model
    assert operators(edited) == [*["Gemm", "BatchNormalization", "Tanh"] * 3, "Gemm"]
    norm = edited.nodes[1]
    assert list(norm.input[:1]) == ["z0"]
    assert norm.input[1].startswith("z0_batch_norm")
    assert edited.weights[norm.input[1]].shape == (64,)


def test_in_a_residual_network_it_goes_on_the_branch_not_on_the_sum() -> None:
    edited = applied("batch_norm", plain()).model
    assert operators(edited).count("BatchNormalization") == 2
    (addition,) = (node for node in edited.nodes if node.op_type == "Add")
    assert {edited.producers[name].op_type for name in addition.input} == {"BatchNormalization", "Relu"}


@pytest.mark.parametrize(
    ("token", "model", "shape", "axes"),
    [
        ("batch_norm", lambda: mlp(3, "Tanh", xavier()), (-1, 64), (0,)),
        ("batch_norm", plain, (-1, 8, 8, 8), (0, 2, 3)),
        ("layer_norm", lambda: mlp(3, "Tanh", xavier()), (-1, 64), (1,)),
        ("layer_norm", lambda: export(seeded(Sequence), torch.zeros(2, 5, 8)), (-1, 5, 16), (2,)),
        ("group_norm", plain, (-1, 1, 8, 8), (1, 2, 3)),
    ],
)
def test_what_it_writes_is_standardised_over_the_right_axes(
    token: str, model: object, shape: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    recipe, subject = composed(token, model())  # type: ignore[operator]
    before = set(check_model(model()).producers)  # type: ignore[operator]
    activation = next(node for node in recipe.model.nodes if node.op_type in {"Tanh", "Relu"})
    value = activation.input[0]
    assert value not in before
    seen = list[torch.Tensor]()
    inputs, _ = subject.tensors()
    subject.converted.train()
    with torch.no_grad():
        subject.converted.observe(inputs, {value: [seen.append]})
    whole = seen[0].reshape(shape)
    torch.testing.assert_close(whole.mean(axes), torch.zeros_like(whole.mean(axes)), atol=1e-4, rtol=0)
    spread = whole.var(axes, correction=0)
    assert spread.median().item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("opset", [13, 21])
def test_group_norm_is_torchs_in_old_opsets_and_new_ones(opset: int) -> None:
    body = "h = Conv(x, K) r = Relu(h) p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, C)"
    model = parsed(body, {"K": (12, 3, 3, 3), "C": (12, 4)}, inputs="float[N,3,8,8] x")
    model.proto.opset_import[0].version = opset
    recipe, subject = composed("group_norm", model)
    seen = list[torch.Tensor]()
    inputs, _ = subject.tensors()
    value = next(node for node in recipe.model.nodes if node.op_type == "Relu").input[0]
    with torch.no_grad():
        subject.converted.eval().observe(inputs, {value: [seen.append]})
        convolved = nn.functional.conv2d(inputs[0], torch.from_numpy(np.array(model.weights["K"])))
        expected = nn.functional.group_norm(convolved, math.gcd(12, 6))
    torch.testing.assert_close(seen[0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("token", "model", "reason"),
    [
        (
            "batch_norm",
            lambda: export(seeded(ResidualNetwork), torch.zeros(2, 3, 8, 8), keep_batch_norm=True),
            "already",
        ),
        ("batch_norm", lambda: export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64)), "works on"),
        ("batch_norm", lambda: mlp(1, "Tanh", xavier()), "no hidden"),
        ("group_norm", lambda: mlp(3, "Tanh", xavier()), "images"),
        ("layer_norm", plain, "works on"),
    ],
)
def test_it_says_why_it_does_not_apply(token: str, model: object, reason: str) -> None:
    assert reason in refused(token, model())  # type: ignore[operator]


def test_one_observation_of_a_channel_has_no_variance() -> None:
    assert "one observation" in refused("batch_norm", mlp(3, "Tanh", xavier()), vectors(1))
    image = parsed("a = Conv(x, K) b = Relu(a) y = Conv(b, L)", {"K": (12, 3, 3, 3), "L": (4, 12, 3, 3)},
                   "float[N,3,8,8] x", "float[N,4,4,4] y")  # fmt: skip
    pixels = npz(x=np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32))
    assert "BatchNormalization" in operators(applied("batch_norm", image, pixels).model)


def test_gates_get_no_normalisation() -> None:
    body = "s = MatMul(x, A) r = Elu(s) e = MatMul(r, B) g = Sigmoid(e) m = Mul(x, g) y = MatMul(m, C)"
    assert operators(applied("batch_norm", parsed(body, SQUARE)).model).count("BatchNormalization") == 1


def test_the_feed_forward_of_a_transformer_gets_layer_norm_and_attention_none() -> None:
    model = export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64))
    before, after = (operators(each) for each in (check_model(model), applied("layer_norm", model, tokens()).model))
    assert after.count("LayerNormalization") == before.count("LayerNormalization") + 3
