"""Networks that reshape where they should transpose, against the same weights of torch with a permute."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from tests.analysis.fixed_exports import fixed
from tests.analysis.interventions.builders import composed, outputs, refused
from tests.gallery import export, npz, seeded

X = np.random.default_rng(0).standard_normal((24, 7, 5)).astype(np.float32)
Arrange = Callable[[torch.Tensor], torch.Tensor]


class Reader(nn.Module):
    """Counts time first, and is handed samples first."""

    def __init__(self, arrange: Arrange) -> None:
        super().__init__()
        self.arrange = arrange
        self.cells, self.head = nn.GRU(5, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(self.arrange(x))[0][-1])


def viewed(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(x.shape[1], x.shape[0], x.shape[2])


@pytest.mark.parametrize("is_open", [True, False])
def test_a_view_becomes_a_permute(*, is_open: bool) -> None:
    module = seeded(lambda: Reader(viewed))
    model = export(module, torch.from_numpy(X[:4])) if is_open else fixed(module, torch.from_numpy(X))
    right = Reader(lambda x: x.permute(1, 0, 2))
    right.load_state_dict(module.state_dict())
    expected = right(torch.from_numpy(X)).detach()
    torch.testing.assert_close(outputs("transposed", model, npz(x=X)), expected, rtol=1e-4, atol=1e-5)
    recipe, subject = composed("transposed", model, npz(x=X))
    assert recipe.words == "exchange the axes by a transpose to [1, 0, 2] where a reshape (view) was written for it"
    assert not subject.rows.along


@pytest.mark.parametrize(
    ("arrange", "why"),
    [
        (lambda x: x.permute(1, 0, 2), "no Reshape shares samples out"),
        (lambda x: x, "no Reshape shares samples out"),  # an LSTM along the samples
        (lambda x: torch.cat([x, x], 1).reshape(7, 2 * x.shape[0], 5)[:, : x.shape[0]], "in another order"),
    ],
)
def test_other_shapes_stay(arrange: Arrange, why: str) -> None:
    model = export(seeded(lambda: Reader(arrange)), torch.from_numpy(X[:4]))
    assert why in refused("transposed", model, npz(x=X))
