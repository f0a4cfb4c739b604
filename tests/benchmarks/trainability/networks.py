"""A configuration as a torch module, written without anything an ONNX exporter stumbles over."""

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import nn

from tests.benchmarks.trainability.configurations import Configuration, Family
from tests.benchmarks.trainability.initializations import initialize
from tests.benchmarks.trainability.tasks import CHANNELS

ACTIVATIONS: Final[dict[str, Callable[[], nn.Module]]] = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "gelu": nn.GELU, "silu": nn.SiLU, "selu": nn.SELU, "elu": nn.ELU,
}  # fmt: skip
CELLS: Final[dict[str, tuple[type[nn.RNNBase], dict[str, str]]]] = {
    "rnn_tanh": (nn.RNN, {"nonlinearity": "tanh"}), "rnn_relu": (nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (nn.LSTM, {}), "gru": (nn.GRU, {}),
}  # fmt: skip
GROUPS: Final = 4
HEADS: Final = 2
EMBEDDING: Final = 16
"""Width of the words that a recurrent network reads."""


def build(configuration: Configuration) -> nn.Module:
    """The network with its first weights; the same ones every time."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(configuration.seed)
        module = BUILDERS[configuration.family](configuration)
        initialize(module, configuration)
    return module


# ------------------------------------------------------------------ feed-forward


class Residual(nn.Module):
    """A branch beside a skip path."""

    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x)


def _mlp(configuration: Configuration) -> nn.Module:
    hidden = configuration.width
    stem = _dense(configuration, configuration.size)
    layers = configuration.depth - 2
    if configuration.residual:
        body = [
            Residual(*_dense(configuration, hidden), nn.Linear(hidden, hidden), *_norm(configuration))
            for _ in range(max(layers // 2, 1))
        ]
    else:
        body = [part for _ in range(layers) for part in _dense(configuration, hidden)]
    return nn.Sequential(*stem, *body, nn.Linear(hidden, configuration.classes))


def _dense(configuration: Configuration, inputs: int) -> list[nn.Module]:
    linear = nn.Linear(inputs, configuration.width)
    return [linear, *_norm(configuration), ACTIVATIONS[configuration.activation]()]


def _cnn(configuration: Configuration) -> nn.Module:
    channels, size = configuration.width, configuration.size
    stem = _convolution(configuration, CHANNELS)
    large, middle, small = (_residual_blocks if configuration.residual else _plain_layers)(configuration)
    body = [*large, nn.AvgPool2d(2), *middle, nn.AvgPool2d(2), *small]
    if configuration.pooling == "average":
        return nn.Sequential(
            *stem, *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, configuration.classes)
        )
    return nn.Sequential(*stem, *body, nn.Flatten(), nn.Linear(channels * (size // 4) ** 2, configuration.classes))


def _plain_layers(configuration: Configuration) -> list[list[nn.Module]]:
    """Three stages of convolutions."""
    return [
        [part for _ in range(count) for part in _convolution(configuration, configuration.width)]
        for count in _thirds(configuration.depth - 2)
    ]


def _residual_blocks(configuration: Configuration) -> list[list[nn.Module]]:
    """Three stages of blocks: two convolutions beside a skip path, then an activation."""
    channels = configuration.width
    activation = ACTIVATIONS[configuration.activation]
    return [
        [
            part
            for _ in range(count)
            for part in (
                Residual(
                    *_convolution(configuration, channels),
                    nn.Conv2d(channels, channels, 3, padding=1),
                    *_norm(configuration),
                ),
                activation(),
            )
        ]
        for count in _thirds((configuration.depth - 2) // 2)
    ]


def _convolution(configuration: Configuration, inputs: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, configuration.width, 3, padding=1)
    return [convolution, *_norm(configuration), ACTIVATIONS[configuration.activation]()]


def _thirds(count: int) -> tuple[int, int, int]:
    return (count + 2) // 3, (count + 1) // 3, count // 3


def _norm(configuration: Configuration) -> list[nn.Module]:
    width, images = configuration.width, configuration.family in {Family.CNN, Family.RESIDUAL_CNN}
    if configuration.normalization == "batch":
        return [nn.BatchNorm2d(width) if images else nn.BatchNorm1d(width)]
    if configuration.normalization == "group":
        return [nn.GroupNorm(GROUPS, width)]
    return [nn.LayerNorm(width)] if configuration.normalization == "layer" else []


# ------------------------------------------------------------------ sequences


class Recurrent(nn.Module):
    """Cells over time and a head that reads the last or the mean state."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        kind, extra = CELLS[configuration.cell]
        self.tokens = nn.Embedding(configuration.size, EMBEDDING) if configuration.tokens else None
        self.cells = kind(
            EMBEDDING if configuration.tokens else configuration.size, configuration.width,
            num_layers=configuration.depth, bidirectional=configuration.bidirectional, batch_first=True, **extra,
        )  # fmt: skip
        self.head = nn.Linear(configuration.width * (1 + configuration.bidirectional), configuration.classes)
        self.readout, self.width, self.bidirectional = (
            configuration.readout, configuration.width, configuration.bidirectional,
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = self.cells(x if self.tokens is None else self.tokens(x))[0]
        return self.head(states.mean(1) if self.readout == "mean" else self.last(states))

    def last(self, states: torch.Tensor) -> torch.Tensor:
        """The state that has seen everything, in each direction."""
        if not self.bidirectional:
            return states[:, -1]
        return torch.cat([states[:, -1, : self.width], states[:, 0, self.width :]], 1)


class Attention(nn.Module):
    """Every position looks at every other, written out."""

    def __init__(self, width: int, temperature: float) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.scale = temperature / math.sqrt(width // HEADS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (self.split(each(x)) for each in (self.query, self.key, self.value))
        attention = torch.softmax(query @ key.transpose(-1, -2) * self.scale, -1)
        return self.out((attention @ value).transpose(1, 2).flatten(2))

    @staticmethod
    def split(x: torch.Tensor) -> torch.Tensor:
        """[N, T, width] as [N, heads, T, width / heads]."""
        batch, steps, width = x.shape
        return x.view(batch, steps, HEADS, width // HEADS).transpose(1, 2)


class Block(nn.Module):
    """Attention and a feed-forward branch, each with or without skip path and norm."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        width = configuration.width
        self.attention = Attention(width, configuration.temperature)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.activation = ACTIVATIONS[configuration.activation]()
        norms = nn.LayerNorm if configuration.normalization != "none" else nn.Identity
        self.norms = nn.ModuleList(norms(width) for _ in range(2))
        self.residual, self.first = configuration.residual, configuration.normalization == "pre"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.join(x, self.attention, self.norms[0])
        return self.join(x, self.feed_forward, self.norms[1])

    def feed_forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.activation(self.up(x)))

    def join(self, x: torch.Tensor, branch: Callable[[torch.Tensor], torch.Tensor], norm: nn.Module) -> torch.Tensor:
        y = branch(norm(x) if self.first else x)
        y = x + y if self.residual else y
        return y if self.first else norm(y)


class Transformer(nn.Module):
    """Word ids or features and learned positions, blocks, and a head on one position or the mean."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        width = configuration.width
        self.is_tokens, self.readout = configuration.tokens, configuration.readout
        self.inputs = (nn.Embedding if configuration.tokens else nn.Linear)(configuration.size, width)
        self.positions = nn.Parameter(torch.randn(configuration.steps, width) * configuration.position_std)
        self.blocks = nn.Sequential(*[Block(configuration) for _ in range(configuration.depth)])
        self.norm = nn.LayerNorm(width) if configuration.normalization == "pre" else nn.Identity()
        self.head = nn.Linear(width, configuration.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = self.norm(self.blocks(self.inputs(x) + self.positions))
        if self.readout == "mean":
            return self.head(states.mean(1))
        return self.head(states[:, 0] if self.readout == "first" else states[:, -1])


BUILDERS: Final[dict[Family, Callable[[Configuration], nn.Module]]] = {
    Family.MLP: _mlp, Family.NORMALIZED_MLP: _mlp, Family.RESIDUAL_MLP: _mlp, Family.CNN: _cnn,
    Family.RESIDUAL_CNN: _cnn, Family.RECURRENT: Recurrent, Family.TRANSFORMER: Transformer,
}  # fmt: skip
