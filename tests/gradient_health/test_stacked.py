"""Recurrent layers run one after the other, against torch's own call."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from gradient_health.stacked import apart

KINDS = [
    (nn.LSTM, {}),
    (nn.GRU, {"bidirectional": True, "batch_first": True}),
    (nn.RNN, {"nonlinearity": "relu", "bias": False}),
    (nn.RNN, {}),
    (nn.LSTM, {"proj_size": 3}),
]
X = torch.randn(5, 7, 6, generator=torch.Generator().manual_seed(0))


def made(kind: type[nn.RNNBase], how: dict[str, Any], dropout: float) -> nn.RNNBase:
    torch.manual_seed(0)
    return kind(6, 8, num_layers=3, dropout=dropout, **how)


def flat(found: Any) -> list[torch.Tensor]:
    return [found] if isinstance(found, torch.Tensor) else [each for part in found for each in flat(part)]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(("kind", "how"), KINDS)
@pytest.mark.parametrize("given", [False, True])
def test_without_chance_it_computes_the_same(kind: type[nn.RNNBase], how: dict[str, Any], given: bool) -> None:
    part = made(kind, how, 0.5).eval()
    states = part(X)[1]
    arguments = (X, states) if given else (X,)
    expected = flat(part(*arguments))
    with apart(part):
        found = flat(part(*arguments))
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_in_training_what_passes_from_layer_to_layer_is_dropped_and_nothing_else() -> None:
    """All of it: then the second layer hears nothing, as the whole call has it too."""
    part = made(nn.GRU, {}, 1.0)
    expected = part(X)[0]
    with apart(part):
        found = part(X)[0]
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, part.eval()(X)[0])


def test_afterwards_everything_is_as_before() -> None:
    module = nn.ModuleDict({"a": made(nn.GRU, {}, 0.5), "b": nn.GRU(6, 8, num_layers=2), "c": nn.GRU(6, 8)})
    module["b"].forward = own = lambda x: x
    with apart(module):
        assert "forward" in vars(module["a"])
        assert "forward" not in vars(module["c"])
    assert "forward" not in vars(module["a"])
    assert module["b"].forward is own


def test_what_is_packed_or_has_no_batch_goes_the_usual_way() -> None:
    part = made(nn.LSTM, {}, 0.5).eval()
    packed = pack_sequence([X[:4, 0], X[:2, 1]])
    expected = part(packed)[0].data, part(X[:, 0])[0]
    with apart(part):
        torch.testing.assert_close(part(packed)[0].data, expected[0])
        torch.testing.assert_close(part(X[:, 0])[0], expected[1])
