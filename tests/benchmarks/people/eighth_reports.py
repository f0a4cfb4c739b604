"""Eighth draw: what beginners ask, with the sizes, rates and losses that they ask about.

Written, causes and all, before the product had seen any of them.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.people import data
from tests.benchmarks.people.draw import Draw, Patient, binary_error, error_rate, own_loss, unexplained
from tests.benchmarks.people.parts import (
    Apply,
    Layer,
    PlainConvolutions,
    Recurrent,
    Residual,
    Transformer,
    each_token,
    initialise,
    mlp,
)  # fmt: skip

EIGHTH_REPORTS = Draw()
case = EIGHTH_REPORTS.case


def vectors(module: nn.Module, x: np.ndarray, y: np.ndarray, loss=functional.cross_entropy) -> Patient:
    return Patient(module, {"x": x}, y, loss)


def share_wrong(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Of one-hot or soft targets."""
    return error_rate(outputs, targets.argmax(1))


# ------------------------------------------------------------------ the first network of a lifetime


@case("exclusive or of four samples, 2-2-1 sigmoids, MSE, SGD at .01", ("sgd", 0.01), 500, binary_error(0.5), "GH109",
      "GH101", "GH306", elsewhere=True, send=4, optimizer="sgd", learning_rate=0.01)  # fmt: skip
def four_samples():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    module = mlp([2, 2, 1], nn.Sigmoid, nn.Sigmoid())
    return vectors(module, data.f32(x), data.f32(x[:, :1] != x[:, 1:]), functional.mse_loss)


@case("houses: rooms, metres, years and a price of 300,000, nothing scaled, SGD at .01", ("sgd", 0.01), 300,
      unexplained, "GH305", "GH308", "GH506", optimizer="sgd", learning_rate=0.01)  # fmt: skip
def houses():
    random = np.random.default_rng(902)
    rooms, metres = random.integers(1, 9, 512), random.uniform(300, 4000, 512)
    built, land = random.integers(1900, 2020, 512), random.uniform(1e3, 4e4, 512)
    price = 3e4 * rooms + 90 * metres + 700 * (built - 1900) + 2 * land + 5e3 * random.standard_normal(512)
    return vectors(mlp([4, 64, 64, 1], nn.ReLU), data.f32(np.stack([rooms, metres, built, land], 1)),
                   data.f32(price)[:, None], functional.mse_loss)  # fmt: skip


@case("a sine from 0 to 100, one number in, tanh", ("adam", 0.001), 500, unexplained, "GH305")
def sine_far_out():
    x = np.random.default_rng(903).uniform(0, 100, (512, 1))
    return vectors(mlp([1, 32, 32, 1], nn.Tanh), data.f32(x), data.f32(np.sin(x / 8)), functional.mse_loss)


@case("softmax between hidden layers, as it stood in the example", ("sgd", 0.01), 400, error_rate, "GH101", "GH203",
      "GH206", "GH301", "GH601")  # fmt: skip
def softmax_inside():
    return vectors(mlp([16, 64, 64, 64, 4], lambda: nn.Softmax(1)), *data.blobs(512, 16, 4, 904))


@case("sigmoids between five convolutions and two layers, default initialisation", ("sgd", 0.01), 200, error_rate,
      "GH101", "GH203", "GH206", "GH301")  # fmt: skip
def sigmoid_pictures():
    convolutions = [
        part
        for place in range(5)
        for part in (nn.Conv2d(8 if place else 3, 8, 3, padding=1), nn.Sigmoid())
    ]  # fmt: skip
    module = nn.Sequential(*convolutions, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(72, 32), nn.Sigmoid(),
                           nn.Linear(32, 4))  # fmt: skip
    return vectors(module, *data.images(384, 3, 12, 4, 905))


@case("autoencoder of eight sigmoid layers, pixels from 0 to 1", ("adam", 0.001), 300, unexplained, "GH101", "GH203",
      "GH206", "GH301", "GH306")  # fmt: skip
