"""More parts that papers are known for, small."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.people.parts import Attention, Residual


class Sines(nn.Module):
    """Sin(frequency · Wx): SIREN as it is copied without its initialisation (Sitzmann 2020)."""

    def __init__(self, width: int, hidden: int, frequency: float, inner: float):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(1, width)] + [nn.Linear(width, width) for _ in range(hidden)])
        self.head, self.frequency = nn.Linear(width, 1), frequency
        for layer in self.layers[1:]:
            nn.init.uniform_(layer.weight, -inner, inner)

    def forward(self, x):
        for layer in self.layers:
            x = torch.sin(self.frequency * layer(x))
        return self.head(x)


class Transforms(nn.Module):
    """A highway whose gates start open for the transform (Srivastava 2015, section 2.2 the other way round)."""

    def __init__(self, width: int, bias: float):
        super().__init__()
        self.transform, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, bias)

    def forward(self, x):
        gate = torch.sigmoid(self.gate(x))
        return gate * torch.tanh(self.transform(x)) + (1 - gate) * x


class LooksLinear(nn.Module):
    """Concatenated ReLU and mirrored orthogonal weights: linear at the start (Balduzzi 2017, section 4)."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.layer = nn.Linear(2 * before, after)
        half = nn.init.orthogonal_(torch.empty(after, before))
        with torch.no_grad():
            self.layer.weight.copy_(torch.cat([half, -half], 1))
            self.layer.bias.zero_()

    def forward(self, x):
        return self.layer(torch.cat([functional.relu(x), functional.relu(-x)], 1))


class WeightNorm(nn.Module):
    """Gain · v / |v| (Salimans and Kingma 2016), gains of `gain`."""

    def __init__(self, before: int, after: int, gain: float):
        super().__init__()
        self.direction = nn.Parameter(0.05 * torch.randn(after, before))
        self.gain, self.bias = nn.Parameter(torch.full((after, 1), gain)), nn.Parameter(torch.zeros(after))

    def forward(self, x):
        length = self.direction.square().sum(1, keepdim=True).sqrt()
        return functional.linear(x, self.gain * self.direction / length, self.bias)


