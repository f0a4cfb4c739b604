import numpy as np
import pytest
import torch
from torch import nn

from tests.analysis.interventions.builders import applied, drawn, experiment, refused
from tests.gallery import Recurrent, export, mlp, seeded, sequences, vectors, xavier


def recurrent(kind: type[nn.RNNBase]) -> bytes:
    return export(seeded(lambda: Recurrent(kind)), torch.zeros(2, 20, 8))


def names(model: bytes) -> dict[str, str]:
    layer = experiment(model, sequences()).baseline.layers[0]
    return {role: info.initializer for role, info in layer.parameters.items()}


def test_hidden_layers_are_orthogonal_times_the_gain_of_their_activation() -> None:
    weights = drawn("orthogonal", mlp(4, "Tanh", xavier()), vectors())
    for name, gain in (("w1", 5 / 3), ("w3", 1.0)):
        w = weights[name]
        np.testing.assert_allclose(w @ w.T, gain**2 * np.eye(len(w)), atol=1e-4)
    assert not weights["b1"].any()


@pytest.mark.parametrize(("kind", "gates", "kept"), [(nn.LSTM, 4, 2), (nn.GRU, 3, 0)])
def test_each_gate_is_orthogonal_and_the_memory_gate_has_a_bias_of_1_once(
    kind: type[nn.RNNBase], gates: int, kept: int
) -> None:
    model = recurrent(kind)
    name = names(model)
    weights = drawn("orthogonal_memory", model, sequences())
    for gate in np.split(weights[name["recurrent_weight"]][0], gates):
        np.testing.assert_allclose(gate @ gate.T, np.eye(32), atol=1e-4)
    bias = weights[name["bias"]][0]
    assert np.flatnonzero(bias).tolist() == list(range(32 * kept, 32 * (kept + 1)))
    assert bias.max() == 1.0
    plain = drawn("orthogonal", model, sequences())
    assert not plain[name["bias"]].any()
    np.testing.assert_array_equal(plain[name["recurrent_weight"]], weights[name["recurrent_weight"]])


def test_it_says_why_it_does_not_apply() -> None:
    assert "no LSTM or GRU" in refused("orthogonal_memory", mlp(3, "Tanh", xavier()))
    assert "no LSTM or GRU" in refused("orthogonal_memory", recurrent(nn.RNN), sequences())
    assert "orthogonal" in applied("orthogonal", recurrent(nn.RNN), sequences()).words