def deep_autoencoder():
    x, _ = data.pixels(384, 1, 12, 5, 906)
    x = x.reshape(384, 144) / 255
    module = mlp([144, 96, 64, 32, 8, 32, 64, 96, 144], nn.Sigmoid, nn.Sigmoid())
    return vectors(module, x, x, functional.mse_loss)


@case("thirteen convolutions of a VGG without norms, torch's initialisation", ("sgd", 0.01), 150, error_rate, "GH101",
      "GH203", "GH301", "GH206")  # fmt: skip
def vgg():
    layers: list[nn.Module] = []
    before = 3
    for width, times in ((8, 2), (12, 2), (16, 3), (24, 3), (24, 3)):
        for _ in range(times):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
        layers += [nn.MaxPool2d(2)] if width < 24 else []
    module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(24 * 4, 48), nn.ReLU(), nn.Linear(48, 4))
    return vectors(module, *data.images(384, 3, 16, 4, 907))


@case("ratings from 1 to 5 as products of embeddings of deviation .01, SGD", ("sgd", 0.01), 400, unexplained, "GH206",
      "GH301", "GH101", "GH501", "GH109", "GH503", "GH308", "GH203")  # fmt: skip
def ratings():
    class Factors(nn.Module):
        def __init__(self):
            super().__init__()
            self.people, self.films = nn.Embedding(60, 16), nn.Embedding(40, 16)
            for table in (self.people, self.films):
                nn.init.normal_(table.weight, std=0.01)

        def forward(self, who, what):
            return (self.people(who) * self.films(what)).sum(1, keepdim=True)

    random = np.random.default_rng(908)
    who, what = random.integers(0, 60, 1024), random.integers(0, 40, 1024)
    taste, kind = random.standard_normal((60, 3)), random.standard_normal((40, 3))
    stars = np.clip(3 + (taste[who] * kind[what]).sum(1), 1, 5)
    return Patient(Factors(), {"who": who, "what": what}, data.f32(stars)[:, None], functional.mse_loss)


@case("Siamese pictures from 0 to 255, contrastive loss in the graph", ("adam", 0.001), 200, own_loss, "GH305", "GH102",
      "GH605", "GH501")  # fmt: skip
def contrasts():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(),
                nn.Linear(144, 16),
            )  # fmt: skip

        def forward(self, a, b, same):
            apart = (self.body(a) - self.body(b)).square().sum(1).add(1e-6).sqrt()
            return (same * apart**2 + (1 - same) * torch.relu(1 - apart) ** 2).mean()

    x, y = data.pixels(512, 1, 12, 4, 909)
    other = np.random.default_rng(909).permutation(512)
    return Patient(Pair(), {"a": x, "b": x[other], "same": data.f32(y == y[other])}, None, None)


# ------------------------------------------------------------------ losses and labels


@case("NLLLoss of scores that no LogSoftmax has seen", ("adam", 0.001), 200, error_rate, "GH503", "GH501", "GH504",
      "GH106", loss="nll")  # fmt: skip
def scores_for_logarithms():
    return vectors(mlp([16, 48, 48, 4], nn.ReLU), *data.blobs(512, 16, 4, 910), functional.nll_loss)


@case("MSE of a softmax and one-hot labels, SGD", ("sgd", 0.05), 500, share_wrong, elsewhere=True)
def squares_of_shares():
    x, y = data.blobs(512, 16, 4, 911)
    return vectors(mlp([16, 48, 4], nn.ReLU, nn.Softmax(1)), x, np.eye(4, dtype=np.float32)[y], functional.mse_loss)


@case("labels given as shares of three annotators", ("adam", 0.003), 300, share_wrong, elsewhere=True)
def annotators():
    x, y = data.blobs(512, 16, 4, 912)
    votes = np.random.default_rng(912).integers(0, 4, (512, 3))
    votes[:, :2] = y[:, None]
    return vectors(mlp([16, 48, 4], nn.ReLU), x, data.f32(np.eye(4)[votes].mean(1)))


@case("one pixel in fifty is the thing that is looked for, BCE", ("adam", 0.003), 300, binary_error(0.0),
      elsewhere=True)  # fmt: skip
