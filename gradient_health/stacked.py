"""Recurrent layers of several layers with Dropout between them, run one layer after the other.

torch runs them in one call, Dropout and all, which no exporter writes down in training mode. Inside `apart` each is as
many calls with a Dropout of its own in between, on the same parameters: the same network, which can be written.

    GRU(24, 32, num_layers=2, dropout=0.2)      GRU layer 0 -> Dropout(0.2) -> GRU layer 1
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

CALLS: Final[Mapping[str, Callable[..., Any]]] = {
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN_TANH": torch.rnn_tanh,
    "RNN_RELU": torch.rnn_relu,
}


@contextmanager
def apart(module: nn.Module) -> Iterator[None]:
    """Inside, the layers of each such part are calls of their own."""
    stacked = [
        each for each in module.modules() if isinstance(each, nn.RNNBase) and each.num_layers > 1 and each.dropout
    ]
    own = {part: vars(part).get("forward") for part in stacked}
    for part in stacked:
        part.forward = _layer_by_layer(part, part.forward)
    try:
        yield
    finally:
        for part, forward in own.items():
            if forward is None:
                del part.forward
            else:
                part.forward = forward


def _layer_by_layer(part: nn.RNNBase, whole: Callable[..., Any]) -> Callable[..., Any]:
    directions = 2 if part.bidirectional else 1

    def forward(x: Any, hx: Any = None) -> Any:
        if not isinstance(x, Tensor) or x.ndim != 3 or part.proj_size:
            return whole(x, hx)
        states = _states(part, x, hx)
        ends: list[tuple[Tensor, ...]] = []
        for layer in range(part.num_layers):
            mine = slice(layer * directions, (layer + 1) * directions)
            weights = [weight for each in part.all_weights[mine] for weight in each]
            given = tuple(each[mine] for each in states)
            how = (weights, part.bias, 1, 0.0, part.training, part.bidirectional, part.batch_first)
            x, *end = CALLS[part.mode](x, given if part.mode == "LSTM" else given[0], *how)
            ends.append(tuple(end))
            if layer < part.num_layers - 1:
                x = F.dropout(x, part.dropout, part.training)
        joined = tuple(torch.cat(each) for each in zip(*ends, strict=True))
        return x, joined if part.mode == "LSTM" else joined[0]

    return forward


def _states(part: nn.RNNBase, x: Tensor, hx: Any) -> tuple[Tensor, ...]:
    """The initial ones, all layers together; zeros where none are given."""
    if hx is not None:
        return tuple(hx) if part.mode == "LSTM" else (hx,)
    samples = x.shape[0 if part.batch_first else 1]
    zeros = x.new_zeros(part.num_layers * (2 if part.bidirectional else 1), samples, part.hidden_size)
    return (zeros, zeros) if part.mode == "LSTM" else (zeros,)
