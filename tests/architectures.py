"""Small networks of the kinds that people export, in plain PyTorch: each has one trait that is hard to convert."""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from torch.nn.utils import parametrizations

Inputs = tuple[torch.Tensor, ...]
Built = tuple[nn.Module, Inputs]
TOKENS = 32


def images(*shape: int) -> Inputs:
    return (torch.randn(*shape),)


def tokens(batch: int = 2, length: int = 6) -> Inputs:
    return (torch.randint(0, TOKENS, (batch, length)),)


# ------------------------------------------------------------------ convolutional


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        return x * gate


class InvertedResidual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
        self.block = nn.Sequential(
            nn.Conv2d(8, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU6(),
            nn.Conv2d(24, 24, 3, 1, 1, groups=24, bias=False), nn.BatchNorm2d(24), nn.ReLU6(), SqueezeExcite(24),
            nn.Conv2d(24, 8, 1, bias=False), nn.BatchNorm2d(8),
        )  # fmt: skip
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head((x + self.block(x)).mean((2, 3)))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.GroupNorm(2, 6), nn.SiLU())
        self.deep = nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.InstanceNorm2d(8, affine=True), nn.LeakyReLU(0.2))
        self.up = nn.ConvTranspose2d(8, 6, 2, 2)
        self.out = nn.Conv2d(12, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        high = self.down(x)
        low = self.up(self.deep(high))
        coarse = F.interpolate(F.max_pool2d(high, 2), size=x.shape[-2:], mode="bilinear", align_corners=False)
        return self.out(torch.cat([high, low], 1)) + coarse.mean(1, keepdim=True)


class AtrousPyramid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=rate, dilation=rate) for rate in (1, 2, 3))
        self.pooled, self.norm, self.out = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(16), nn.Conv2d(16, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = F.interpolate(self.pooled(F.adaptive_avg_pool2d(x, 1)), scale_factor=8.0, mode="nearest")
        y = F.relu(self.norm(torch.cat([*(branch(x) for branch in self.branches), pooled], 1)))
        return F.interpolate(self.out(y), scale_factor=2.0, mode="bicubic", align_corners=True)


class SuperResolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = parametrizations.weight_norm(nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"))
        self.slope, self.second = nn.PReLU(8), nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(self.second(self.slope(self.first(x))), 2)


class ConvNeXt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm, self.widen, self.narrow = nn.LayerNorm(8), nn.Linear(8, 32), nn.Linear(32, 8)
        self.layer_scale, self.head = nn.Parameter(0.1 * torch.ones(8)), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.layer_scale * self.narrow(F.gelu(self.widen(y)))
        return self.head((x + y.permute(0, 3, 1, 2)).mean((2, 3)))


class Detector(nn.Module):
    """A YOLO head: sigmoid, grid, anchors; the boxes of the best scores."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Mish(), nn.Conv2d(8, 14, 1))
        self.register_buffer("anchors", torch.tensor([[1.0, 2.0], [2.0, 1.0]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        batch, _, height, width = y.shape
        y = y.view(batch, 2, 7, height, width).permute(0, 1, 3, 4, 2).sigmoid()
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        grid = torch.stack([columns, rows], -1).to(y)
        places = (y[..., :2] * 2 - 0.5 + grid) * 4
        sizes = (y[..., 2:4] * 2) ** 2 * self.anchors[None, :, None, None]
        found = torch.cat([places, sizes, y[..., 4:]], -1).reshape(batch, -1, 7)
        best = found[..., 4].topk(5, dim=1).indices
        return found.gather(1, best[..., None].expand(-1, -1, 7))


# ------------------------------------------------------------------ sequences


class WaveNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Conv1d(1, 8, 1)
        self.filters = nn.ModuleList(nn.Conv1d(8, 16, 2, dilation=2**power) for power in range(3))
        self.skips = nn.ModuleList(nn.Conv1d(8, 8, 1) for _ in range(3))
        self.out = nn.Conv1d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, total = self.front(x), 0
        for power, (both, skip) in enumerate(zip(self.filters, self.skips, strict=True)):
            gate, value = both(F.pad(x, (2**power, 0))).chunk(2, 1)
            y = skip(torch.tanh(value) * torch.sigmoid(gate))
            x, total = x + y, total + y
        return self.out(F.relu(total))


class TextReader(nn.Module):
    """CRNN: convolutions, then a bidirectional LSTM over columns, log-probabilities for CTC."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2))
        self.recurrent, self.out = nn.LSTM(24, 7, bidirectional=True), nn.Linear(14, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.convolutions(x).flatten(1, 2).permute(2, 0, 1)
        return F.log_softmax(self.out(self.recurrent(y)[0]), -1)


class Music(nn.Module):
    """Two bidirectional GRU layers with a learnt initial state."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.start = nn.Embedding(TOKENS, 6), nn.Parameter(torch.randn(4, 1, 5))
        self.recurrent, self.out = nn.GRU(6, 5, 2, batch_first=True, bidirectional=True), nn.Linear(10, TOKENS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.recurrent(self.embed(x), self.start.expand(-1, x.shape[0], -1).contiguous())
        return self.out(y)


class RMSNorm(nn.Module):
    """Written out, as the models that use it do."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class Mamba(nn.Module):
    """A selective state space, its scan written as a loop."""

    def __init__(self, width: int = 8, state: int = 4) -> None:
        super().__init__()
        self.embed, self.enter, self.leave = (
            nn.Embedding(TOKENS, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, 5),
        )
        self.mix = nn.Conv1d(width, width, 3, padding=2, groups=width)
        self.select, self.step = nn.Linear(width, 2 * state + 1, bias=False), nn.Linear(1, width)
        self.decay = nn.Parameter(torch.log(torch.arange(1.0, state + 1)).repeat(width, 1))
        self.skip, self.norm, self.state = nn.Parameter(torch.ones(width)), RMSNorm(width), state

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, gate = self.enter(self.norm(self.embed(x))).chunk(2, -1)
        length = x.shape[1]
        x = F.silu(self.mix(x.transpose(1, 2))[..., :length].transpose(1, 2))
        step, write, read = self.select(x).split([1, self.state, self.state], -1)
        step = F.softplus(self.step(step))
        keep = torch.exp(step[..., None] * -torch.exp(self.decay))
        put = step[..., None] * write[:, :, None] * x[..., None]
        hidden, rows = torch.zeros_like(put[:, 0]), []
        for at in range(length):
            hidden = keep[:, at] * hidden + put[:, at]
            rows.append((hidden * read[:, at, None]).sum(-1))
        y = torch.stack(rows, 1) + self.skip * x
        return self.leave(y * F.silu(gate))


# ------------------------------------------------------------------ attention


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    left, right = x.chunk(2, -1)
    return x * cosine + torch.cat([-right, left], -1) * sine


class Decoder(nn.Module):
    """A Llama block: RMSNorm, rotary positions, grouped queries, SwiGLU, tied embedding."""

    def __init__(self, width: int = 16, heads: int = 4, groups: int = 2) -> None:
        super().__init__()
        self.heads, self.groups, self.size = heads, groups, width // heads
        self.embed = nn.Embedding(TOKENS, width)
        self.norms = nn.ModuleList(RMSNorm(width) for _ in range(3))
        self.query = nn.Linear(width, width, bias=False)
        self.key, self.value = (nn.Linear(width, groups * self.size, bias=False) for _ in range(2))
        self.out = nn.Linear(width, width, bias=False)
        self.gate, self.up = (nn.Linear(width, 24, bias=False) for _ in range(2))
        self.down = nn.Linear(24, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        x = x + self.attend(self.norms[0](x))
        y = self.norms[1](x)
        x = x + self.down(F.silu(self.gate(y)) * self.up(y))
        return self.norms[2](x) @ self.embed.weight.T

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, self.size, 2) / self.size)
        angles = torch.cat([angles, angles], -1)
        query = rotate(self.query(x).view(batch, length, self.heads, -1).transpose(1, 2), angles.cos(), angles.sin())
        key = rotate(self.key(x).view(batch, length, self.groups, -1).transpose(1, 2), angles.cos(), angles.sin())
        value = self.value(x).view(batch, length, self.groups, -1).transpose(1, 2)
        key, value = (each.repeat_interleave(self.heads // self.groups, 1) for each in (key, value))
        y = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class Encoder(nn.Module):
    """torch's own layers with a padding mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(TOKENS, 8, padding_idx=0)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.embed(x)
        y = self.norm(y + self.attention(y, y, y, key_padding_mask=x == 1, need_weights=False)[0])
        return self.out(y[:, 0])


class RelativeAttention(nn.Module):
    """T5: buckets of distances, a bias per head, no scaling."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.bias = nn.Embedding(TOKENS, 8), nn.Embedding(6, 2)
        self.joint, self.out = nn.Linear(8, 24, bias=False), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.embed(x)
        batch, length, width = y.shape
        query, key, value = self.joint(y).view(batch, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4).unbind(0)
        distance = (torch.arange(length)[None] - torch.arange(length)[:, None]).clamp(-3, 2) + 3
        scores = query @ key.transpose(-1, -2) + self.bias(distance).permute(2, 0, 1)
        mixed = torch.softmax(scores.masked_fill(distance > 4, -1e9), -1) @ value
        return self.out(mixed.transpose(1, 2).flatten(2).mean(1))


class Swin(nn.Module):
    """Shifted windows: roll, partition, a table of relative positions, a mask of regions."""

    def __init__(self, width: int = 8, window: int = 2) -> None:
        super().__init__()
        self.window, self.patches = window, nn.Conv2d(3, width, 2, 2)
        self.norm, self.joint, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.table = nn.Parameter(0.1 * torch.randn((2 * window - 1) ** 2, 2))
        self.merge, self.head = nn.Linear(4 * width, 2 * width, bias=False), nn.Linear(2 * width, 5)
        places = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        apart = (places[:, :, None] - places[:, None]) + window - 1
        self.register_buffer("places", apart[0] * (2 * window - 1) + apart[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).permute(0, 2, 3, 1)
        x = x + self.attend(torch.roll(self.norm(x), (-1, -1), (1, 2))).roll((1, 1), (1, 2))
        x = torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1)
        return self.head(self.merge(x).mean((1, 2)))

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        batch, height, width, channels = x.shape
        n, rows, columns = self.window, height // self.window, width // self.window
        parts = x.view(batch, rows, n, columns, n, channels).transpose(2, 3).reshape(-1, n * n, channels)
        query, key, value = self.joint(parts).view(-1, n * n, 3, 2, channels // 2).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.places.flatten()].view(n * n, n * n, 2).permute(2, 0, 1)
        weights = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(channels // 2) + bias, -1)
        mixed = self.out((weights @ value).transpose(1, 2).reshape(-1, n * n, channels))
        return mixed.view(batch, rows, columns, n, n, channels).transpose(2, 3).reshape(batch, height, width, channels)


class Experts(nn.Module):
    """Two of three experts for each token, by a softmax gate."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gate = nn.Embedding(TOKENS, 6), nn.Linear(6, 3)
        self.first, self.second = nn.Parameter(torch.randn(3, 6, 9) / 3), nn.Parameter(torch.randn(3, 9, 6) / 3)
        self.out = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.embed(x)
        weights, chosen = torch.softmax(self.gate(y), -1).topk(2, -1)
        shares = torch.zeros(*y.shape[:-1], 3).scatter(-1, chosen, weights / weights.sum(-1, keepdim=True))
        hidden = F.gelu(torch.einsum("btd,edh->bteh", y, self.first))
        return self.out(y + torch.einsum("bteh,ehd,bte->btd", hidden, self.second, shares))


class Generator(nn.Module):
    """A modulated convolution: the filter of each sample scaled by a style, demodulated."""

    def __init__(self) -> None:
        super().__init__()
        self.style, self.weight = nn.Linear(4, 3), nn.Parameter(torch.randn(6, 3, 3, 3))
        self.constant = nn.Parameter(torch.randn(1, 3, 5, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight[None] * (1 + self.style(x))[:, None, :, None, None]
        weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        batch = x.shape[0]
        y = self.constant.expand(batch, -1, -1, -1).reshape(1, -1, 5, 5)
        return F.conv2d(y, weight.flatten(0, 1), padding=1, groups=batch).view(batch, 6, 5, 5)


ARCHITECTURES: dict[str, Callable[[], Built]] = {
    "inverted residual": lambda: (InvertedResidual(), images(4, 3, 16, 16)),
    "unet": lambda: (UNet(), images(2, 3, 8, 8)),
    "atrous pyramid": lambda: (AtrousPyramid(), images(2, 4, 8, 8)),
    "super resolution": lambda: (SuperResolution(), images(2, 3, 6, 6)),
    "convnext": lambda: (ConvNeXt(), images(2, 3, 16, 16)),
    "detector": lambda: (Detector(), images(2, 3, 8, 8)),
    "wavenet": lambda: (WaveNet(), images(2, 1, 12)),
    "text reader": lambda: (TextReader(), images(3, 1, 8, 12)),
    "music": lambda: (Music(), tokens()),
    "mamba": lambda: (Mamba(), tokens()),
    "decoder": lambda: (Decoder(), tokens()),
    "encoder": lambda: (Encoder(), tokens()),
    "relative attention": lambda: (RelativeAttention(), tokens()),
    "swin": lambda: (Swin(), images(2, 3, 8, 8)),
    "experts": lambda: (Experts(), tokens()),
    "generator": lambda: (Generator(), images(2, 4)),
}


def build(name: str) -> Built:
    """The same weights and inputs every time; normalisations away from their trivial start."""
    torch.manual_seed(20261124)
    module, inputs = ARCHITECTURES[name]()
    with torch.no_grad():
        for each in module.modules():
            if isinstance(each, nn.modules.batchnorm._BatchNorm) and each.running_mean is not None:
                each.running_mean.normal_(0, 0.2)
                each.running_var.uniform_(0.5, 1.5)
            if (
                isinstance(each, nn.LayerNorm | nn.GroupNorm | nn.modules.batchnorm._NormBase)
                and each.weight is not None
            ):
                each.weight.uniform_(0.5, 1.5)
                each.bias.normal_(0, 0.2)
    return module.eval(), inputs
