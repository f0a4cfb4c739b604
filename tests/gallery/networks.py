"""Architectures of the exhibits: small, of the field's usual shapes, their weights drawn as an exhibit asks."""

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

Activation = Callable[[], nn.Module]
Normalization = Callable[[int], nn.Module]
"""Of so many channels."""
WEIGHTED = (nn.Linear, nn.Conv2d)


def drawn(
    module: nn.Module, gain: float | None = None, *, std: float | None = None, bias: float = 0.0, head: float = 1.0
) -> nn.Module:
    """Every weight from N(0, (gain / sqrt(fan_in))^2) or N(0, std^2), every bias the same; the last layer's gain apart.

    A gain of sqrt(2) is He's.
    """
    layers = [each for each in module.modules() if isinstance(each, WEIGHTED)]
    with torch.no_grad():
        for layer in layers:
            last = layer is layers[-1]
            fan_in = layer.weight[0].numel()
            spread = (head if last else gain) / fan_in**0.5 if std is None else std
            layer.weight.normal_(0, spread)
            if layer.bias is not None:
                layer.bias.fill_(0.0 if last else bias)
    return module


def orthogonal(module: nn.Module, gain: float = 1.0) -> nn.Module:
    for each in module.modules():
        if isinstance(each, WEIGHTED):
            nn.init.orthogonal_(each.weight, gain)
            nn.init.zeros_(each.bias)
    return module


def weighted(module: nn.Module) -> list[nn.Module]:
    """Linear and convolutional layers, inputs first."""
    return [each for each in module.modules() if isinstance(each, WEIGHTED)]


# ------------------------------------------------------------------ vectors


def stack(
    depth: int, activation: Activation = nn.ReLU, *, width: int = 48, normalization: Normalization | None = None,
    inputs: int = 32, outputs: int = 10,
) -> nn.Sequential:  # fmt: skip
    """A multilayer perceptron with `depth` weight layers."""
    layers: list[nn.Module] = []
    for place in range(depth - 1):
        layers.append(nn.Linear(width if place else inputs, width))
        layers += [normalization(width)] if normalization is not None else []
        layers.append(activation())
    return nn.Sequential(*layers, nn.Linear(width if depth > 1 else inputs, outputs))


class Then(nn.Module):
    """One module, then a function."""

    def __init__(self, module: nn.Module, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.module, self.function = module, function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.module(x))


class Reconstruction(nn.Module):
    """A network whose output is its own loss: how far it is from its inputs."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.body(x) - x).square().mean()


def dropped(module: nn.Sequential, share: float) -> nn.Module:
    """With Dropout behind every activation."""
    parts = [[part] if isinstance(part, WEIGHTED) else [part, nn.Dropout(share)] for part in module]
    return nn.Sequential(*(each for group in parts for each in group))


class Between(nn.Module):
    """A function between two modules."""

    def __init__(self, before: nn.Module, function: Callable[[torch.Tensor], torch.Tensor], after: nn.Module) -> None:
        super().__init__()
        self.before, self.function, self.after = before, function, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.function(self.before(x)))


class Residual(nn.Module):
    """x + branch(x), times a factor on the branch."""

    def __init__(self, branch: nn.Module, factor: float = 1.0) -> None:
        super().__init__()
        self.branch, self.factor = branch, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.factor * self.branch(x)


class SteppedBranch(nn.Module):
    """A branch that ends in a comparison, which has no slope."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.enter, self.used, self.stepped = nn.Linear(32, width), nn.Linear(width, width), nn.Linear(width, width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.enter(x))
        return self.head(torch.relu(self.used(x)) + (self.stepped(x) > 0).float())


# ------------------------------------------------------------------ images


def convolutions(
    depth: int, activation: Activation = nn.ReLU, *, channels: int = 12, normalization: Normalization | None = None,
    outputs: int = 10,
) -> nn.Sequential:  # fmt: skip
    """`depth` convolutions of 3 x 3, the second with stride 2, then a mean over positions and a linear layer."""
    layers: list[nn.Module] = []
    for place in range(depth):
        layers.append(nn.Conv2d(channels if place else 3, channels, 3, 2 if place == 1 else 1, 1))
        layers += [normalization(channels)] if normalization is not None else []
        layers.append(activation())
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, outputs))


