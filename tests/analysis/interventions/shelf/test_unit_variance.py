import pytest
import torch

from analysis.experiment.replay import draw
from tests.analysis.interventions.builders import composed, parsed, refused
from tests.gallery import ResidualNetwork, export, images, mlp, normal, seeded, vectors


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (lambda: mlp(12, "Sigmoid", normal(0.01)), vectors),
        (lambda: mlp(8, "Relu", normal(3.0)), vectors),
        (lambda: export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16)), images),
    ],
)
def test_every_layer_writes_variance_1_on_the_sample_batch(model: object, batch: object) -> None:
    recipe, subject = composed("lsuv", model(), batch())  # type: ignore[operator]
    draw(subject, recipe, 0)
    seen: dict[str, float] = {}
    inputs, _ = subject.tensors()

    def note(name: str, value: torch.Tensor) -> None:
        seen[name] = value.std(correction=0).item()

    watchers = {each.output: [lambda value, name=each.output: note(name, value)] for each in recipe.unit_variance}
    with torch.no_grad():
        subject.converted.eval().observe(inputs, watchers)
    assert len(seen) == len(recipe.unit_variance) > 5
    assert list(seen.values()) == pytest.approx([1.0] * len(seen), rel=1e-3)


def test_a_weight_that_is_used_twice_is_not_scaled() -> None:
    body = "h = MatMul(x, A) r = Relu(h) g = MatMul(r, A) s = Relu(g) y = MatMul(s, C)"
    recipe, _ = composed("lsuv", parsed(body, {"A": (8, 8), "C": (8, 4)}))
    assert [each.weight for each in recipe.unit_variance] == ["C"]


THIRTY = "k = Constant<value_float = 30.0>() "


@pytest.mark.parametrize(
    ("body", "scaled"),
    [
        (THIRTY + "h = MatMul(x, A) m = Mul(k, h) s = Sin(m) y = MatMul(s, C)", "m"),
        (THIRTY + "h = MatMul(x, A) m = Div(h, k) s = Tanh(m) y = MatMul(s, C)", "m"),
        (THIRTY + "h = MatMul(x, A) m = Div(k, h) s = Tanh(m) y = MatMul(s, C)", "h"),
        (THIRTY + "h = MatMul(x, A) m = Mul(h, k) s = Add(m, x) y = MatMul(s, C)", "h"),  # the end of a branch
        (THIRTY + "h = MatMul(x, A) m = Mul(h, k) t = Sin(m) s = Add(h, t) y = MatMul(s, C)", "h"),  # read itself, too
        ("h = MatMul(x, A) m = Mul(h, S) s = Sin(m) y = MatMul(s, C)", "h"),  # a scale that trains
    ],
)
def test_a_factor_in_front_of_an_activation_counts_as_part_of_the_layer(body: str, scaled: str) -> None:
    weights = {"A": (8, 8), "C": (8, 4), **({"S": (8,)} if "S)" in body else {})}
    recipe, _ = composed("lsuv", parsed(body, weights))
    assert [each.output for each in recipe.unit_variance] == [scaled, "y"]


def test_the_temperature_of_the_answer_counts_as_well() -> None:
    recipe, _ = composed("lsuv", parsed(THIRTY + "h = MatMul(x, A) r = Relu(h) g = MatMul(r, C) y = Mul(g, k)",
                                        {"A": (8, 8), "C": (8, 4)}))  # fmt: skip
    assert [each.output for each in recipe.unit_variance] == ["h", "y"]


def test_a_network_without_linear_layers_says_so() -> None:
    assert refused("lsuv", parsed("y = Add(x, B)", {"B": (8,)}, outputs="float[N,8] y"))
