import numpy as np
import pytest
import torch
from torch import nn

from tests.analysis.experiment.experiments import experiment
from tests.analysis.interventions.builders import applied, composed, drawn, refused
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


def parts(kind: type[nn.RNNBase]) -> bytes:
    """As exporters write it that fold nothing: gates cut apart and put into ONNX's order."""
    return export(seeded(lambda: Recurrent(kind)), torch.zeros(2, 20, 8), keep_batch_norm=True)


@pytest.mark.parametrize("token", ["orthogonal", "orthogonal_memory", "orthogonal_long"])
@pytest.mark.parametrize(("kind", "gates", "kept"), [(nn.LSTM, 4, 1), (nn.GRU, 3, 1), (nn.RNN, 1, None)])
def test_gates_that_are_cut_and_joined_on_their_way_are_drawn_where_torch_keeps_them(
    kind: type[nn.RNNBase], gates: int, kept: int | None, token: str
) -> None:
    """Torch orders the gates of an LSTM i f g o, of a GRU r z n; ONNX i o f c and z r h."""
    model = parts(kind)
    if kept is None and token == "orthogonal_memory":
        assert "no LSTM or GRU" in refused(token, model, sequences())
        return
    weights = drawn(token, model, sequences())
    state = next(name for name in weights if "weight_hh_l0" in name)
    for gate in np.split(weights[state], gates):
        np.testing.assert_allclose(gate @ gate.T, np.eye(32), atol=1e-4)
    enters = weights[state.replace("hh", "ih")]
    quiet = 0.03 if kept is None and token == "orthogonal_long" else 1.0
    np.testing.assert_allclose(enters.std(), quiet * np.sqrt(2 / (8 + 32)), rtol=0.1)
    wanted = {"orthogonal": 0.0, "orthogonal_memory": 1.0, "orthogonal_long": np.log(20)}[token]
    bias = np.split(weights[state.replace("weight_hh", "bias_ih")], gates)
    for place, gate in enumerate(bias):
        np.testing.assert_allclose(gate, wanted if place == kept else 0.0, atol=0.01)


@pytest.mark.parametrize("fold", [True, False])
def test_a_plain_cell_of_relu_becomes_one_of_tanh_where_it_has_to_remember_long(fold: bool) -> None:
    cells = export(
        seeded(lambda: Recurrent(nn.RNN, nonlinearity="relu")), torch.zeros(2, 20, 8), keep_batch_norm=not fold
    )
    recipe, _ = composed("orthogonal_long", cells, sequences())
    (node,) = (node for node in recipe.model.nodes if node.op_type == "RNN")
    assert [list(each.strings) for each in node.attribute if each.name == "activations"] == [[b"Tanh"]]
    assert recipe.words.startswith("use tanh in the recurrent cells")


def test_only_what_data_enters_is_quiet_in_a_stack_of_plain_cells() -> None:
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells, self.head = nn.RNN(8, 32, 2, batch_first=True), nn.Linear(32, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.cells(x)[0][:, -1])

    model = export(seeded(Stack), torch.zeros(2, 20, 8), keep_batch_norm=True)
    weights, plain = (drawn(token, model, sequences()) for token in ("orthogonal_long", "orthogonal"))
    bottom, above = (next(name for name in weights if f"weight_ih_l{layer}" in name) for layer in (0, 1))
    np.testing.assert_allclose(weights[bottom], 0.03 * plain[bottom], rtol=1e-6)
    np.testing.assert_array_equal(weights[above], plain[above])


def test_it_says_why_it_does_not_apply() -> None:
    assert "no LSTM or GRU" in refused("orthogonal_memory", mlp(3, "Tanh", xavier()))
    assert "no LSTM or GRU" in refused("orthogonal_memory", recurrent(nn.RNN), sequences())
    assert "how many steps" in refused("orthogonal_long", mlp(3, "Tanh", xavier()))
    assert "orthogonal" in applied("orthogonal", recurrent(nn.RNN), sequences()).words
