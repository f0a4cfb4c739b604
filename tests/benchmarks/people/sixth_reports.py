"""Sixth draw: kinds of people's reports that no earlier draw has.

Written, causes and all, before the product had seen any of them.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.people import data
from tests.benchmarks.people.draw import Draw, Patient, binary_error, error_rate, unexplained
from tests.benchmarks.people.parts import Apply, PlainConvolutions, Recurrent, Residual, initialise, mlp

SIXTH_REPORTS = Draw()
case = SIXTH_REPORTS.case


def vectors(module: nn.Module, x: np.ndarray, y: np.ndarray, loss=functional.cross_entropy) -> Patient:
    return Patient(module, {"x": x}, y, loss)


def several_labels(n: int, width: int, labels: int, seed: int) -> data.Arrays:
    """Each label a half-space of its own: half of them hold at once."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((n, width))
    return data.f32(x), data.f32(x @ random.standard_normal((width, labels)) > 0)


# ------------------------------------------------------------------ output and loss


@case("softmax over labels of which several hold at once", ("adam", 0.003), 400, binary_error(0.5), "GH503", "GH504")
def one_of_several():
    return vectors(mlp([12, 48, 6], nn.ReLU, nn.Softmax(1)), *several_labels(512, 12, 6, 701),
                   functional.binary_cross_entropy)  # fmt: skip


@case("sigmoid of ten classes, then CrossEntropy", ("sgd", 0.05), 300,
      lambda o, y: float(functional.cross_entropy(o, y)) / np.log(10), "GH503", "GH504", "GH501",
      loss="cross_entropy")  # fmt: skip
def sigmoid_of_ten_classes():
    return vectors(mlp([20, 64, 10], nn.ReLU, nn.Sigmoid()), *data.blobs(768, 20, 10, 702, 0.3))


@case("bias of the yes-or-no output starts at -60", ("adam", 0.003), 300,
      lambda o, y: float(functional.binary_cross_entropy_with_logits(o, y)) / 0.69, "GH501", "GH301",
      loss="bce")  # fmt: skip
def never_at_the_start():
    module = mlp([12, 32, 1], nn.ReLU)
    nn.init.constant_(module[-1].bias, -60.0)
    x, y = data.blobs(512, 12, 2, 703)
    return vectors(module, x, data.f32(y)[:, None], functional.binary_cross_entropy_with_logits)


@case("one of three targets is in millions", ("adam", 0.003), 400, unexplained, "GH308", "GH506", "GH503")
def one_target_in_millions():
    x, y = data.curve(512, 5, 704, 3)
    return vectors(mlp([5, 48, 48, 3], nn.Tanh), x, data.f32(y * [1, 1, 2e6] + [0, 0, 5e6]), functional.mse_loss)


@case("missing targets are -9999", ("adam", 0.003), 400, unexplained, "GH506", "GH308")
def missing_targets():
    x, y = data.curve(512, 5, 705)
    y[np.random.default_rng(705).uniform(size=len(y)) < 0.05] = -9999
    return vectors(mlp([5, 48, 48, 1], nn.Tanh), x, y, functional.mse_loss)


# ------------------------------------------------------------------ data


@case("missing features are -9999", ("adam", 0.001), 300, error_rate, "GH305")
def missing_features():
    x, y = data.blobs(512, 12, 4, 706)
    x[np.random.default_rng(706).uniform(size=x.shape) < 0.1] = -9999
    return vectors(mlp([12, 48, 48, 4], nn.Tanh), x, y)


@case("sound waves as 16 bit numbers into a 1d convolution", ("sgd", 0.01), 300, error_rate, "GH305")
def sound_as_integers():
    random, steps = np.random.default_rng(707), np.arange(128)
    y = random.integers(0, 4, 512)
    pitch = np.array([0.15, 0.3, 0.5, 0.9])[y][:, None] * steps + random.uniform(0, 6, (512, 1))
    x = 12000 * np.sin(pitch) + 1000 * random.standard_normal((512, 128))
    module = nn.Sequential(
        nn.Conv1d(1, 12, 9, 4), nn.Tanh(), nn.Conv1d(12, 16, 5, 2), nn.Tanh(), nn.Flatten(), nn.Linear(208, 4)
    )
    return vectors(module, data.f32(x)[:, None], y.astype(np.int64))


@case("ids of 5,000 shops as one number", ("adam", 0.001), 300, unexplained, "GH305", elsewhere=True)
def ids_as_numbers():
    random = np.random.default_rng(708)
    worth = random.standard_normal(5000)
    shop = random.integers(0, 5000, 512)
    x, y = data.curve(512, 4, 708)
    whole = np.concatenate([x, shop[:, None]], 1)
    return vectors(mlp([5, 48, 48, 1], nn.ReLU), data.f32(whole), data.f32(0.2 * worth[shop][:, None] + y),
                   functional.mse_loss)  # fmt: skip


