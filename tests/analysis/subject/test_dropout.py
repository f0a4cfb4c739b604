import pytest
import torch
from torch import nn

from analysis.model import check_model
from analysis.subject.dropout import Dropping, dropping_of
from tests.gallery import export, seeded


def test_a_share_is_zero_and_the_rest_scaled_up_so_that_the_mean_stays() -> None:
    (watch,) = Dropping({"v": 0.8}, 0).watchers["v"]
    dropped = watch(torch.full((1000, 100), 3.0))
    assert dropped is not None
    assert float((dropped == 0).float().mean()) == pytest.approx(0.8, abs=0.01)
    assert dropped.unique().tolist() == pytest.approx([0.0, 15.0])
    assert float(dropped.mean()) == pytest.approx(3.0, rel=0.03)


def test_every_pass_drops_other_places_and_a_seed_the_same_again() -> None:
    ones = torch.ones(64)
    (one,), (other,) = (Dropping({"v": 0.5}, 7).watchers["v"] for _ in range(2))
    first, second = one(ones), one(ones)
    assert first is not None
    assert second is not None
    assert not torch.equal(first, second)
    assert torch.equal(first, other(ones))  # type: ignore[arg-type]


def test_gradients_pass_where_values_do() -> None:
    x = torch.ones(64, requires_grad=True)
    (watch,) = Dropping({"v": 0.5}, 0).watchers["v"]
    dropped = watch(x)
    assert dropped is not None
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())  # type: ignore[arg-type]


def test_a_graph_without_dropout_has_nothing_to_drop() -> None:
    model = export(seeded(lambda: nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))), torch.zeros(2, 8))
    assert dropping_of(check_model(model), 0) is None
