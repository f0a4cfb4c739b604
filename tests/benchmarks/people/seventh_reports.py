"""Seventh draw: what goes wrong between layers, in shapes, masks, gates and scales.

Written, causes and all, before the product had seen any of them.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.people import data
from tests.benchmarks.people.draw import Draw, Patient, error_rate, unexplained
from tests.benchmarks.people.parts import Apply, Layer, mlp

SEVENTH_REPORTS = Draw()
case = SEVENTH_REPORTS.case


def vectors(module: nn.Module, x: np.ndarray, y: np.ndarray, loss=functional.cross_entropy) -> Patient:
    return Patient(module, {"x": x}, y, loss)


class Sequences(nn.Module):
    """A cell and a head; `arrange` before the cell, `read` behind it."""

    def __init__(self, cell: nn.Module, arrange, read):
        super().__init__()
        self.cell, self.head, self.arrange, self.read = cell, nn.Linear(32, 4), arrange, read

    def forward(self, x):
        return self.head(self.read(self.cell(self.arrange(x))))


def majority(n: int, length: int, seed: int) -> data.Arrays:
    """Tokens, and which quarter of the vocabulary is most frequent."""
    x = np.random.default_rng(seed).integers(0, 60, (n, length))
    y = np.stack([((x >= 15 * each) & (x < 15 * each + 15)).sum(1) for each in range(4)], 1).argmax(1)
    return x.astype(np.int64), y.astype(np.int64)


# ------------------------------------------------------------------ shapes


@case("view instead of a transpose in front of an LSTM: samples and steps are shuffled into each other",
      ("adam", 0.003), 200, error_rate, "GH603")  # fmt: skip
def view_for_transpose():
    module = Sequences(nn.LSTM(6, 32), lambda x: x.reshape(x.shape[1], x.shape[0], x.shape[2]), lambda h: h[0][-1])
    return vectors(module, *data.marked(384, 12, 6, 4, slice(4, 7), 801))


@case("the state that the GRU starts from is read instead of the one it ends in", ("adam", 0.003), 200, error_rate,
      "GH601", "GH203", "GH206", "GH501")  # fmt: skip
def first_state_is_read():
    class Started(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.GRU(6, 32, batch_first=True), nn.Linear(32, 4)

        def forward(self, x):
            start = torch.zeros(1, x.shape[0], 32)
            out, _ = self.cell(x, start)
            return self.head(start[0] + 0 * out[:, -1])

    return vectors(Started(), *data.marked(384, 12, 6, 4, slice(4, 7), 802))


@case("features of all positions are averaged before the first layer sees them", ("adam", 0.003), 200, error_rate,
      "GH502", "GH203", "GH204", "GH505", elsewhere=True)  # fmt: skip
def averaged_away():
    x, y = data.images(384, 3, 8, 4, 803)
    x = data.f32(x - x.mean((2, 3), keepdims=True))
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *mlp([3, 32, 4], nn.ReLU))
    return vectors(module, x, y)


# ------------------------------------------------------------------ masks, gates, scales


@case("attention scores masked with +1e4: only what was to be hidden is seen", ("adam", 0.003), 200, error_rate,
      "GH207", "GH203", "GH205", "GH601", "GH206")  # fmt: skip
def mask_upside_down():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(61, 32, padding_idx=60), nn.Linear(32, 4)
            self.query, self.key, self.value = (nn.Linear(32, 32) for _ in range(3))

        def forward(self, tokens):
            h = self.embedding(tokens)
            scores = self.query(h) @ self.key(h).transpose(1, 2) / 32**0.5
            scores = scores + 1e4 * (tokens == 60)[:, None].float()
            return self.head((torch.softmax(scores, -1) @ self.value(h)).mean(1))

    x, y = majority(512, 14, 804)
    x[:, 11:] = 60
    return vectors(Masked(), x, y)


@case("positions of deviation 20 are added to the words", ("adam", 0.001), 200, error_rate, "GH205", "GH204", "GH207",
      "GH301", "GH303", "GH203", "GH305")  # fmt: skip
def loud_positions():
    class Loud(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.places = nn.Embedding(60, 32), nn.Parameter(20 * torch.randn(14, 32))
            self.layers = nn.Sequential(*[Layer(32, before=True) for _ in range(2)])
            self.head = nn.Linear(32, 4)

        def forward(self, tokens):
            return self.head(self.layers(self.embedding(tokens) + self.places).mean(1))

    return vectors(Loud(), *majority(512, 14, 805))


@case("a learnt gate on the only way that starts at zero", ("sgd", 0.01), 300, error_rate, "GH301", "GH601", "GH302",
      "GH203", "GH206", "GH101")  # fmt: skip
def closed_gate():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = mlp([16, 48, 48], nn.ReLU), nn.Sequential(nn.ReLU(), nn.Linear(48, 4))
            self.gate = nn.Parameter(torch.zeros(48))

        def forward(self, x):
            return self.head(self.gate * self.body(x))

    return vectors(Gated(), *data.blobs(512, 16, 4, 806))


@case("logits times .0001", ("sgd", 0.01), 300, error_rate, "GH206", "GH101", "GH501", "GH203", "GH301")
def faint_logits():
    return vectors(mlp([16, 48, 48, 4], nn.ReLU, Apply(lambda x: 1e-4 * x)), *data.blobs(512, 16, 4, 807))


@case("dropout of .95 on the inputs", ("adam", 0.003), 300, error_rate, "GH602")
def inputs_dropped():
    return vectors(nn.Sequential(nn.Dropout(0.95), *mlp([16, 48, 48, 4], nn.ReLU)), *data.blobs(512, 16, 4, 808))


@case("ReLU on numbers that are positive, its bias at -40", ("adam", 0.003), 400, unexplained, "GH201", "GH503",
      "GH601", "GH203", "GH301")  # fmt: skip
def dead_output():
    module = mlp([5, 48, 48, 1], nn.Tanh, nn.ReLU())
    nn.init.constant_(module[-2].bias, -40.0)
    x, y = data.curve(512, 5, 809)
    return vectors(module, x, data.f32(y + 4), functional.mse_loss)


@case("the likeliest of eight codes is looked up by its number", ("adam", 0.003), 300, error_rate, "GH601")
def looked_up():
    class LookedUp(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode, self.codes = mlp([2, 32, 8], nn.ReLU), nn.Embedding(8, 16)
            self.head = mlp([16, 32, 2], nn.ReLU)

        def forward(self, x):
            return self.head(self.codes(self.encode(x).argmax(1)))

    return vectors(LookedUp(), *data.spirals(512, 810))


@case("skips doubled: x + x + body(x), 24 times", ("sgd", 0.01), 200, error_rate, "GH102", "GH501", "GH301")
def doubled_skips():
    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(32, 32), nn.Tanh())

        def forward(self, x):
            return 2 * x + self.body(x)

    module = nn.Sequential(nn.Linear(16, 32), *[Doubled() for _ in range(24)], nn.Linear(32, 4))
    return vectors(module, *data.blobs(512, 16, 4, 811))


# ------------------------------------------------------------------ sound, and odd to look at


@case("attention that pools: one learnt query", ("adam", 0.003), 200, error_rate, elsewhere=True)
def pooling_attention():
    class Pooling(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(60, 32), mlp([32, 32, 4], nn.ReLU)
            self.query, self.key, self.value = nn.Parameter(torch.randn(32)), nn.Linear(32, 32), nn.Linear(32, 32)

        def forward(self, tokens):
            h = self.embedding(tokens)
            shares = torch.softmax(self.key(h) @ self.query / 32**0.5, 1)
            return self.head((shares[..., None] * self.value(h)).sum(1))

    return vectors(Pooling(), *majority(512, 14, 812))


@case("pictures in, pictures out, through transposed convolutions", ("adam", 0.003), 300, unexplained, elsewhere=True)
def transposed_convolutions():
    x, _ = data.images(384, 2, 12, 4, 813, 0.1)
    module = nn.Sequential(
        nn.Conv2d(2, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(24, 16, 2, 2), nn.ReLU(), nn.ConvTranspose2d(16, 2, 2, 2),
    )  # fmt: skip
    return vectors(module, x, x.copy(), functional.mse_loss)


@case("a wide part of ids beside a deep part of numbers", ("adam", 0.003), 300, error_rate, elsewhere=True)
def wide_and_deep():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.deep = nn.Embedding(40, 4), mlp([10, 32, 32, 4], nn.ReLU)
            nn.init.zeros_(self.wide.weight)

        def forward(self, ids, x):
            return self.wide(ids).sum(1) + self.deep(x)

    x, y = data.blobs(512, 10, 4, 814)
    ids = np.random.default_rng(814).integers(0, 40, (512, 3))
    return Patient(Both(), {"ids": ids.astype(np.int64), "x": x}, y, functional.cross_entropy)


@case("films: three-dimensional convolutions", ("adam", 0.003), 150, error_rate, elsewhere=True)
def films():
    frames, y = data.images(256, 1, 8, 4, 815)
    x = frames[:, :, None].repeat(4, 2) + 0.3 * np.random.default_rng(815).standard_normal((256, 1, 4, 8, 8))
    module = nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d((1, 2, 2)),
        nn.Conv3d(8, 16, 3, padding=1), nn.BatchNorm3d(16), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(),
        nn.Linear(16, 4),
    )  # fmt: skip
    return vectors(module, data.f32(x), y)
