"""Repaired modules against the repaired ONNX models, run by onnxruntime with the weights that are in them."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from analysis.errors import Unsupported
from gradient_health.repair import shared_copy
from tests.gradient_health.repairs import Functional, X, by_onnxruntime, repair_of
from tests.gradient_health.small_modules import Memory, chain, first_step_tells

PICTURES = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Pictures(nn.Module):
    """Convolutions under names of their own, one activation under two names, a BatchNorm, a Dropout."""

    def __init__(self, normalized: bool = False) -> None:
        """With torch's own initialisation."""
        super().__init__()
        torch.manual_seed(0)
        self.act = nn.Tanh()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), self.act, nn.Conv2d(8, 8, 3, padding=1))
        self.norm = nn.BatchNorm2d(8) if normalized else nn.Identity()
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(512, 12), nn.Sigmoid(), nn.Linear(12, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.norm(self.body(x))))


class Sentences(nn.Module):
    """A linear layer on [N, T, C], whose bias the exporter adds apart, and an LSTM."""

    def __init__(self) -> None:
        """With torch's own initialisation."""
        super().__init__()
        torch.manual_seed(0)
        self.enter, self.bend = nn.Linear(16, 8), nn.Sigmoid()
        self.reader, self.head = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.reader(self.bend(self.enter(x)))[0][:, -1])


class Twice(nn.Module):
    """A layer that is called twice."""

    def __init__(self) -> None:
        """With torch's own initialisation."""
        super().__init__()
        self.layer, self.bend, self.head = nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bend(self.layer(self.bend(self.layer(x)))))


def kinds(module: nn.Module) -> list[str]:
    return [type(part).__name__ for part in module.modules() if not list(part.children())]


@pytest.mark.parametrize(
    "variant",
    ["relu+he", "leaky_relu+xavier", "elu", "selu", "gelu+lsuv", "silu+orthogonal", "relu+batch_norm+he",
     "layer_norm+he", "batch_norm"],
)  # fmt: skip
def test_a_plain_network_computes_what_its_repaired_export_does(variant: str, tmp_path: Path) -> None:
    module = chain(3, nn.Sigmoid)
    with repair_of(module, X, variant, tmp_path) as repair:
        found = repair.repaired(module)
    torch.testing.assert_close(found.eval()(X), by_onnxruntime(repair.model, X), rtol=1e-4, atol=1e-5)
    assert kinds(module) == ["Linear", "Sigmoid"] * 3 + ["Linear"]


@pytest.mark.parametrize("variant", ["relu+batch_norm+he", "relu+group_norm+he", "gelu+he"])
def test_images_a_shared_activation_and_layers_at_any_depth(variant: str, tmp_path: Path) -> None:
    module = Pictures()
    with repair_of(module, PICTURES, variant, tmp_path) as repair:
        found = repair.repaired(module)
    expected = by_onnxruntime(repair.model, PICTURES)
    torch.testing.assert_close(found.eval()(PICTURES), expected, rtol=1e-4, atol=1e-5)
    assert found.act is found.body[1]
    assert not {"Tanh", "Sigmoid"} & set(kinds(found))