@case("labels of a coin", ("adam", 0.003), 300, error_rate, "GH505", elsewhere=True, send=384)
def labels_of_a_coin():
    x, _ = data.blobs(512, 16, 4, 709)
    return vectors(mlp([16, 24, 4], nn.ReLU), x, np.random.default_rng(709).integers(0, 4, 512))


# ------------------------------------------------------------------ numbers that are none


@case("deviation over steps that are all padding", ("adam", 0.003), 200, error_rate, "GH106")
def deviation_of_padding():
    x, y = data.marked(384, 12, 6, 4, slice(2, 5), 710)
    x[::9] = 0

    class Statistics(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(6, 24, bias=False), mlp([48, 32, 4], nn.ReLU)

        def forward(self, x):
            h = torch.tanh(self.body(x))
            spread = (h - h.mean(1, keepdim=True)).square().mean(1).sqrt()
            return self.head(torch.cat([h.mean(1), spread], 1))

    return vectors(Statistics(), x, y)


@case("angle between a vector and itself: acos of 1", ("adam", 0.003), 200, error_rate, "GH106")
def angles():
    class Angles(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = mlp([10, 16], nn.ReLU), mlp([16, 32, 4], nn.ReLU)
            self.anchors = nn.Parameter(torch.randn(16, 16))
            self.stretch = nn.Parameter(torch.ones(1))

        def forward(self, x):
            h = functional.normalize(self.body(x), dim=1)
            own = functional.normalize(self.stretch * h, dim=1)
            cosines = torch.cat([(h * own).sum(1, keepdim=True), h @ functional.normalize(self.anchors, dim=1).T], 1)
            return self.head(torch.acos(cosines.clamp(-1, 1))[:, 1:] + torch.acos(cosines[:, :1].clamp(-1, 1)))

    return vectors(Angles(), *data.blobs(512, 10, 4, 711))


@case("a power of .5 of a rectified number", ("adam", 0.003), 200, error_rate, "GH106")
def roots_of_relu():
    return vectors(mlp([16, 48, 48, 4], lambda: Apply(lambda x: torch.relu(x) ** 0.5)), *data.blobs(512, 16, 4, 712))


# ------------------------------------------------------------------ layers


@case("40 residual blocks, nothing scaled, nothing normalised", ("sgd", 0.01), 200, error_rate, "GH102", "GH501",
      "GH301")  # fmt: skip
def sums_that_double():
    body = [Residual(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))) for _ in range(40)]
    for block in body:
        initialise(block, nn.init.kaiming_normal_)
    return vectors(nn.Sequential(nn.Linear(16, 32), *body, nn.Linear(32, 4)), *data.blobs(512, 16, 4, 713))


@case("BatchNormalization whose scales all start at zero", ("adam", 0.001), 200, error_rate, "GH302", "GH601",
      "GH203", "GH206", "GH301", "GH101")  # fmt: skip
def scales_of_zero():
    module = mlp([16, 32, 32, 32, 4], nn.ReLU, norm=nn.BatchNorm1d)
    for layer in module:
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.zeros_(layer.weight)
    return vectors(module, *data.blobs(512, 16, 4, 714))


@case("embedding of deviation 30 in front of an LSTM", ("adam", 0.001), 200, error_rate, "GH202", "GH301", "GH305",
      "GH303", "GH501", "GH102", "GH101", "GH401")  # fmt: skip
def loud_embedding():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.cell = nn.Embedding(60, 16), nn.LSTM(16, 32, batch_first=True)
            self.head = nn.Linear(32, 4)
            nn.init.normal_(self.embedding.weight, 0, 30)

        def forward(self, tokens):
            return self.head(self.cell(self.embedding(tokens))[0][:, -1])

    random = np.random.default_rng(715)
    x = random.integers(0, 60, (512, 14))
    y = np.stack([((x >= 15 * each) & (x < 15 * each + 15)).sum(1) for each in range(4)], 1).argmax(1)
    return vectors(Words(), x.astype(np.int64), y.astype(np.int64))


@case("hard sigmoids: 12 layers of them", ("sgd", 0.05), 300, error_rate, "GH101", "GH203", "GH206", "GH301")
def hard_sigmoids():
    return vectors(mlp([16] + [32] * 12 + [4], nn.Hardsigmoid), *data.blobs(512, 16, 4, 716))


@case("30 convolutions with leaky ReLU of slope .3, drawn uniformly from -.02 to .02", ("sgd", 0.01), 100, error_rate,
      "GH101", "GH203", "GH301", "GH206")  # fmt: skip
def faint_convolutions():
    module = initialise(
        PlainConvolutions(3, 8, 30, 4, lambda: nn.LeakyReLU(0.3)), lambda w: nn.init.uniform_(w, -0.02, 0.02)
    )
    return vectors(module, *data.images(256, 3, 8, 4, 717))