class MobileNet(nn.Module):
    """Inverted residuals: widen, depthwise, narrow, ReLU6, BatchNorm."""

    def __init__(self, channels: int = 12, blocks: int = 3) -> None:
        super().__init__()
        self.stem = self._normed(3, channels, 3, 2)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                self._normed(channels, 3 * channels, 1),
                self._normed(3 * channels, 3 * channels, 3, groups=3 * channels),
                nn.Conv2d(3 * channels, channels, 1, bias=False),
                nn.BatchNorm2d(channels),
            )
            for _ in range(blocks)
        )
        self.head = nn.Linear(channels, 10)

    @staticmethod
    def _normed(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean((2, 3)))


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of an image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """Depthwise 5 x 5, LayerNorm, a perceptron per position, and a layer-scale that starts at 1e-6."""

    def __init__(self, channels: int = 16, blocks: int = 3, layer_scale: float = 1e-6) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 2, 2), ChannelNorm(channels))
        self.depthwise = nn.ModuleList(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels) for _ in range(blocks)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(blocks))
        self.up = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in range(blocks))
        self.down = nn.ModuleList(nn.Linear(2 * channels, channels) for _ in range(blocks))
        self.scales = nn.ParameterList(layer_scale * torch.ones(channels) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(channels), nn.Linear(channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for depthwise, norm, up, down, scale in zip(
            self.depthwise, self.norms, self.up, self.down, self.scales, strict=True
        ):
            y = scale * down(F.gelu(up(norm(depthwise(x).permute(0, 2, 3, 1)))))
            x = x + y.permute(0, 3, 1, 2)
        return self.head(self.norm(x.mean((2, 3))))


class Mixer(nn.Module):
    """MLP-Mixer: perceptrons across patches and across channels, in turn; the head starts at zero."""

    def __init__(self, width: int = 24, patches: int = 9, blocks: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * blocks))
        self.across = nn.ModuleList(stack(2, nn.GELU, width=32, inputs=patches, outputs=patches) for _ in range(blocks))
        self.along = nn.ModuleList(stack(2, nn.GELU, width=48, inputs=width, outputs=width) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        for place, (across, along) in enumerate(zip(self.across, self.along, strict=True)):
            x = x + across(self.norms[2 * place](x).transpose(1, 2)).transpose(1, 2)
            x = x + along(self.norms[2 * place + 1](x))
        return self.head(self.norm(x).mean(1))


# ------------------------------------------------------------------ attention


class Attention(nn.Module):
    """Multi-head self-attention written out; scores may be multiplied, and masked to the past."""

    def __init__(self, width: int, heads: int = 4, *, sharpness: float = 1.0, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.sharpness, self.causal = heads, sharpness, causal
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, steps, width = x.shape
        parts = self.qkv(x).view(batch, steps, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        scores = query @ key.transpose(-1, -2) * (self.sharpness * (width // self.heads) ** -0.5)
        if self.causal:
            scores = scores + torch.triu(torch.full((steps, steps), -1e9), 1)
        return self.out((scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, steps, width))


def feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))


class PreNorm(nn.Module):
    """x + f(LayerNorm(x))."""

    def __init__(self, width: int, inner: nn.Module) -> None:
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(width), inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(self.norm(x))


class PostNorm(nn.Module):
    """LayerNorm(x + f(x))."""

    def __init__(self, width: int, inner: nn.Module) -> None:
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(width), inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x + self.inner(x))


def blocks(count: int, width: int, wrap: Callable[[int, nn.Module], nn.Module], **attention: float) -> nn.Sequential:
    """Attention and perceptron in turn, each wrapped."""

    def parts() -> Iterator[nn.Module]:
        for _ in range(count):
            yield wrap(width, Attention(width, **attention))
            yield wrap(width, feed_forward(width))

    return nn.Sequential(*parts())


class Reader(nn.Module):
    """Token and position embeddings, a body, and either a class from the mean token or the next token at each place."""

    def __init__(
        self, body: nn.Module, *, width: int = 32, vocabulary: int = 40, steps: int = 12, classes: int | None = 5,
        embedding: float = 1.0, positions: float = 0.02, norm: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(positions * torch.randn(1, steps, width))
        self.body, self.norm = body, nn.LayerNorm(width) if norm else nn.Identity()
        self.head = None if classes is None else nn.Linear(width, classes)
        nn.init.normal_(self.tokens.weight, 0, embedding)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.body(self.tokens(ids) + self.positions))
        return x @ self.tokens.weight.T if self.head is None else self.head(x.mean(1))


def gpt_draw(module: nn.Module, std: float = 0.02) -> nn.Module:
    """GPT-2's initialisation."""
    for each in module.modules():
        if isinstance(each, nn.Linear | nn.Embedding):
            nn.init.normal_(each.weight, 0, std)
        if isinstance(each, nn.Linear):
            nn.init.zeros_(each.bias)
    return module


# ------------------------------------------------------------------ sequences


class Cells(nn.Module):
    """A recurrent network read at the last step, or at the mean of all steps."""

    def __init__(
        self, kind: type[nn.RNNBase] = nn.LSTM, *, width: int = 32, classes: int = 4, mean: bool = False, **how: object
    ) -> None:
        super().__init__()
        self.cells, self.head, self.mean = kind(8, width, batch_first=True, **how), nn.Linear(width, classes), mean

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = self.cells(x)[0]
        return self.head(states.mean(1) if self.mean else states[:, -1])


class TimeFirst(nn.Module):
    """Cells that count time first, handed data that count samples first, and read at their last step."""

    def __init__(self, cells: nn.RNNBase, classes: int = 4) -> None:
        super().__init__()
        self.cells, self.head = cells, nn.Linear(cells.hidden_size, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0][:, -1])


def recurrent_radius(module: Cells, radius: float) -> Cells:
    """Recurrent weights: an orthogonal matrix times a factor; biases of zero."""
    with torch.no_grad():
        nn.init.orthogonal_(module.cells.weight_hh_l0, radius)
        module.cells.bias_hh_l0.zero_()
        module.cells.bias_ih_l0.zero_()
    return module


def gate_bias(module: Cells, *values: float) -> Cells:
    """Biases by gate, in torch's order (LSTM: input, forget, cell, output)."""
    width = module.cells.hidden_size
    with torch.no_grad():
        for place, value in enumerate(values):
            module.cells.bias_ih_l0[place * width : (place + 1) * width] = value
            module.cells.bias_hh_l0[place * width : (place + 1) * width] = 0.0
    return module


# ------------------------------------------------------------------ further ones, of the second half


class Vgg(nn.Module):
    """Pairs of convolutions, max pooling, two linear layers; no normalisation."""

    def __init__(self, channels: int = 12) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for pair in range(2):
            for place in range(2):
                layers += [nn.Conv2d(3 if not pair + place else channels, channels, 3, padding=1), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers, nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Flatten())
        self.classifier = nn.Sequential(nn.Linear(9 * channels, 48), nn.ReLU(), nn.Linear(48, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x))


class DenseNet(nn.Module):
    """Every layer reads all that came before it."""

    def __init__(self, growth: int = 6, layers: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 2 * growth, 3, 2, 1)
        widths = [2 * growth + growth * place for place in range(layers)]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, growth, 3, padding=1, bias=False))
            for width in widths
        )
        self.head = nn.Linear(widths[-1] + growth, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.head(torch.relu(x).mean((2, 3)))


class Squeezed(nn.Module):
    """A residual block with squeeze-excite: its branch is gated by a sigmoid of its own mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.SiLU()
        )
        self.squeeze, self.excite = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.branch(x)
        return x + y * torch.sigmoid(self.excite(F.silu(self.squeeze(y.mean((2, 3), keepdim=True)))))


class Blocks(nn.Module):
    """A stem with BatchNorm, blocks, the mean over positions, a linear layer."""

    def __init__(self, body: nn.Module, channels: int = 12) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels), nn.SiLU())
        self.body, self.head = body, nn.Linear(channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.stem(x)).mean((2, 3)))


class ZeroGamma(nn.Module):
    """A residual block whose last scale starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.second, self.end = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        nn.init.zeros_(self.end.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.end(self.second(torch.relu(self.norm(self.first(x))))))


class UNet(nn.Module):
    """Down, up, and across."""

    def __init__(self, channels: int = 12) -> None:
        super().__init__()
        self.enter, self.down = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 2 * channels, 3, 2, 1)
        self.middle = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(2 * channels, channels, 2, 2), nn.Conv2d(2 * channels, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.enter(x))
        y = torch.relu(self.middle(torch.relu(self.down(x))))
        return self.out(torch.cat([x, torch.relu(self.up(y))], 1))


