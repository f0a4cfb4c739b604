"""Ninth draw: losses that do not go with their labels, food that is not clean, and the usual sizes of the usual layers.

Written, causes and all, before the product had seen any of them.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.people import data
from tests.benchmarks.people.draw import Draw, Patient, binary_error, error_rate, unexplained
from tests.benchmarks.people.parts import Apply, PlainConvolutions, Recurrent, Residual, cnn, initialise, mlp

NINTH_REPORTS = Draw()
case = NINTH_REPORTS.case


def vectors(module: nn.Module, x: np.ndarray, y: np.ndarray, loss=functional.cross_entropy) -> Patient:
    return Patient(module, {"x": x}, y, loss)


def one_hot_wrong(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    return error_rate(outputs, targets.argmax(1))


# ------------------------------------------------------------------ losses and labels


@case("CrossEntropy of one unit for yes and no", ("adam", 0.003), 200, binary_error(0.0), "refused",
      loss="cross_entropy")  # fmt: skip
def one_unit_for_two_classes():
    x, y = data.blobs(512, 12, 2, 1001)
    return vectors(mlp([12, 32, 1], nn.ReLU), x, y)


@case("yes and no of each of four classes for one-hot labels", ("adam", 0.003), 300, one_hot_wrong, elsewhere=True,
      loss="bce")  # fmt: skip
def bits_for_classes():
    x, y = data.blobs(512, 12, 4, 1002)
    return vectors(mlp([12, 48, 4], nn.ReLU), x, np.eye(4, dtype=np.float32)[y],
                   functional.binary_cross_entropy_with_logits)  # fmt: skip


@case("squares of a sigmoid for yes and no", ("sgd", 0.1), 500, binary_error(0.5), elsewhere=True, loss="mse")
def squares_of_a_sigmoid():
    x, y = data.blobs(512, 12, 2, 1003)
    return vectors(mlp([12, 32, 1], nn.Tanh, nn.Sigmoid()), x, data.f32(y)[:, None], functional.mse_loss)


@case("a few targets are NaN", ("adam", 0.003), 200, unexplained, "refused", "GH506", "GH106")
def missing_targets_as_nan():
    x, y = data.curve(384, 8, 1004)
    y = y.copy()
    y[5::40] = np.nan
    return vectors(mlp([8, 32, 1], nn.ReLU), x, y, functional.mse_loss)


@case("stars from 1 to 5 as numbers, last layer tanh", ("adam", 0.003), 400, unexplained, "GH503", "GH308")
def stars_behind_tanh():
    x, y = data.curve(512, 8, 1005)
    stars = np.clip(np.round(3 + 1.2 * y), 1, 5)
    return vectors(mlp([8, 48, 48, 1], nn.ReLU, nn.Tanh()), x, data.f32(stars), functional.mse_loss)


@case("probabilities from a softmax into NLLLoss", ("sgd", 0.01), 300, error_rate, "GH504", "GH503", "GH501",
      "GH301", "GH109", loss="cross_entropy")  # fmt: skip
def softmax_then_loss():
    x, y = data.blobs(512, 16, 10, 1006)
    return vectors(mlp([16, 64, 10], nn.ReLU, nn.Softmax(1)), x, y)


# ------------------------------------------------------------------ food


@case("pixels divided by 255 twice", ("sgd", 0.05), 200, error_rate, "GH305")
def divided_twice():
    x, y = data.pixels(384, 3, 12, 4, 1007)
    return vectors(cnn(3, 12, 4), data.f32(x / 255 / 255), y)


@case("a few NaN among the features", ("adam", 0.003), 200, error_rate, "refused", "GH106", "GH305")
def holes_in_the_table():
    x, y = data.blobs(384, 12, 4, 1008)
    x = x.copy()
    x[7::50, 3] = np.nan
    return vectors(mlp([12, 48, 4], nn.ReLU), x, y)


@case("salaries, ages and distances beside each other", ("sgd", 0.01), 300, error_rate, "GH305")
def unlike_columns():
    x, y = data.blobs(512, 6, 3, 1009)
    scale = np.array([2e4, 15.0, 300.0, 1.0, 0.01, 4e3])
    offset = np.array([5e4, 40.0, 800.0, 0.0, 0.02, 9e3])
    return vectors(mlp([6, 48, 48, 3], nn.ReLU), data.f32(x * scale + offset), y)


@case("every sample stands in the table eight times", ("adam", 0.003), 300, error_rate, elsewhere=True)
def duplicates():
    x, y = data.blobs(64, 12, 4, 1010)
    return vectors(mlp([12, 48, 4], nn.ReLU), np.tile(x, (8, 1)), np.tile(y, 8))


# ------------------------------------------------------------------ layers


@case("twenty ReLU layers of 64, as torch draws them", ("sgd", 0.01), 300, error_rate, "GH101", "GH203", "GH301",
      "GH206")  # fmt: skip
def twenty_layers():
    return vectors(mlp([16, *[64] * 20, 4], nn.ReLU), *data.blobs(512, 16, 4, 1011))


@case("swish, thirty layers of 48, as torch draws them", ("adam", 0.001), 200, error_rate, "GH101", "GH203", "GH301",
      "GH206")  # fmt: skip
def thirty_swish_layers():
    return vectors(mlp([16, *[48] * 30, 4], nn.SiLU), *data.blobs(512, 16, 4, 1012))


@case("the code of an autoencoder is one ReLU unit", ("adam", 0.003), 400, unexplained, "GH201", "GH306", "GH203",
      "GH101", "GH601")  # fmt: skip
def one_unit_in_the_middle():
    x, _ = data.curve(384, 12, 1013)
    module = mlp([12, 24, 24, 1, 24, 24, 12], nn.ReLU)
    with torch.no_grad():
        module[4].bias.fill_(-3.0)
    return vectors(module, x, x, functional.mse_loss)


@case("InstanceNorm behind a pooling that leaves one place", ("adam", 0.003), 300, error_rate, "GH203", "GH601",
      "GH206", "GH205")  # fmt: skip
def norm_of_one_place():
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.GroupNorm(16, 16), nn.ReLU(), nn.Flatten(), nn.Linear(16, 4),
    )  # fmt: skip
    return vectors(module, *data.images(384, 3, 12, 4, 1014))


@case("ReLU RNN over 60 steps, as torch draws it, class shown early", ("sgd", 0.01), 150, error_rate, "GH401", "GH101",
      "GH203", "GH206")  # fmt: skip
def relu_rnn():
    cell = nn.RNN(5, 32, batch_first=True, nonlinearity="relu")
    return vectors(Recurrent(cell, 32, 4), *data.marked(384, 60, 5, 4, slice(3, 7), 1015))


@case("LSTM that forgets: forget bias -6, class shown early", ("adam", 0.003), 150, error_rate, "GH401")
def forgetful_lstm():
    cell = nn.LSTM(5, 32, batch_first=True)
    with torch.no_grad():
        cell.bias_ih_l0[32:64] = -6.0
    return vectors(Recurrent(cell, 32, 4), *data.marked(384, 30, 5, 4, slice(3, 7), 1016))


@case("sixteen graph convolutions over a normalised adjacency that comes with each sample", ("adam", 0.003), 150,
      error_rate, "GH204", "GH203", "GH205", "GH101", "GH206")  # fmt: skip
def smoothed_graphs():
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(24 if place else 6, 24) for place in range(16)])
            self.head = nn.Linear(24, 2)

        def forward(self, x, adjacency):
            for layer in self.layers:
                x = torch.relu(layer(adjacency @ x))
            return self.head(x).transpose(1, 2)

    random = np.random.default_rng(1017)
    x = random.standard_normal((256, 14, 6))
    joined = np.triu(random.uniform(size=(256, 14, 14)) < 0.5, 1).astype(float)
    joined = joined + joined.transpose(0, 2, 1) + np.eye(14)
    scale = joined.sum(2) ** -0.5
    adjacency = joined * scale[:, :, None] * scale[:, None]
    y = (x[:, :, 0] + x[:, :, 1] > 0).astype(np.int64)
    return Patient(Graph(), {"x": data.f32(x), "adjacency": data.f32(adjacency)}, y, functional.cross_entropy)


@case("scores times a hundred in front of the loss", ("sgd", 0.01), 300, error_rate, "GH501", "GH102", "GH301", "GH108")
def loud_scores():
    return vectors(mlp([16, 48, 48, 4], nn.ReLU, Apply(lambda x: 100 * x)), *data.blobs(512, 16, 4, 1018))


# ------------------------------------------------------------------ rates


@case("sound CNN, Adam at .1", ("adam", 0.1), 200, error_rate, "GH109", elsewhere=True, optimizer="adam",
      learning_rate=0.1)  # fmt: skip
def cnn_at_a_tenth():
    return vectors(cnn(3, 12, 4), *data.images(384, 3, 12, 4, 1019))


@case("sound LSTM, SGD at .0001", ("sgd", 0.0001), 150, error_rate, "GH109", elsewhere=True, optimizer="sgd",
      learning_rate=0.0001)  # fmt: skip
def lstm_at_a_crawl():
    return vectors(Recurrent(nn.LSTM(5, 32, batch_first=True), 32, 4), *data.marked(384, 16, 5, 4, slice(10, 15), 1020))


# ------------------------------------------------------------------ sound ones that look odd


@case("normalised scores: BatchNormalization behind the last layer", ("adam", 0.01), 300, error_rate, elsewhere=True)
def normalised_scores():
    return vectors(nn.Sequential(*mlp([16, 48, 4], nn.ReLU), nn.BatchNorm1d(4)), *data.blobs(512, 16, 4, 1021))


@case("sines and cosines of one number at ten frequencies", ("adam", 0.003), 400, unexplained, elsewhere=True)
def frequencies():
    class Encoded(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = mlp([20, 64, 64, 1], nn.ReLU)

        def forward(self, x):
            turned = x * 2.0 ** torch.arange(10)
            return self.body(torch.cat([turned.sin(), turned.cos()], 1))

    x = np.random.default_rng(1022).uniform(-1, 1, (512, 1))
    return vectors(Encoded(), data.f32(x), data.f32(np.sin(9 * x) + 0.3 * np.sign(x)), functional.mse_loss)


@case("channels mixed, then places mixed: an MLP mixer", ("adam", 0.003), 200, error_rate, elsewhere=True)
def mixer():
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.places, self.channels = mlp([9, 32, 9], nn.GELU), mlp([24, 48, 24], nn.GELU)
            self.first, self.second = nn.LayerNorm(24), nn.LayerNorm(24)

        def forward(self, x):
            x = x + self.places(self.first(x).transpose(1, 2)).transpose(1, 2)
            return x + self.channels(self.second(x))

    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 24, 4, 4), nn.Linear(24, 4)
            self.body = nn.Sequential(*[Mixing() for _ in range(4)])

        def forward(self, x):
            return self.head(self.body(self.stem(x).flatten(2).transpose(1, 2)).mean(1))

    return vectors(Mixer(), *data.images(384, 3, 12, 4, 1023))


@case("an ensemble: the mean of five small networks", ("adam", 0.003), 300, error_rate, elsewhere=True)
def ensemble():
    class Ensemble(nn.Module):
        def __init__(self):
            super().__init__()
            self.members = nn.ModuleList([mlp([12, 24, 4], nn.ReLU) for _ in range(5)])

        def forward(self, x):
            return torch.stack([member(x) for member in self.members]).mean(0)

    return vectors(Ensemble(), *data.blobs(512, 12, 4, 1024))


@case("twelve residual convolutions, BatchNormalization, minibatches of 64", ("sgd", 0.05), 150, error_rate,
      elsewhere=True)  # fmt: skip
def residual_convolutions():
    def block() -> nn.Module:
        return Residual(nn.Sequential(nn.Conv2d(12, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
                                      nn.Conv2d(12, 12, 3, padding=1), nn.BatchNorm2d(12)))  # fmt: skip

    body = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), *[block() for _ in range(6)])
    module = nn.Sequential(body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 4))
    return vectors(module, *data.images(384, 3, 12, 4, 1025))


@case("five tanh convolutions drawn by Xavier", ("sgd", 0.05), 200, error_rate, elsewhere=True)
def tanh_convolutions():
    module = initialise(PlainConvolutions(3, 12, 5, 4, nn.Tanh), nn.init.xavier_uniform_)
    return vectors(module, *data.images(384, 3, 12, 4, 1026))
