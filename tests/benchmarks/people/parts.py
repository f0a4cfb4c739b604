"""Networks that several cases are made of."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

Activation = Callable[[], nn.Module]


def mlp(sizes: Sequence[int], activation: Activation, *last: nn.Module, norm: Callable[[int], nn.Module] | None = None):
    layers: list[nn.Module] = []
    for place, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(fan_in, fan_out))
        if place < len(sizes) - 2:
            layers += [norm(fan_out)] if norm else []
            layers.append(activation())
    return nn.Sequential(*layers, *last)


def initialise(module: nn.Module, draw: Callable[[torch.Tensor], object], *, biases: float | None = 0.0) -> nn.Module:
    """Weights by `draw`, biases constant."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            draw(parameter)
        elif biases is not None:
            nn.init.constant_(parameter, biases)
    return module


def cnn(channels: int, size: int, classes: int, norm: Callable[[int], nn.Module] | None = None, width: int = 10):
    def block(before: int, after: int) -> list[nn.Module]:
        middle = [norm(after)] if norm else []
        return [nn.Conv2d(before, after, 3, padding=1), *middle, nn.ReLU(), nn.MaxPool2d(2)]

    flat = 2 * width * (size // 4) ** 2
    return nn.Sequential(
        *block(channels, width), *block(width, 2 * width), nn.Flatten(), nn.Linear(flat, 48), nn.ReLU(),
        nn.Linear(48, classes),
    )  # fmt: skip


class PlainConvolutions(nn.Module):
    """`depth` convolutions of one width, pooling over space at the end."""

    def __init__(self, channels: int, width: int, depth: int, classes: int, activation: Activation = nn.ReLU,
                 norm: Callable[[int], nn.Module] | None = None):  # fmt: skip
        super().__init__()
        layers: list[nn.Module] = []
        for place in range(depth):
            layers.append(nn.Conv2d(width if place else channels, width, 3, padding=1))
            layers += [norm(width)] if norm else []
            layers.append(activation())
        self.body, self.head = nn.Sequential(*layers), nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self, cell: nn.Module, hidden: int, classes: int):
        super().__init__()
        self.cell, self.head = cell, nn.Linear(hidden, classes)

    def forward(self, x):
        return self.head(self.cell(x)[0][:, -1])


class Residual(nn.Module):
    """X + scale · body(x); scale is a parameter where a start is given."""

    def __init__(self, body: nn.Module, start: float | None = None):
        super().__init__()
        self.body = body
        self.scale = None if start is None else nn.Parameter(torch.tensor([start]))

    def forward(self, x):
        out = self.body(x)
        return x + (out if self.scale is None else self.scale * out)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int = 4, *, divided: bool = True, causal: bool = False):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.divisor = (width // heads) ** 0.5 if divided else 1.0
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        n, steps, width = x.shape
        q, k, v = (
            part(x).reshape(n, steps, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = q @ k.transpose(-1, -2) / self.divisor
        if self.causal:
            scores = scores + torch.full((steps, steps), -1e4).triu(1)
        mixed = torch.softmax(scores, -1) @ v
        return self.out(mixed.transpose(1, 2).reshape(n, steps, width))


class Layer(nn.Module):
    """A transformer layer, normalised before its branches or behind its sums."""

    def __init__(self, width: int, *, before: bool, activation: Activation = nn.GELU, **attention: bool):
        super().__init__()
        self.attention, self.before = Attention(width, **attention), before
        self.forward_part = nn.Sequential(nn.Linear(width, 4 * width), activation(), nn.Linear(4 * width, width))
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        if self.before:
            x = x + self.attention(self.first(x))
            return x + self.forward_part(self.second(x))
        x = self.first(x + self.attention(x))
        return self.second(x + self.forward_part(x))


class Transformer(nn.Module):
    """Tokens to logits for each place."""

    def __init__(self, vocabulary: int, width: int, length: int, layers: Sequence[nn.Module], *, tied: bool = False):
        super().__init__()
        self.embedding, self.places = nn.Embedding(vocabulary, width), nn.Parameter(0.02 * torch.randn(length, width))
        self.layers, self.norm = nn.Sequential(*layers), nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.norm(self.layers(self.embedding(tokens) + self.places)))


def each_token(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)