class VisionTransformer(nn.Module):
    """Patches, a class token, positions, pre-LN blocks, the class token out."""

    def __init__(self, body: nn.Module, width: int = 32, patches: int = 9) -> None:
        super().__init__()
        self.patches, self.body = nn.Conv2d(3, width, 4, 4), body
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, patches + 1, width))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.body(x))[:, 0])


class Experts(nn.Module):
    """Two of four experts, by a softmax gate, around a skip path."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.enter, self.gate, self.head = nn.Linear(32, width), nn.Linear(width, 4), nn.Linear(width, 10)
        self.up = nn.Parameter(torch.randn(4, width, width) / width**0.5)
        self.down = nn.Parameter(torch.randn(4, width, width) / width**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.enter(x))
        weights, chosen = self.gate(x).softmax(-1).topk(2, -1)
        shares = torch.zeros(x.shape[0], 4).scatter(-1, chosen, weights / weights.sum(-1, keepdim=True))
        hidden = F.gelu(torch.einsum("bd,edh->beh", x, self.up))
        return self.head(x + torch.einsum("beh,ehd,be->bd", hidden, self.down, shares))


class TwoHeads(nn.Module):
    """The second output has no target."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.first, self.second = stack(3, outputs=48), nn.Linear(48, 10), nn.Linear(48, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.relu(self.body(x))
        return self.first(x), self.second(x)