def rare_pixels():
    random = np.random.default_rng(913)
    masks = np.zeros((256, 1, 12, 12))
    for each, row, column in zip(masks, *random.integers(0, 11, (2, 256)), strict=True):
        each[0, row : row + 2, column : column + 2] = 1
    x = 2 * masks + 0.5 * random.standard_normal(masks.shape)
    module = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
                           nn.Conv2d(8, 1, 1))  # fmt: skip
    return vectors(module, data.f32(x), data.f32(masks), functional.binary_cross_entropy_with_logits)


@case("an age from a picture, 0 to 90, ReLU network, Adam", ("adam", 0.001), 300, unexplained, elsewhere=True)
def ages():
    x, y = data.images(384, 3, 12, 6, 914)
    age = 15 * y + 5 * np.random.default_rng(914).uniform(size=384)
    module = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, 24, 3, 2, 1), nn.ReLU(), nn.Flatten(),
                           nn.Linear(216, 32), nn.ReLU(), nn.Linear(32, 1))  # fmt: skip
    return vectors(module, x, data.f32(age)[:, None], functional.mse_loss)


# ------------------------------------------------------------------ where numbers break


@case("each token divided by its root mean square, padding is zero, no epsilon", ("adam", 0.003), 200, error_rate,
      "GH106")  # fmt: skip
def norm_of_padding():
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = mlp([8, 32, 32], nn.ReLU), nn.Linear(32, 4)

        def forward(self, x):
            return self.head(self.body(x / x.square().mean(-1, keepdim=True).sqrt()).mean(1))

    x, y = data.marked(384, 10, 8, 4, slice(2, 5), 915)
    x[:, 8:] = 0
    return vectors(Normed(), x, y)


@case("deviation of the one step that a pooling has left, unbiased", ("adam", 0.003), 200, error_rate, "GH106")
def deviation_of_one():
    class Statistics(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Conv1d(6, 16, 3), nn.Linear(32, 4)

        def forward(self, x):
            h = functional.max_pool1d(torch.relu(self.body(x)), 10)
            mean = h.mean(2)
            spread = ((h - mean[..., None]).square().sum(2) / (h.shape[2] - 1)).sqrt()
            return self.head(torch.cat([mean, spread], 1))

    x, y = data.marked(384, 12, 6, 4, slice(3, 9), 916)
    return vectors(Statistics(), np.ascontiguousarray(x.transpose(0, 2, 1)), y)


# ------------------------------------------------------------------ graphs, sequences, attention


@case("graph convolutions that sum over twenty neighbours, eight of them", ("sgd", 0.01), 150, error_rate, "GH102",
      "GH501", "GH204", "GH301")  # fmt: skip
def summed_neighbours():
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(24 if place else 6, 24) for place in range(8)])
            self.head = nn.Linear(24, 4)

        def forward(self, x, adjacency):
            for layer in self.layers:
                x = torch.relu(adjacency @ layer(x))
            return self.head(x.mean(1))

    random = np.random.default_rng(917)
    x, y = data.marked(256, 24, 6, 4, slice(0, 24), 917)
    adjacency = data.f32(random.uniform(size=(256, 24, 24)) < 0.85)
    module = initialise(Graph(), nn.init.kaiming_uniform_)
    return Patient(module, {"x": x, "adjacency": adjacency}, y, functional.cross_entropy)


@case("twelve transformer layers, norms behind the sums, SGD", ("sgd", 0.1), 120, error_rate, "GH101", "GH108", "GH105",
      "GH304", "GH203", "GH205", "GH204", "GH303", "GH301", "GH207", "GH107")  # fmt: skip
def norms_behind():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(60, 32), nn.Linear(32, 4)
            self.layers = nn.Sequential(*[Layer(32, before=False) for _ in range(12)])

        def forward(self, tokens):
            return self.head(self.layers(self.embedding(tokens)).mean(1))

    random = np.random.default_rng(918)
    x = random.integers(0, 60, (512, 12))
    y = np.stack([((x >= 15 * each) & (x < 15 * each + 15)).sum(1) for each in range(4)], 1).argmax(1)
    return vectors(Reader(), x, y)


