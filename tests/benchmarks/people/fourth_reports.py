"""Fourth draw: other kinds of causes than the earlier draws have.

Written, causes and all, before the product had seen any of them.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.people import data
from tests.benchmarks.people.draw import Draw, Patient, binary_error, error_rate, unexplained
from tests.benchmarks.people.parts import Apply, Recurrent, Residual, Transformer, cnn, each_token, initialise, mlp
from tests.benchmarks.people.parts import Layer as TransformerLayer

FOURTH_REPORTS = Draw()
case = FOURTH_REPORTS.case


def vectors(module: nn.Module, x: np.ndarray, y: np.ndarray, loss=functional.cross_entropy) -> Patient:
    return Patient(module, {"x": x}, y, loss)


# ------------------------------------------------------------------ layers, activations, initialisation


@case("exp between six layers", ("sgd", 0.01), 300, error_rate, "GH102", "GH106", "GH501", "GH301", "GH104")
def exponentials():
    return vectors(mlp([12] + [32] * 6 + [4], lambda: Apply(torch.exp)), *data.blobs(512, 12, 4, 401))


@case("ten tanh layers drawn with deviation 1", ("sgd", 0.01), 400, error_rate, "GH103", "GH202", "GH301", "GH102")
def unit_deviation_tanh():
    module = initialise(mlp([16] + [48] * 10 + [4], nn.Tanh), nn.init.normal_)
    return vectors(module, *data.blobs(512, 16, 4, 402))


@case("24 softplus layers", ("sgd", 0.01), 400, error_rate, "GH203", "GH101", "GH301", "GH206", "GH501")
def softplus_in_a_row():
    return vectors(mlp([16] + [40] * 24 + [4], nn.Softplus), *data.blobs(512, 16, 4, 403))


@case(
    "40 residual blocks without norms, He", ("sgd", 0.01), 200, error_rate, "GH102", "GH501", "GH301", "GH103", "GH104"
)
def sums_that_grow():
    blocks = [Residual(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))) for _ in range(40)]
    module = nn.Sequential(nn.Linear(16, 32), *blocks, nn.Linear(32, 4))
    return vectors(initialise(module, nn.init.kaiming_normal_), *data.blobs(512, 16, 4, 404))


@case("weights of deviation .001", ("sgd", 0.05), 400, error_rate, "GH301", "GH101", "GH203", "GH206")
def tiny_weights():
    module = initialise(cnn(3, 8, 5), lambda w: nn.init.normal_(w, std=0.001))
    return vectors(module, *data.images(384, 3, 8, 5, 405))


@case("rounding between the layers", ("adam", 0.003), 300, error_rate, "GH601")
def rounded_features():
    module = nn.Sequential(
        nn.Linear(2, 6), nn.Tanh(), Apply(torch.round), nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 2)
    )
    return vectors(module, *data.spirals(512, 406))


# ------------------------------------------------------------------ output and loss


@case("cosines of eight classes as logits, no temperature", ("adam", 0.003), 400,
      lambda o, y: float(functional.cross_entropy(o, y)) / np.log(8), "GH503")  # fmt: skip
def cosines_without_temperature():
    class Cosines(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.classes = mlp([16, 48, 24], nn.ReLU), nn.Parameter(torch.randn(8, 24))

        def forward(self, x):
            seen = self.body(x)
            seen = seen / seen.square().sum(1, keepdim=True).add(1e-6).sqrt()
            return seen @ (self.classes / self.classes.square().sum(1, keepdim=True).sqrt()).T

    return vectors(Cosines(), *data.blobs(512, 16, 8, 407))


@case("softmax on three numbers that are no shares", ("adam", 0.003), 400, unexplained, "GH503")
def softmax_for_numbers():
    return vectors(mlp([8, 40, 3], nn.ReLU, nn.Softmax(1)), *data.curve(512, 8, 408, 3), functional.mse_loss)


@case("distances whose root is taken of zero: x against itself", ("adam", 0.003), 200, error_rate, "GH106")
def root_of_zero():
    class Distances(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = mlp([8, 24, 12], nn.ReLU), nn.Linear(6, 3)

        def forward(self, x):
            points = self.body(x)[:, :6]
            return self.head(((points - points).square().sum(1, keepdim=True)).sqrt() + points)

    return vectors(Distances(), *data.blobs(384, 8, 3, 409))


@case("logarithm of a ReLU", ("adam", 0.003), 200, error_rate, "GH106")
def logarithm_of_zero():
    module = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), Apply(torch.log), nn.Linear(32, 4))
    return vectors(module, *data.blobs(384, 10, 4, 410))


@case("hinge of a tanh with labels 0 and 1 instead of -1 and 1, MSE", ("adam", 0.003), 400, unexplained, elsewhere=True)
def tanh_for_zero_and_one():
    x, y = data.blobs(512, 12, 2, 411)
    return vectors(mlp([12, 32, 1], nn.ReLU, nn.Tanh()), x, data.f32(y)[:, None], functional.mse_loss)


# ------------------------------------------------------------------ inputs and targets


@case("one of twelve features is a time in seconds since 1970", ("adam", 0.001), 300, error_rate, "GH305")
def seconds_since_1970():
    x, y = data.blobs(512, 11, 4, 412)
    times = 1.7e9 + 3e5 * np.random.default_rng(412).uniform(size=(512, 1))
    return vectors(mlp([12, 48, 48, 4], nn.ReLU), data.f32(np.concatenate([x, times], 1)), y)


@case("GRU on prices of 40,000 that are to be told ahead", ("adam", 0.001), 200, unexplained, "GH308", "GH305")
def prices_ahead():
    random = np.random.default_rng(413)
    walk = 40_000 + 600 * random.standard_normal((384, 24)).cumsum(1)
    return vectors(
        Recurrent(nn.GRU(1, 24, batch_first=True), 24, 1), data.f32(walk[:, :20, None]), data.f32(walk[:, 22:23]),
        functional.mse_loss,
    )  # fmt: skip


@case("targets of heavy tails: a thousandth is a million", ("adam", 0.003), 300, unexplained, "GH506", "GH308")
def millions():
    x, y = data.curve(512, 8, 414)
    y = y.copy()
    y[::60] = 1e6
    return vectors(mlp([8, 40, 1], nn.ReLU), x, y, functional.mse_loss)


# ------------------------------------------------------------------ recurrence, attention


@case("ReLU RNN whose recurrent matrix is 1.6 times an orthogonal one", ("sgd", 0.01), 200, error_rate, "GH402",
      "GH102", "GH501")  # fmt: skip
def growing_recurrence():
    cell = nn.RNN(4, 28, batch_first=True, nonlinearity="relu")
    nn.init.orthogonal_(cell.weight_hh_l0, 1.6)
    return vectors(Recurrent(cell, 28, 4), *data.marked(256, 40, 4, 4, slice(30, 40), 415))


@case("six stacked LSTMs", ("sgd", 0.05), 200, error_rate, "GH101", "GH203", "GH206", "GH401")
def stacked_cells():
    cell = nn.LSTM(5, 20, num_layers=6, batch_first=True)
    return vectors(Recurrent(cell, 20, 4), *data.marked(256, 20, 5, 4, slice(8, 18), 416))


@case("embeddings of deviation 1 tied to the head", ("adam", 0.001), 60, error_rate, "GH501", elsewhere=True)
def tied_head():
    x, y = data.next_tokens(384, 8, 64, 417)
    layers = [TransformerLayer(48, before=True) for _ in range(2)]
    return Patient(Transformer(64, 48, 8, layers, tied=True), {"tokens": x}, y, each_token)


# ------------------------------------------------------------------ optimiser


@case("sound transformer, SGD at 1e-5", ("sgd", 1e-5), 100, error_rate, "GH109", elsewhere=True, optimizer="sgd",
      learning_rate=1e-5)  # fmt: skip
def transformer_that_creeps():
    x, y = data.next_tokens(384, 8, 20, 418)
    layers = [TransformerLayer(32, before=True) for _ in range(2)]
    return Patient(Transformer(20, 32, 8, layers), {"tokens": x}, y, each_token)


@case("sound regression, Adam at 1", ("adam", 1.0), 200, unexplained, "GH109", elsewhere=True, optimizer="adam",
      learning_rate=1.0)  # fmt: skip
def regression_that_jumps():
    return vectors(mlp([8, 48, 48, 1], nn.Tanh), *data.curve(512, 8, 419), functional.mse_loss)


# ------------------------------------------------------------------ sound, and odd to look at


@case("LogSoftmax, then CrossEntropy: the same loss", ("adam", 0.003), 300, error_rate, elsewhere=True)
def log_softmax_twice():
    return vectors(mlp([14, 40, 4], nn.ReLU, nn.LogSoftmax(1)), *data.blobs(512, 14, 4, 420))


@case("softplus on positive numbers", ("adam", 0.005), 400, unexplained, elsewhere=True)
def softplus_for_positive_numbers():
    x, y = data.curve(512, 6, 421)
    return vectors(mlp([6, 40, 40, 1], nn.Tanh, nn.Softplus()), x, data.f32(np.exp(0.5 * y)), functional.mse_loss)


@case("tanh on 1 and -1, MSE", ("adam", 0.003), 400, binary_error(0.0), elsewhere=True)
def tanh_for_signs():
    x, y = data.blobs(512, 14, 2, 422)
    return vectors(mlp([14, 40, 1], nn.ReLU, nn.Tanh()), x, data.f32(2 * y - 1)[:, None], functional.mse_loss)


@case("800 features of 64 samples, most of them noise", ("sgd", 0.01), 200, error_rate, elsewhere=True)
def more_features_than_samples():
    x, y = data.blobs(512, 20, 3, 423)
    noise = 0.3 * np.random.default_rng(423).standard_normal((512, 780))
    return vectors(mlp([800, 48, 3], nn.ReLU), data.f32(np.concatenate([x, noise], 1)), y)


@case("strided convolutions, GroupNorm, GELU", ("adam", 0.003), 200, error_rate, elsewhere=True)
def group_norms():
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.GroupNorm(4, 16), nn.GELU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.GroupNorm(4, 32), nn.GELU(), nn.Flatten(), nn.Linear(128, 5),
    )  # fmt: skip
    return vectors(module, *data.images(384, 3, 8, 5, 424))


@case("bidirectional GRU that adds numbers up", ("adam", 0.005), 250, unexplained, elsewhere=True)
def sums_of_sequences():
    class Sums(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.GRU(2, 16, batch_first=True, bidirectional=True), nn.Linear(32, 1)

        def forward(self, x):
            return self.head(self.cell(x)[0].mean(1))

    x = np.random.default_rng(425).standard_normal((384, 12, 2))
    y = x[:, :, :1].sum(1)
    return vectors(Sums(), data.f32(x), data.f32(y / y.std()), functional.mse_loss)


@case("bag of words, a third of them padding", ("adam", 0.01), 250, error_rate, elsewhere=True)
def bag_of_words():
    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.head = nn.Embedding(120, 24, padding_idx=0), mlp([24, 32, 4], nn.ReLU)

        def forward(self, ids):
            there = (ids != 0).float()[..., None]
            return self.head((self.words(ids) * there).sum(1) / there.sum(1).clamp_min(1))

    random = np.random.default_rng(426)
    y = random.integers(0, 4, 384)
    ids = (
        1
        + (random.integers(0, 30, (384, 15)) * 4 + np.where(random.uniform(size=(384, 15)) < 0.5, y[:, None], 1)) % 119
    )
    ids[:, 10:] = 0
    return Patient(Bag(), {"ids": ids.astype(np.int64)}, y.astype(np.int64), functional.cross_entropy)
