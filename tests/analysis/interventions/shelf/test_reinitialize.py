import math

import numpy as np
import pytest
import torch

from analysis.interventions.draws import Constant, Draw, Normal, Uniform
from tests.analysis.experiment.experiments import experiment
from tests.analysis.interventions.builders import applied, drawn, parsed, refused
from tests.gallery import Recurrent, Transformer, export, mlp, seeded, sequences, tokens, vectors, xavier

SIZES = [32, 48, 10]


def deviation(draw: Draw) -> float:
    assert isinstance(draw, Normal | Uniform)
    return draw.std if isinstance(draw, Normal) else draw.bound / math.sqrt(3)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("he", math.sqrt(2 / 32)),
        ("he_uniform", math.sqrt(2 / 32)),
        ("he_fan_out", math.sqrt(2 / 48)),
        ("xavier", math.sqrt(2 / (32 + 48))),
        ("xavier_uniform", math.sqrt(2 / (32 + 48))),
        ("xavier_gain", math.sqrt(2) * math.sqrt(2 / (32 + 48))),
    ],
)
def test_deviations_are_those_of_the_papers(token: str, expected: float) -> None:
    draws = applied(token, mlp(0, "Relu", xavier(), sizes=SIZES)).draws
    assert deviation(draws["w0"]) == pytest.approx(expected)
    assert draws["b0"] == Constant(0.0)


@pytest.mark.parametrize("token", ["he_uniform", "xavier_uniform"])
def test_uniform_laws_are_torchs(token: str) -> None:
    weight = torch.empty(48, 32)
    ours = drawn(token, mlp(0, "Relu", xavier(), sizes=SIZES))["w0"]
    init = torch.nn.init
    init.kaiming_uniform_(weight, nonlinearity="relu") if token == "he_uniform" else init.xavier_uniform_(weight)
    assert np.abs(ours).max() == pytest.approx(weight.abs().max().item(), rel=0.02)
    assert ours.std() == pytest.approx(weight.std().item(), rel=0.05)


def test_the_head_has_gain_1_and_a_swap_changes_the_gain() -> None:
    draws = applied("he", mlp(0, "Relu", xavier(), sizes=SIZES)).draws
    assert deviation(draws["w1"]) == pytest.approx(1 / math.sqrt(48))
    tanh = mlp(3, "Tanh", xavier())
    assert deviation(applied("he", tanh).draws["w0"]) == pytest.approx(5 / 3 / math.sqrt(32))
    assert deviation(applied("relu+he", tanh).draws["w0"]) == pytest.approx(math.sqrt(2 / 32))


def test_every_kind_of_parameter_has_its_draw() -> None:
    model = export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64))
    draws = applied("xavier", model, tokens()).draws
    by_role: dict[str, set[Draw | None]] = {}
    for layer in experiment(model, tokens()).baseline.layers:
        for role, info in layer.parameters.items():
            by_role.setdefault(role, set()).add(draws.get(info.initializer))
    assert by_role["embedding"] == {Normal(1.0)}
    assert by_role["scale"] == {Constant(1.0)}
    assert by_role["bias"] == {Constant(0.0)}
    assert by_role["offset"] == {None}  # learnt positions are kept


def test_recurrent_weights_are_drawn_gate_by_gate() -> None:
    model = export(seeded(Recurrent), torch.zeros(2, 20, 8))
    cells = experiment(model, sequences())
    weights = {role: info.initializer for role, info in cells.baseline.layers[0].parameters.items()}
    draws = applied("xavier", model, sequences()).draws
    assert deviation(draws[weights["weight"]]) == pytest.approx(math.sqrt(2 / (8 + 32)))
    assert deviation(draws[weights["recurrent_weight"]]) == pytest.approx(math.sqrt(2 / (32 + 32)))


def test_a_network_without_weights_says_so() -> None:
    model = parsed("y = Add(x, B)", {"B": (8,)}, outputs="float[N,8] y")
    assert "fan-in" in refused("he", model)


def test_the_signal_keeps_its_size_through_a_deep_relu_network() -> None:
    # He et al. 2015: with N(0, 2 / fan_in) the second moment in front of the activations stays 2 E[x^2].
    model = mlp(12, "Relu", xavier(), width=512)
    cells = experiment(model, vectors(512))
    weights = {name: torch.from_numpy(values) for name, values in drawn("he", model, vectors(512)).items()}
    x = cells.structures.unchanged.tensors()[0][0]
    first = x.square().mean()
    for layer in range(11):
        z = x @ weights[f"w{layer}"].T
        x = torch.relu(z)
    assert z.square().mean().item() == pytest.approx(2 * first.item(), rel=0.25)


def test_a_weight_that_is_cut_into_projections_is_redrawn_whole_and_each_on_its_own() -> None:
    """Queries, keys and values in one matrix, as an exporter leaves them that folds nothing."""
    model = parsed(
        """
        one = Constant<value_ints = [1]>() at = Constant<value_ints = [0]>() end = Constant<value_ints = [8]>()
        last = Constant<value_ints = [16]>() most = Constant<value_ints = [24]>()
        a = Slice(w, at, end, one) b = Slice(w, end, last, one) c = Slice(w, last, most, one)
        q = MatMul(x, a) k = MatMul(x, b) v = MatMul(x, c) s = Add(q, k) t = Tanh(s) u = Mul(t, v) y = MatMul(u, head)
        """,
        {"w": (8, 24), "head": (8, 4)},
    )
    before, w = model.weights["w"], drawn("xavier", model)["w"]
    assert not np.isclose(w, before).any()
    queries, keys, values = np.split(w, 3, axis=1)
    for first, second in ((queries, keys), (keys, values), (queries, values)):
        assert abs(np.corrcoef(first.reshape(-1), second.reshape(-1))[0, 1]) < 0.5
    assert w.std() == pytest.approx(math.sqrt(2 / (8 + 8)), rel=0.2)