class Mixer(nn.Module):
    """MLPs over places and over channels in turn (Tolstikhin 2021)."""

    def __init__(self, places: int, width: int):
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.places = nn.Sequential(nn.Linear(places, 2 * places), nn.GELU(), nn.Linear(2 * places, places))
        self.channels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = x + self.places(self.first(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.second(x))


class SpatialGate(nn.Module):
    """GMLP: half gates half, the gate's weights start near zero and its biases at one (Liu 2021)."""

    def __init__(self, places: int, width: int):
        super().__init__()
        self.norm, self.wide, self.narrow = (
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.Linear(2 * width, width),
        )
        self.inner, self.mix = nn.LayerNorm(2 * width), nn.Linear(places, places)
        nn.init.uniform_(self.mix.weight, -1e-4, 1e-4)
        nn.init.ones_(self.mix.bias)

    def forward(self, x):
        kept, gate = functional.gelu(self.wide(self.norm(x))).chunk(2, 2)
        gate = self.mix(self.inner(gate).transpose(1, 2)).transpose(1, 2)
        return x + self.narrow(kept * gate)


class DeepNorm(nn.Module):
    """Norms behind sums, skips scaled up and branches drawn smaller (Wang 2022, figure 2)."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.alpha, beta = (2 * layers) ** 0.25, (8 * layers) ** -0.25
        self.attention = Attention(width)
        self.wide = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        for layer in (self.attention.value, self.attention.out, self.wide[0], self.wide[2]):
            nn.init.xavier_normal_(layer.weight, beta)
        for layer in (self.attention.query, self.attention.key):
            nn.init.xavier_normal_(layer.weight)

    def forward(self, x):
        x = self.first(self.alpha * x + self.attention(x))
        return self.second(self.alpha * x + self.wide(x))


class Llama(nn.Module):
    """RMSNorm before, SwiGLU (Touvron 2023)."""

    def __init__(self, width: int):
        super().__init__()
        self.attention, self.out = Attention(width, causal=True), nn.Linear(2 * width, width, bias=False)
        self.gate, self.up = (nn.Linear(width, 2 * width, bias=False) for _ in range(2))
        self.gains = nn.ParameterList([nn.Parameter(torch.ones(width)) for _ in range(2)])

    def forward(self, x):
        x = x + self.attention(self._norm(x, self.gains[0]))
        seen = self._norm(x, self.gains[1])
        return x + self.out(functional.silu(self.gate(seen)) * self.up(seen))

    @staticmethod
    def _norm(x, gain):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * gain


class SqueezeExcite(nn.Module):
    """Channels gated by their means over space (Hu 2018)."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
                                  nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))  # fmt: skip
        self.gate = nn.Sequential(nn.Linear(width, width // 4), nn.ReLU(), nn.Linear(width // 4, width), nn.Sigmoid())

    def forward(self, x):
        seen = self.body(x)
        return functional.relu(x + seen * self.gate(seen.mean((2, 3)))[:, :, None, None])


class ResNetOne(nn.Module):
    """ReLU behind the sum (He 2015): the first ResNet."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
                                  nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))  # fmt: skip

    def forward(self, x):
        return functional.relu(x + self.body(x))


class Euler(nn.Module):
    """One field, stepped along again and again (Chen 2018)."""

    def __init__(self, width: int, steps: int):
        super().__init__()
        self.field, self.steps = nn.Sequential(nn.Linear(width, 48), nn.Tanh(), nn.Linear(48, width)), steps

    def forward(self, x):
        for _ in range(self.steps):
            x = x + self.field(x) / self.steps
        return x


class Temporal(nn.Module):
    """Causal dilated convolutions with skips (Bai 2018)."""

    def __init__(self, channels: int, width: int, layers: int, classes: int):
        super().__init__()
        self.stem, self.head = nn.Conv1d(channels, width, 1), nn.Linear(width, classes)
        self.layers = nn.ModuleList([nn.Conv1d(width, width, 3, dilation=2**place) for place in range(layers)])

    def forward(self, x):
        seen = self.stem(x)
        for place, layer in enumerate(self.layers):
            seen = functional.relu(seen + functional.relu(layer(functional.pad(seen, (2 * 2**place, 0)))))
        return self.head(seen[:, :, -1])


class Capsules(nn.Module):
    """Votes squashed to under one, routed thrice; lengths are probabilities (Sabour 2017)."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.parts, self.votes = nn.Linear(width, 64), nn.Parameter(0.1 * torch.randn(8, classes, 8, 6))

    def forward(self, x):
        parts = self._squash(self.parts(x).reshape(-1, 8, 8))
        votes = torch.einsum("npd,pcdo->npco", parts, self.votes)
        logits = torch.zeros_like(votes[..., 0])
        for _ in range(3):
            out = self._squash((torch.softmax(logits, 2)[..., None] * votes).sum(1))
            logits = logits + (votes * out[:, None]).sum(3)
        return (out.square().sum(2) + 1e-7).sqrt()

    @staticmethod
    def _squash(x):
        square = x.square().sum(-1, keepdim=True)
        return x * square / (1 + square) / (square + 1e-7).sqrt()


class HyperNetwork(nn.Module):
    """The middle layer's weights are another network's outputs (Chang 2020), drawn with `gain`."""

    def __init__(self, width: int, hidden: int, classes: int, gain: float):
        super().__init__()
        self.first, self.head = nn.Linear(width, hidden), nn.Linear(hidden, classes)
        self.code, self.hidden = nn.Parameter(torch.randn(16)), hidden
        self.makes = nn.ModuleList([nn.Linear(16, hidden * hidden) for _ in range(3)])
        for layer in self.makes:
            nn.init.normal_(layer.weight, 0, gain / 4)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        x = functional.relu(self.first(x))
        for layer in self.makes:
            x = functional.relu(x @ layer(self.code).reshape(self.hidden, self.hidden))
        return self.head(x)


class Experts(nn.Module):
    """Softly chosen experts (Shazeer 2017)."""

    def __init__(self, width: int, experts: int, classes: int):
        super().__init__()
        self.choice = nn.Linear(width, experts)
        self.experts = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, 24), nn.ReLU(), nn.Linear(24, classes)) for _ in range(experts)]
        )

    def forward(self, x):
        said = torch.stack([expert(x) for expert in self.experts], 1)
        return (torch.softmax(self.choice(x), 1)[:, :, None] * said).sum(1)


class Fourier(nn.Module):
    """Sines and cosines of fixed random frequencies, then ReLU layers (Tancik 2020); without them: `scale` 0."""

    def __init__(self, width: int, scale: float):
        super().__init__()
        self.register_buffer("frequencies", scale * torch.randn(1, 32))
        sizes = [64 if scale else 1, width, width, width, 1]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.body = nn.Sequential(*layers[:-1])

    def forward(self, x):
        if self.frequencies.abs().sum() > 0:
            turned = 6.2832 * x @ self.frequencies
            x = torch.cat([torch.sin(turned), torch.cos(turned)], 1)
        return self.body(x)


class SetTransformer(nn.Module):
    """Attention without places, pooled by a learnt question (Lee 2019)."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.stem, self.question = nn.Linear(4, width), nn.Parameter(torch.randn(1, 1, width))
        self.layers = nn.Sequential(*[Residual(Attention(width)) for _ in range(2)])
        self.key, self.value, self.head = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, classes)

    def forward(self, x):
        seen = self.layers(self.stem(x))
        weights = torch.softmax((self.question * self.key(seen)).sum(2) / seen.shape[2] ** 0.5, 1)
        return self.head((weights[:, :, None] * self.value(seen)).sum(1))


def unit_variances(module: nn.Sequential, x: torch.Tensor) -> nn.Module:
    """Orthonormal, then each layer divided by the deviation of its outputs (Mishkin and Matas 2016)."""
    with torch.no_grad():
        for layer in module:
            if isinstance(layer, nn.Linear):
                nn.init.orthogonal_(layer.weight)
                nn.init.zeros_(layer.bias)
                layer.weight /= layer(x).std()
            x = layer(x)
    return module
