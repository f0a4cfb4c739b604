import numpy as np
import pytest
import torch
from torch import nn

from analysis.experiment.replay import draw
from tests.analysis.interventions.builders import composed, drawn, refused
from tests.gallery import Recurrent, export, seeded, sequences


class Both(nn.Module):
    """A plain cell in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.RNN(8, 16, batch_first=True, bidirectional=True), nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0][:, -1])


@pytest.mark.parametrize(("build", "both"), [(lambda: Recurrent(nn.RNN), False), (Both, True)])
def test_cells_are_relu_with_identities_between_the_steps(build: object, both: bool) -> None:
    model = export(seeded(build), torch.zeros(2, 20, 8))  # type: ignore[arg-type]
    recipe, subject = composed("identity_rnn", model, sequences())
    draw(subject, recipe, 0)
    (layer,) = (each for each in subject.layers if each.op == "RNN")
    r = subject.converted.initializers[layer.parameters["recurrent_weight"].initializer].detach().numpy()
    assert r.shape[0] == 1 + both
    for direction in r:
        np.testing.assert_array_equal(direction, np.eye(len(direction), dtype=np.float32))
    inputs, _ = subject.tensors()
    reference = nn.RNN(8, r.shape[-1], nonlinearity="relu", batch_first=True, bidirectional=both)
    with torch.no_grad():
        for name, weight in reference.named_parameters():
            source = subject.converted.initializers[layer.parameters["weight"].initializer]
            weight.zero_()
            if name.startswith("weight_hh"):
                weight.copy_(torch.eye(len(weight)))
            if name.startswith("weight_ih"):
                weight.copy_(source[int("reverse" in name)])
        head = [subject.converted.initializers[each] for each in ("head.weight", "head.bias")]
        expected = nn.functional.linear(reference(inputs[0])[0][:, -1], *head)
        mine = subject.converted.eval()(*inputs)[0]
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4)


def test_weights_that_are_joined_on_their_way_are_drawn_where_torch_keeps_them() -> None:
    model = export(seeded(Both), torch.zeros(2, 20, 8), keep_batch_norm=True)
    weights = drawn("identity_rnn", model, sequences())
    states = [weight for name, weight in weights.items() if "weight_hh_l0" in name]
    assert len(states) == 2
    for state in states:
        np.testing.assert_array_equal(state, np.eye(16, dtype=np.float32))


def test_gated_cells_are_left_alone() -> None:
    model = export(seeded(Recurrent), torch.zeros(2, 20, 8))
    assert "no plain RNN" in refused("identity_rnn", model, sequences())