@case("characters, one GRU, next one at each place", ("adam", 0.005), 200, error_rate, elsewhere=True)
def characters():
    class Language(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.cell = nn.Embedding(30, 24), nn.GRU(24, 48, batch_first=True)
            self.head = nn.Linear(48, 30)

        def forward(self, tokens):
            return self.head(self.cell(self.embedding(tokens))[0])

    return vectors(Language(), *data.next_tokens(384, 16, 30, 919), each_token)


@case("a causal transformer, four layers, norms in front", ("adam", 0.003), 150, error_rate, elsewhere=True)
def small_language_model():
    layers = [Layer(32, before=True, causal=True) for _ in range(4)]
    return vectors(Transformer(40, 32, 16, layers), *data.next_tokens(384, 16, 40, 920), each_token)


@case("LSTM over 120 steps, the class is shown at the end", ("adam", 0.005), 150, error_rate, elsewhere=True)
def late_class():
    return vectors(Recurrent(nn.LSTM(5, 32, batch_first=True), 32, 4),
                   *data.marked(256, 120, 5, 4, slice(112, 120), 921))  # fmt: skip


@case("tanh RNN whose recurrent matrix is .3 times an orthogonal one, sum of 40 steps", ("adam", 0.003), 150,
      unexplained, "GH401", "GH101", "GH301")  # fmt: skip
def short_memory():
    cell = nn.RNN(1, 24, batch_first=True)
    nn.init.orthogonal_(cell.weight_hh_l0, 0.3)
    x = np.random.default_rng(922).standard_normal((384, 40, 1))
    early = x[:, :10].sum(1)
    return vectors(Recurrent(cell, 24, 1), data.f32(x), data.f32(early / early.std()), functional.mse_loss)


# ------------------------------------------------------------------ sound ones that look odd


@case("pictures with channels last into a convolution that has channels first", ("adam", 0.003), 300, error_rate,
      elsewhere=True)  # fmt: skip
def channels_last():
    x, y = data.images(384, 3, 12, 4, 923)
    module = nn.Sequential(nn.Conv2d(12, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 32), nn.ReLU(),
                           nn.Linear(32, 4))  # fmt: skip
    return vectors(module, np.ascontiguousarray(x.transpose(0, 2, 3, 1)), y)


@case("sixty small steps of one residual kind, a tenth each", ("sgd", 0.05), 200, error_rate, elsewhere=True)
def small_steps():
    body = [Residual(nn.Sequential(nn.Linear(24, 24), nn.Tanh(), Apply(lambda h: 0.1 * h))) for _ in range(60)]
    return vectors(nn.Sequential(nn.Linear(12, 24), *body, nn.Linear(24, 4)), *data.blobs(512, 12, 4, 924))


@case("dot products of two towers over a temperature of .07", ("adam", 0.001), 200, binary_error(0.0), elsewhere=True)
def two_towers():
    class Towers(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = mlp([12, 48, 24], nn.ReLU), mlp([9, 48, 24], nn.ReLU)
            self.warmth = nn.Parameter(torch.tensor(14.3))

        def forward(self, a, b):
            left, right = functional.normalize(self.first(a)), functional.normalize(self.second(b))
            return self.warmth * (left * right).sum(1, keepdim=True)

    random = np.random.default_rng(925)
    a, b = random.standard_normal((768, 12)), random.standard_normal((768, 9))
    mixing = random.standard_normal((12, 9)) / 12**0.5
    y = ((a @ mixing) * b).sum(1, keepdims=True) > 0
    return Patient(Towers(), {"a": data.f32(a), "b": data.f32(b)}, data.f32(y),
                   functional.binary_cross_entropy_with_logits)  # fmt: skip


@case("ten plain ReLU convolutions, He, pooled", ("sgd", 0.05), 200, error_rate, elsewhere=True)
def ten_convolutions():
    module = initialise(PlainConvolutions(3, 12, 10, 4), nn.init.kaiming_normal_)
    return vectors(module, *data.images(384, 3, 12, 4, 926))
