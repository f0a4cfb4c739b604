import torch
from torch import nn

from analysis.graph.sources import find_sources
from analysis.graph.unrolled import Unrolled, find_unrolled
from analysis.model import check_model
from tests.gallery import export, seeded


class Elman(nn.Module):
    """Steps of a plain cell; `sharing`: the same weight along the depth, with nothing that enters."""

    def __init__(self, steps: int, sharing: bool = False) -> None:
        super().__init__()
        self.enter, self.state, self.steps, self.sharing = nn.Linear(3, 6), nn.Linear(6, 6), steps, sharing

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.enter(x[:, 0])
        for step in range(self.steps):
            h = torch.tanh(self.state(h) + (0 if self.sharing else self.enter(x[:, step])))
        return h


def found(module: nn.Module, steps: int = 8) -> Unrolled | None:
    model = check_model(export(module, torch.zeros(2, steps, 3)))
    return find_unrolled(model, find_sources(model))


def test_a_weight_read_along_a_chain_beside_one_read_as_often_is_a_cell() -> None:
    class FromZero(Elman):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.zeros_like(x[:, 0, :1]).expand(-1, 6)
            for step in range(self.steps):
                h = torch.tanh(self.state(h) + self.enter(x[:, step]))
            return h

    cell = found(seeded(lambda: FromZero(8)))
    assert cell is not None
    assert len(cell.states) == len(cell.entering) == 7
    assert len(set(cell.states)) == len(set(cell.entering)) == 7
    assert found(seeded(lambda: FromZero(3))) is None


def test_one_weight_along_the_depth_with_nothing_that_enters_is_none() -> None:
    assert found(seeded(lambda: Elman(8, sharing=True))) is None


def test_one_weight_on_several_inputs_without_a_chain_is_none() -> None:
    class Shared(Elman):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([torch.tanh(self.state(self.enter(x[:, step]))) for step in range(8)]).sum(0)

    assert found(seeded(lambda: Shared(8))) is None
