"""The parts that papers are known for, small."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.people import data
from tests.benchmarks.people.draw import Patient
from tests.benchmarks.people.parts import Attention, Residual

Norm = Callable[[int], nn.Module] | None


class Siren(nn.Module):
    """Sines, the first of frequency 30 (Sitzmann 2020, section 3.2)."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(1, width)] + [nn.Linear(width, width) for _ in range(hidden)])
        self.head = nn.Linear(width, 1)
        nn.init.uniform_(self.layers[0].weight, -1, 1)
        for layer in [*self.layers[1:], self.head]:
            limit = (6 / width) ** 0.5 / 30
            nn.init.uniform_(layer.weight, -limit, limit)

    def forward(self, x):
        for layer in self.layers:
            x = torch.sin(30 * layer(x))
        return self.head(x)


class Highway(nn.Module):
    """Carries at the start: transform bias -2."""

    def __init__(self, width: int):
        super().__init__()
        self.transform, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -2.0)

    def forward(self, x):
        open_by = torch.sigmoid(self.gate(x))
        return open_by * torch.tanh(self.transform(x)) + (1 - open_by) * x


class Pooled(nn.Module):
    """Stem, body, mean over space, head."""

    def __init__(self, stem: nn.Module, body: nn.Module, width: int, classes: int):
        super().__init__()
        self.stem, self.body, self.head = stem, body, nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean((2, 3)))


