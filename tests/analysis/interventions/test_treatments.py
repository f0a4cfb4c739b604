"""Every treatment against what it promises: where it applies, what it leaves alone, what it declares."""

import math

import numpy as np
import onnx.parser
import pytest
import torch
from torch import nn

from analysis.facts import Effect
from analysis.interventions import INTERVENTIONS, clip_gradients, insert_normalization, reinitialize, swap_activation
from analysis.interventions._base import Context, Draw, NotApplicable, Recipe, noise
from analysis.layers import find_layers
from analysis.model import CheckedModel, check_model
from analysis.roles import assign_roles
from analysis.sources import find_sources
from tests.gallery import ResidualNetwork, Transformer, export, he, mlp, seeded, xavier


def context(model: CheckedModel) -> Context:
    sources = find_sources(model)
    trainable = frozenset(assign_roles(model, sources).trainable)
    return Context(find_layers(model, sources, trainable), sources, 64, 1.0)


def applied(treatment: object, model: CheckedModel) -> Recipe:
    recipe = treatment.apply(model, context(model))  # type: ignore[attr-defined]
    assert isinstance(recipe, Recipe), recipe
    return recipe


def operators(model: CheckedModel) -> list[str]:
    return [node.op_type for node in model.nodes]


def parsed(
    body: str, weights: dict[str, tuple[int, ...]], inputs: str = "float[N,8] x", outputs: str = "float[N,4] y"
) -> CheckedModel:
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> test ({inputs}) => ({outputs}) {{ {body} }}'
    )
    for name, shape in weights.items():
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        )
    return check_model(model.SerializeToString())


SQUARE = {"A": (8, 8), "B": (8, 8), "C": (8, 4)}


@pytest.mark.parametrize("treatment", INTERVENTIONS, ids=lambda treatment: treatment.token)
def test_the_original_model_is_untouched_and_names_are_kept(treatment: object) -> None:
    model = check_model(mlp(4, "Tanh", xavier()))
    before = model.proto.SerializeToString(deterministic=True)
    names = {node.name for node in model.nodes}
    recipe = applied(treatment, model)
    assert model.proto.SerializeToString(deterministic=True) == before
    assert names <= {node.name for node in recipe.model.nodes}
    assert set(model.weights) <= set(recipe.model.weights)


def test_the_swap_replaces_hidden_activations_and_leaves_the_head() -> None:
    model = parsed(
        "h = MatMul(x, A) s = Sigmoid(h) g = MatMul(s, B) t = Tanh(g) z = MatMul(t, C) y = Sigmoid(z)", SQUARE
    )
    recipe = applied(swap_activation.TREATMENT, model)
    assert operators(recipe.model) == ["MatMul", "Relu", "MatMul", "Relu", "MatMul", "Sigmoid"]
    assert recipe.effect is Effect.CHANGES_FUNCTION
    assert recipe.cost == "2 nodes changed"


def test_the_swap_leaves_gates_alone() -> None:
    # squeeze-excite: x * sigmoid(W relu(V x))
    model = parsed("s = MatMul(x, A) r = Elu(s) e = MatMul(r, B) g = Sigmoid(e) m = Mul(x, g) y = MatMul(m, C)", SQUARE)
    assert operators(applied(swap_activation.TREATMENT, model).model) == [
        "MatMul",
        "Relu",
        "MatMul",
        "Sigmoid",
        "Mul",
        "MatMul",
    ]


def test_the_swap_replaces_a_swish_that_is_written_out() -> None:
    model = parsed("h = MatMul(x, A) s = Sigmoid(h) a = Mul(h, s) y = MatMul(a, C)", SQUARE)
    assert operators(applied(swap_activation.TREATMENT, model).model) == ["MatMul", "Relu", "MatMul"]


def test_the_swap_of_a_transformer_touches_the_feed_forward_only() -> None:
    model = check_model(export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64)))
    edited = applied(swap_activation.TREATMENT, model).model
    assert operators(edited).count("Relu") == 3
    assert operators(edited).count("Softmax") == operators(model).count("Softmax") == 3
    assert "Erf" not in operators(edited)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("h = MatMul(x, A) r = Relu(h) y = MatMul(r, C)", "ReLU already"),
        ("h = MatMul(x, A) y = MatMul(h, C)", "no hidden"),
    ],
)
def test_the_swap_says_why_it_does_not_apply(body: str, reason: str) -> None:
    model = parsed(body, SQUARE)
    result = swap_activation.apply(model, context(model))
    assert isinstance(result, NotApplicable)
    assert reason in result.reason