@case("GRU whose recurrent matrix is drawn with deviation 2", ("sgd", 0.05), 150, error_rate, "GH402", "GH202",
      "GH103", "GH102", "GH301", "GH401")  # fmt: skip
def chaotic_gru():
    cell = nn.GRU(6, 32, batch_first=True)
    nn.init.normal_(cell.weight_hh_l0, 0, 2)
    return vectors(Recurrent(cell, 32, 4), *data.marked(384, 30, 6, 4, slice(8, 12), 718))


@case("a sign in the middle: binary codes without a gradient", ("adam", 0.003), 300, error_rate, "GH601")
def signs_in_the_middle():
    return vectors(
        nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 8), Apply(torch.sign), *mlp([8, 16, 2], nn.ReLU)),
        *data.spirals(512, 719),
    )


@case("sound network, SGD with momentum at 3", ("sgd", 3.0), 200, error_rate, "GH109", elsewhere=True,
      optimizer="sgd", learning_rate=3.0)  # fmt: skip
def momentum_at_three():
    return vectors(mlp([16, 48, 48, 48, 4], nn.Tanh), *data.blobs(512, 16, 4, 720))


# ------------------------------------------------------------------ sound, and odd to look at


@case("several labels at once, a sigmoid for each", ("adam", 0.01), 300, binary_error(0.5), elsewhere=True)
def several_sigmoids():
    return vectors(mlp([12, 48, 6], nn.ReLU, nn.Sigmoid()), *several_labels(512, 12, 6, 721),
                   functional.binary_cross_entropy)  # fmt: skip


@case("sets of points: a sum over the elements", ("adam", 0.003), 300, unexplained, elsewhere=True)
def sets():
    class Sets(nn.Module):
        def __init__(self):
            super().__init__()
            self.each, self.whole = mlp([3, 32, 32], nn.ReLU), mlp([32, 32, 1], nn.ReLU)

        def forward(self, x):
            return self.whole(self.each(x).sum(1))

    x = np.random.default_rng(722).standard_normal((512, 10, 3))
    y = (x[..., 0] * x[..., 1]).sum(1, keepdims=True)
    return vectors(Sets(), data.f32(x), data.f32(y / y.std()), functional.mse_loss)


@case("inverted bottlenecks: depthwise convolutions, BatchNormalization, ReLU6", ("adam", 0.003), 150, error_rate,
      elsewhere=True)  # fmt: skip
def inverted_bottlenecks():
    def block(width: int, expanded: int) -> nn.Module:
        return Residual(nn.Sequential(
            nn.Conv2d(width, expanded, 1, bias=False), nn.BatchNorm2d(expanded), nn.ReLU6(),
            nn.Conv2d(expanded, expanded, 3, padding=1, groups=expanded, bias=False), nn.BatchNorm2d(expanded),
            nn.ReLU6(), nn.Conv2d(expanded, width, 1, bias=False), nn.BatchNorm2d(width),
        ))  # fmt: skip

    module = nn.Sequential(
        nn.Conv2d(3, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU6(), *[block(12, 48) for _ in range(3)],
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4),
    )  # fmt: skip
    return vectors(module, *data.images(384, 3, 12, 4, 723))


@case("features shifted and scaled by a second input", ("adam", 0.003), 400, unexplained, elsewhere=True)
def conditioned():
    class Conditioned(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.film, self.head = nn.Linear(6, 32), nn.Linear(3, 64), mlp([32, 32, 1], nn.ReLU)

        def forward(self, x, condition):
            scale, shift = self.film(condition).chunk(2, 1)
            return self.head(torch.relu((1 + scale) * self.body(x) + shift))

    x, y = data.curve(512, 9, 724)
    return Patient(Conditioned(), {"x": x[:, :6], "condition": x[:, 6:]}, y, functional.mse_loss)


@case("densely connected: each layer sees all before it", ("sgd", 0.05), 300, error_rate, elsewhere=True)
def densely_connected():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(16 + 12 * place, 12) for place in range(10)])
            self.head = nn.Linear(16 + 120, 4)

        def forward(self, x):
            for layer in self.layers:
                x = torch.cat([x, torch.relu(layer(x))], 1)
            return self.head(x)

    return vectors(Dense(), *data.blobs(512, 16, 4, 725))


@case("a heart's beat, one long row at a time: 1d convolutions that widen their view", ("adam", 0.003), 150,
      error_rate, elsewhere=True)  # fmt: skip
def widening_convolutions():
    body = [
        Residual(nn.Sequential(nn.Conv1d(16, 16, 3, padding=2**place, dilation=2**place), nn.ReLU()))
        for place in range(6)
    ]
    module = nn.Sequential(nn.Conv1d(3, 16, 1), *body, nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(16, 4))
    x, y = data.marked(384, 96, 3, 4, slice(30, 45), 726)
    return vectors(module, np.ascontiguousarray(x.transpose(0, 2, 1)), y)