def convolution(before: int, after: int, size: int = 3, groups: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(before, after, size, padding=size // 2, groups=groups)
    nn.init.kaiming_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def residual_network(width: int, blocks: int, classes: int, *, norm: Norm, start: float | None = None) -> nn.Module:
    def normed() -> list[nn.Module]:
        return [norm(width)] if norm else []

    def block() -> nn.Module:
        first, second = convolution(width, width), convolution(width, width)
        return Residual(nn.Sequential(*normed(), nn.ReLU(), first, *normed(), nn.ReLU(), second), start)

    return Pooled(convolution(3, width), nn.Sequential(*[block() for _ in range(blocks)]), width, classes)


def fixup(width: int, blocks: int, classes: int) -> nn.Module:
    """First of each block scaled by blocks^-1/2, second and head zero, a scale of one behind."""

    def block() -> nn.Module:
        first, second = convolution(width, width), convolution(width, width)
        nn.init.zeros_(second.weight)
        with torch.no_grad():
            first.weight *= blocks**-0.5
        return nn.Sequential(Residual(nn.Sequential(first, nn.ReLU(), second), 1.0), nn.ReLU())

    module = Pooled(convolution(3, width), nn.Sequential(*[block() for _ in range(blocks)]), width, classes)
    nn.init.zeros_(module.head.weight)
    nn.init.zeros_(module.head.bias)
    return module


class DenseNet(nn.Module):
    def __init__(self, growth: int, layers: int, classes: int):
        super().__init__()
        self.stem = convolution(3, growth)
        self.norms = nn.ModuleList([nn.BatchNorm2d(growth * (place + 1)) for place in range(layers)])
        self.layers = nn.ModuleList([convolution(growth * (place + 1), growth) for place in range(layers)])
        self.head = nn.Linear(growth * (layers + 1), classes)

    def forward(self, x):
        seen = self.stem(x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            seen = torch.cat([seen, layer(functional.relu(norm(seen)))], 1)
        return self.head(functional.relu(seen).mean((2, 3)))


def mobilenet(width: int, blocks: int, classes: int) -> nn.Module:
    def block() -> list[nn.Module]:
        return [
            convolution(width, width, groups=width), nn.BatchNorm2d(width), nn.ReLU6(),
            convolution(width, width, 1), nn.BatchNorm2d(width), nn.ReLU6(),
        ]  # fmt: skip

    return Pooled(
        convolution(3, width), nn.Sequential(*(part for _ in range(blocks) for part in block())), width, classes
    )


class Standardised(nn.Conv2d):
    """Weights standardised by filter, with a gain (Brock 2021)."""

    def __init__(self, width: int):
        super().__init__(width, width, 3, padding=1)
        self.gain = nn.Parameter(torch.ones(width, 1, 1, 1))

    def forward(self, x):
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        variance = (self.weight - mean).square().mean((1, 2, 3), keepdim=True)
        scale = torch.rsqrt(variance * self.weight[0].numel() + 1e-4) * self.gain
        return functional.conv2d(x, (self.weight - mean) * scale, self.bias, padding=1)


class NormFreeBlock(nn.Module):
    """X + .2 · f(x / beta), with the ReLU's gain of 1.71."""

    def __init__(self, width: int, beta: float):
        super().__init__()
        self.first, self.second, self.beta = Standardised(width), Standardised(width), beta

    def forward(self, x):
        seen = self.first(1.71 * functional.relu(x / self.beta))
        return x + 0.2 * self.second(1.71 * functional.relu(seen))


def norm_free(width: int, blocks: int, classes: int) -> nn.Module:
    body = [NormFreeBlock(width, (1 + 0.04 * place) ** 0.5) for place in range(blocks)]
    return Pooled(convolution(3, width), nn.Sequential(*body), width, classes)


class ConvNeXtBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(width, width, 7, padding=3, groups=width), nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(1e-6 * torch.ones(width))

    def forward(self, x):
        seen = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.narrow(functional.gelu(self.wide(seen)))).permute(0, 3, 1, 2)


def convnext(width: int, blocks: int, classes: int) -> nn.Module:
    return Pooled(nn.Conv2d(3, width, 2, 2), nn.Sequential(*[ConvNeXtBlock(width) for _ in range(blocks)]), width,
                  classes)  # fmt: skip


class ScaledLayer(nn.Module):
    """A pre-norm transformer layer whose branches end in a small scale for each channel (Touvron 2021)."""

    def __init__(self, width: int, start: float):
        super().__init__()
        self.attention, self.first, self.second = Attention(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.wide = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.scales = nn.ParameterList([nn.Parameter(start * torch.ones(width)) for _ in range(2)])

    def forward(self, x):
        x = x + self.scales[0] * self.attention(self.first(x))
        return x + self.scales[1] * self.wide(self.second(x))


class WaveNet(nn.Module):
    """Gated convolutions of doubling reach, skips summed (van den Oord 2016)."""

    def __init__(self, channels: int, width: int, layers: int, classes: int):
        super().__init__()
        self.stem = nn.Conv1d(channels, width, 1)
        self.gates = nn.ModuleList([nn.Conv1d(width, 2 * width, 2, dilation=2**place) for place in range(layers)])
        self.mixes = nn.ModuleList([nn.Conv1d(width, width, 1) for _ in range(layers)])
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(width, width, 1), nn.ReLU(), nn.Conv1d(width, classes, 1))

    def forward(self, x):
        seen, skips = self.stem(x), 0.0
        for place, (gate, mix) in enumerate(zip(self.gates, self.mixes, strict=True)):
            signal, opening = gate(functional.pad(seen, (2**place, 0))).chunk(2, 1)
            added = mix(torch.tanh(signal) * torch.sigmoid(opening))
            seen, skips = seen + added, skips + added
        return self.head(skips).mean(2)


class UNet(nn.Module):
    def __init__(self, channels: int, width: int, classes: int):
        super().__init__()
        self.down = nn.ModuleList([convolution(channels, width), convolution(width, 2 * width)])
        self.middle, self.up = convolution(2 * width, 2 * width), convolution(4 * width, width)
        self.last, self.head = convolution(2 * width, width), nn.Conv2d(width, classes, 1)

    def forward(self, x):
        first = functional.relu(self.down[0](x))
        second = functional.relu(self.down[1](functional.max_pool2d(first, 2)))
        middle = functional.interpolate(
            functional.relu(self.middle(functional.max_pool2d(second, 2))), scale_factor=2.0
        )
        wide = functional.interpolate(functional.relu(self.up(torch.cat([middle, second], 1))), scale_factor=2.0)
        return self.head(functional.relu(self.last(torch.cat([wide, first], 1))))


class GraphNetwork(nn.Module):
    """Relu(A x W) again and again: `adjacency` is normalised and fixed (Kipf and Welling 2017)."""

    def __init__(self, adjacency: torch.Tensor, width: int, hidden: int, layers: int, classes: int):
        super().__init__()
        self.register_buffer("adjacency", adjacency)
        sizes = [width] + [hidden] * layers
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(sizes)])
        self.head = nn.Linear(hidden, classes)
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, x):
        for layer in self.layers:
            x = functional.relu(self.adjacency @ layer(x))
        return self.head(x)


def deep_graph_network(layers: int, seed: int) -> Patient:
    """Two communities of ten; each sample is a signal on all nodes, each node has a class."""
    random = np.random.default_rng(seed)
    community = np.arange(20) % 2
    joined = random.uniform(size=(20, 20)) < np.where(community[:, None] == community, 0.6, 0.15)
    edges = np.triu(joined, 1).astype(float)
    edges = edges + edges.T + np.eye(20)
    scale = edges.sum(1) ** -0.5
    adjacency = torch.tensor(data.f32(edges * scale[:, None] * scale))
    x = random.standard_normal((256, 20, 6))
    y = (x[:, :, 0] + x[:, :, 1] > 0).astype(np.int64)
    module = GraphNetwork(adjacency, 6, 24, layers, 2)
    return Patient(
        module, {"x": data.f32(x)}, y, lambda out, labels: functional.cross_entropy(out.flatten(0, 1), labels.flatten())
    )