def test_batch_norm_goes_between_layer_and_activation_but_not_before_the_head() -> None:
    model = check_model(mlp(4, "Tanh", xavier()))
    edited = applied(insert_normalization.TREATMENT, model).model
    hidden = ["Gemm", "BatchNormalization", "Tanh"]
    assert operators(edited) == [*hidden * 3, "Gemm"]
    norm = edited.nodes[1]
    assert list(norm.input[:1]) == ["z0"]
    assert norm.input[1].startswith("z0_batch_norm")
    assert edited.weights[norm.input[1]].shape == (64,)


def test_batch_norm_goes_on_the_branch_of_a_residual_network() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.conv, self.head = (
                nn.Conv2d(3, 8, 3, padding=1),
                nn.Conv2d(8, 8, 3, padding=1),
                nn.Linear(8, 4),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.stem(x))
            return self.head(torch.relu(x + self.conv(x)).mean((2, 3)))

    model = check_model(export(seeded(Plain), torch.zeros(1, 3, 8, 8)))
    edited = applied(insert_normalization.TREATMENT, model).model
    assert operators(edited).count("BatchNormalization") == 2
    branch = next(node for node in edited.nodes if node.op_type == "Add")
    producers = {edited.producers[name].op_type for name in branch.input}
    assert producers == {"BatchNormalization", "Relu"}


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: export(seeded(ResidualNetwork), torch.zeros(2, 3, 8, 8), keep_batch_norm=True), "already"),
        (lambda: export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64)), "works on"),
        (lambda: mlp(1, "Tanh", xavier()), "no hidden"),
    ],
)
def test_batch_norm_says_why_it_does_not_apply(build: object, reason: str) -> None:
    model = check_model(build())  # type: ignore[operator]
    result = insert_normalization.apply(model, context(model))
    assert isinstance(result, NotApplicable)
    assert reason in result.reason


def test_he_and_xavier_draw_with_the_deviations_of_the_papers() -> None:
    model = check_model(mlp(0, "Relu", xavier(), sizes=[32, 48, 10]))
    he_draws = applied(reinitialize.HE, model).draws
    assert he_draws["w0"].std == pytest.approx(math.sqrt(2 / 32))
    assert he_draws["w1"].std == pytest.approx(1 / math.sqrt(48))  # the head has no activation: gain 1
    assert he_draws["b0"] == Draw()
    xavier_draws = applied(reinitialize.XAVIER, model).draws
    assert xavier_draws["w0"].std == pytest.approx(math.sqrt(2 / (32 + 48)))


def test_the_gain_is_that_of_the_activation_after_a_swap() -> None:
    model = check_model(mlp(3, "Tanh", xavier()))
    assert applied(reinitialize.HE, model).draws["w0"].std == pytest.approx(5 / 3 / math.sqrt(32))
    swapped = applied(swap_activation.TREATMENT, model).model
    assert applied(reinitialize.HE, swapped).draws["w0"].std == pytest.approx(math.sqrt(2 / 32))


def test_every_kind_of_parameter_has_its_draw() -> None:
    model = check_model(export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64)))
    layers = context(model).layers
    draws = applied(reinitialize.XAVIER, model).draws
    by_role: dict[str, set[Draw | None]] = {}
    for layer in layers:
        for role, info in layer.parameters.items():
            by_role.setdefault(role, set()).add(draws.get(info.initializer))
    assert by_role["embedding"] == {Draw(std=1.0)}
    assert by_role["scale"] == {Draw(mean=1.0)}
    assert by_role["bias"] == {Draw()}
    assert by_role["offset"] == {None}  # learnt positions are kept


def test_draws_are_normal_and_follow_seed_and_name() -> None:
    values = Draw(std=0.5, mean=1.0).realize("w", (200, 300), 3)
    assert values.dtype == np.float32
    assert values.mean() == pytest.approx(1.0, abs=0.01)
    assert values.std() == pytest.approx(0.5, rel=0.01)
    assert np.array_equal(noise("w", (3,), 1), noise("w", (3,), 1))
    assert not np.array_equal(noise("w", (3,), 1), noise("v", (3,), 1))
    assert not np.array_equal(noise("w", (3,), 1), noise("w", (3,), 2))


def test_clipping_touches_no_graph_and_no_weight() -> None:
    model = check_model(mlp(3, "Relu", he()))
    recipe = applied(clip_gradients.TREATMENT, model)
    assert recipe.model is model
    assert not recipe.draws
    assert recipe.effect is Effect.TRAINING_ONLY
    assert recipe.gradient_step.clip is not None
    assert recipe.gradient_step.clip.max_norm == 1.0


@pytest.mark.parametrize("treatment", INTERVENTIONS, ids=lambda treatment: treatment.token)
def test_every_treatment_has_a_page_with_a_source(treatment: object) -> None:
    page = treatment.page  # type: ignore[attr-defined]
    assert page.strip().splitlines()[0].endswith(".")
    assert "Source:" in page


def test_tokens_are_unique() -> None:
    assert len({treatment.token for treatment in INTERVENTIONS}) == len(INTERVENTIONS)
