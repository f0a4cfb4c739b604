"""What all initialisations share."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from analysis.interventions.draws import Constant, Draw, Normal
from tests.analysis.experiment.experiments import experiment
from tests.analysis.interventions.builders import applied, deviation, drawn, parsed, refused
from tests.gallery import Recurrent, Transformer, export, npz, seeded, sequences, tokens


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


class Gated(nn.Module):
    """A learnt factor on the only way, and one on a branch."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.body, self.branch, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.gate, self.scale = nn.Parameter(torch.full((8,), start)), nn.Parameter(torch.zeros(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.gate * torch.tanh(self.body(x))
        return self.head(h + self.scale * torch.tanh(self.branch(h)))


@pytest.mark.parametrize(("start", "drawn_anew"), [(0.0, Constant(1.0)), (0.5, None)])
def test_a_factor_of_zero_becomes_one_where_nothing_leads_around_it(start: float, drawn_anew: Draw | None) -> None:
    x = np.random.default_rng(0).standard_normal((24, 6)).astype(np.float32)
    model = export(seeded(lambda: Gated(start)), torch.from_numpy(x[:2]))
    draws = applied("he", model, npz(x=x, target=np.arange(24) % 3)).draws
    assert draws.get("gate") == drawn_anew
    assert "scale" not in draws


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