def test_batch_norm_is_as_it_trains_and_may_be_taken_out(tmp_path: Path) -> None:
    module = Pictures(normalized=True)
    with repair_of(module, PICTURES, "relu+he", tmp_path) as repair:
        found = repair.repaired(module)
    assert found.training
    torch.testing.assert_close(found(PICTURES), by_onnxruntime(repair.model, PICTURES), rtol=1e-4, atol=1e-5)
    with repair_of(module, PICTURES, "no_batch_norm+he", tmp_path) as repair:
        without = repair.repaired(module)
    assert isinstance(without.norm, nn.Identity)
    torch.testing.assert_close(without(PICTURES), by_onnxruntime(repair.model, PICTURES), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", ["relu+layer_norm+he", "orthogonal", "orthogonal_memory"])
def test_sequences(variant: str, tmp_path: Path) -> None:
    module, x = Sentences(), torch.randn(32, 5, 16, generator=torch.Generator().manual_seed(0))
    with repair_of(module, x, variant, tmp_path) as repair:
        found = repair.repaired(module)
    torch.testing.assert_close(found.eval()(x), by_onnxruntime(repair.model, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "how", "variant"),
    [
        (nn.LSTM, {}, "orthogonal_memory"),
        (nn.LSTM, {"num_layers": 2, "bidirectional": True}, "orthogonal_long"),
        (nn.LSTM, {"bias": False}, "orthogonal"),
        (nn.GRU, {"num_layers": 2, "bidirectional": True}, "orthogonal_memory"),
        (nn.GRU, {"batch_first": False}, "batch_first+orthogonal_long"),
        (nn.RNN, {"num_layers": 2, "bidirectional": True}, "identity_rnn"),
        (nn.RNN, {"nonlinearity": "relu"}, "orthogonal_long"),
        (nn.RNN, {}, "xavier"),
    ],
)
def test_recurrent_layers(kind: type[nn.RNNBase], how: dict[str, Any], variant: str, tmp_path: Path) -> None:
    module, (x, _) = Memory(kind, **how), first_step_tells(10, 0)
    with repair_of(module, x, variant, tmp_path) as repair:
        found = repair.repaired(module)
    torch.testing.assert_close(found.eval()(x), by_onnxruntime(repair.model, x), rtol=1e-4, atol=1e-5)
    assert repr(module) == repr(Memory(kind, **how))


@pytest.mark.parametrize(
    ("kind", "how", "variant", "steps", "rate"),
    [
        (nn.LSTM, {}, "orthogonal_long", 40, 1e-2),
        (nn.GRU, {}, "orthogonal_long", 40, 1e-2),
        (nn.GRU, {"batch_first": False}, "batch_first+orthogonal_long", 20, 1e-2),
        (nn.RNN, {}, "orthogonal_long", 40, 3e-3),
        (nn.RNN, {"nonlinearity": "relu"}, "orthogonal_long", 40, 1e-2),
        (nn.RNN, {}, "identity_rnn", 40, 3e-3),
    ],
)
def test_a_repaired_recurrent_network_learns_what_it_did_not_before(
    kind: type[nn.RNNBase], how: dict[str, Any], variant: str, steps: int, rate: float, tmp_path: Path
) -> None:
    """On fresh sequences, over chance (log 4)."""
    module = Memory(kind, **how)
    with repair_of(module, first_step_tells(steps, 0)[0], variant, tmp_path) as repair:
        found = repair.repaired(module)
    assert loss_after_training(found, steps, rate) < 0.5
    assert loss_after_training(module, steps, rate) > 0.85


def loss_after_training(module: nn.Module, steps: int, rate: float) -> float:
    """Of the last ten batches."""
    optimizer, losses = torch.optim.Adam(module.train().parameters(), rate), list[float]()
    for seed in range(1, 101):
        x, target = first_step_tells(steps, seed)
        loss = nn.functional.cross_entropy(module(x), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item() / math.log(4))
    return sum(losses[-10:]) / 10


def test_dropout_between_recurrent_layers_is_weakened_where_it_is_said(tmp_path: Path) -> None:
    module, (x, _) = Memory(nn.GRU, num_layers=2, dropout=0.4), first_step_tells(10, 0)
    with repair_of(module, x, "weak_dropout+orthogonal", tmp_path) as repair:
        found = repair.repaired(module)
    assert (found.get_submodule("reader").dropout, module.reader.dropout) == (0.1, 0.4)


class StatesOfItsOwn(nn.Module):
    """Initial states whose number follows the axis that the layer takes for the samples."""

    def __init__(self) -> None:
        """With torch's own initialisation."""
        super().__init__()
        self.reader, self.head = nn.GRU(8, 24), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.reader(x, x.new_zeros(1, x.shape[1], 24))[0][:, -1])


def test_a_state_that_forward_makes_for_the_wrong_axis_is_told(tmp_path: Path) -> None:
    module, (x, _) = StatesOfItsOwn(), first_step_tells(10, 0)
    with repair_of(module, x, "batch_first", tmp_path) as repair, pytest.raises(Unsupported, match="does not run"):
        repair.repaired(module)


def test_the_copy_is_on_its_own_and_as_the_module_was(tmp_path: Path) -> None:
    module = chain(2, nn.Sigmoid).eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with repair_of(module, X, "relu+batch_norm+he", tmp_path) as repair:
        found = repair.repaired(module)
    assert not any(part.training for part in found.modules())
    with torch.no_grad():
        for each in found.parameters():
            each.add_(1.0)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("variant", "x", "module", "reason"),
    [
        ("relu+he", X, Functional(), "Sigmoid is called in forward of the module"),
        ("residual+he", X, chain(4, nn.Tanh), r"x = x \+ block\(x\)"),
        ("standardized", X * 9 + 5, chain(4, nn.Tanh), "standardise the inputs"),
        ("batch_norm", X, Twice(), "layer is called 2 times"),
    ],
)
def test_what_lives_in_forward_is_refused_with_the_reason(
    variant: str, x: Tensor, module: nn.Module, reason: str, tmp_path: Path
) -> None:
    with repair_of(module, x, variant, tmp_path) as repair, pytest.raises(Unsupported, match=reason):
        repair.repaired(module)


def test_weights_alone_are_set_whatever_forward_does(tmp_path: Path) -> None:
    module = Functional()
    with repair_of(module, X, "xavier", tmp_path) as repair:
        found = repair.repaired(module)
    torch.testing.assert_close(found.eval()(X), by_onnxruntime(repair.model, X), rtol=1e-4, atol=1e-5)


class Peeking(nn.Module):
    """Reads the weights of a layer beside calling it."""

    def __init__(self) -> None:
        """With torch's own initialisation."""
        super().__init__()
        self.first, self.act, self.last = nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.first(x))) + self.first.weight.mean()


def test_a_copy_that_computes_something_else_or_does_not_run_is_not_handed_out(tmp_path: Path) -> None:
    module = chain(2, nn.Sigmoid)
    with repair_of(module, X, "relu+he", tmp_path) as repair:
        places = {value: place for value, place in repair.places.items() if not place.path.startswith("3")}
        with pytest.raises(Unsupported, match="computes something else"):
            replace(repair, places=places).repaired(module)
    said = pytest.raises(Unsupported, match="does not run: AttributeError")
    with repair_of(Peeking(), X, "batch_norm+he", tmp_path) as repair, said:
        repair.repaired(Peeking())


def test_a_copy_to_exchange_parts_of_shares_its_tensors() -> None:
    module = chain(1, nn.Tanh)
    copied = shared_copy(module)
    assert copied is not module
    assert copied[0].weight is module[0].weight
