"""Networks that take samples for time, against the same weights of torch with `batch_first`."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.analysis.interventions.builders import composed, outputs, refused
from tests.gallery import export, npz, seeded

X = np.random.default_rng(0).standard_normal((24, 7, 5)).astype(np.float32)


class Reader(nn.Module):
    """Handed samples first; read at the last step."""

    def __init__(self, kind: type[nn.RNNBase], **options: object) -> None:
        super().__init__()
        self.cells = kind(5, 6, **options)
        self.head = nn.Linear(6 * (2 if options.get("bidirectional") else 1), 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0][:, -1])


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}])
def test_it_computes_what_batch_first_does(kind: type[nn.RNNBase], options: dict[str, object]) -> None:
    module = seeded(lambda: Reader(kind, **options))
    model = export(module, torch.from_numpy(X[:4]))
    right = Reader(kind, batch_first=True, **options)
    right.load_state_dict(module.state_dict())
    expected = right(torch.from_numpy(X)).detach()
    torch.testing.assert_close(outputs("batch_first", model, npz(x=X)), expected, rtol=1e-4, atol=1e-5)


def test_behind_it_nothing_runs_along_the_samples_any_more() -> None:
    _, subject = composed("batch_first", export(seeded(lambda: Reader(nn.LSTM)), torch.from_numpy(X[:4])), npz(x=X))
    assert not subject.rows.along
    assert subject.rows.cut


def test_what_runs_along_time_already_is_left_alone() -> None:
    model = export(seeded(lambda: Reader(nn.LSTM, batch_first=True)), torch.from_numpy(X[:4]))
    assert "no recurrent layer" in refused("batch_first", model, npz(x=X))


def test_initial_states_that_are_no_zeros_stay_where_they_are() -> None:
    class Started(Reader):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.cells(x, self.start)[0][:, -1])

    module = seeded(lambda: Started(nn.GRU))
    module.start = nn.Parameter(torch.ones(1, 7, 6))
    model = export(module, torch.from_numpy(X[:4]))
    assert "no zeros" in refused("batch_first", model, npz(x=X))
