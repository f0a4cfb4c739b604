"""Fifth draw: kinds of people's reports that no earlier draw has.

Written, causes and all, before the product had seen any of them.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.people import data
from tests.benchmarks.people.draw import Draw, Patient, binary_error, error_rate, unexplained
from tests.benchmarks.people.parts import Apply, mlp

FIFTH_REPORTS = Draw()
case = FIFTH_REPORTS.case


def vectors(module: nn.Module, x: np.ndarray, y: np.ndarray, loss=functional.cross_entropy) -> Patient:
    return Patient(module, {"x": x}, y, loss)


def yes_or_no(module: nn.Module, width: int, seed: int, loss=functional.binary_cross_entropy_with_logits) -> Patient:
    x, y = data.blobs(512, width, 2, seed)
    return vectors(module, x, data.f32(y)[:, None], loss)


# ------------------------------------------------------------------ output and loss


@case("ReLU, then BCEWithLogits: no is never said", ("adam", 0.003), 400,
      lambda o, y: float(functional.binary_cross_entropy_with_logits(o, y)) / 0.69, "GH503", "GH501",
      loss="bce")  # fmt: skip
def relu_for_yes_or_no():
    return yes_or_no(mlp([12, 32, 32, 1], nn.ReLU, nn.ReLU()), 12, 601)


@case("softmax of the one number that says yes or no", ("adam", 0.003), 300, binary_error(0.5), "GH203", "GH206",
      "GH503", "GH504", "GH601")  # fmt: skip
def softmax_of_one_number():
    return yes_or_no(mlp([12, 32, 1], nn.ReLU, nn.Softmax(1)), 12, 602, functional.binary_cross_entropy)


@case("labels -1 and 1 for BCEWithLogits", ("adam", 0.003), 50, binary_error(0.0), "refused", loss="bce")
def signs_for_yes_or_no():
    x, y = data.blobs(384, 12, 2, 603)
    return vectors(mlp([12, 32, 1], nn.ReLU), x, data.f32(2 * y - 1)[:, None],
                   functional.binary_cross_entropy_with_logits)  # fmt: skip


@case("logits divided by a temperature of .002", ("sgd", 0.01), 300, error_rate, "GH501", "GH102", "GH301")
def cold_logits():
    return vectors(mlp([16, 48, 48, 4], nn.Tanh, Apply(lambda x: x / 0.002)), *data.blobs(512, 16, 4, 604))


# ------------------------------------------------------------------ layers


@case("nearest code of sixteen, looked up without a straight-through gradient", ("adam", 0.003), 400, error_rate,
      "GH601")  # fmt: skip
def codes_without_gradient():
    class Codes(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode, self.codes = mlp([2, 32, 4], nn.ReLU), nn.Embedding(6, 4)
            self.head = mlp([4, 32, 2], nn.ReLU)

        def forward(self, x):
            distances = (self.encode(x)[:, None] - self.codes.weight[None].detach()).square().sum(2)
            return self.head(self.codes(distances.argmin(1)))

    return vectors(Codes(), *data.spirals(512, 605))


@case("features clamped to 0..1 behind biases of 4", ("adam", 0.001), 300, error_rate, "GH202", "GH601", "GH203",
      "GH206", "GH301", "GH201")  # fmt: skip
def clamped_features():
    module = mlp([16, 48, 48, 48, 4], lambda: Apply(lambda x: x.clamp(0, 1)))
    for layer in list(module)[:-1]:
        if isinstance(layer, nn.Linear):
            nn.init.constant_(layer.bias, 4.0)
    return vectors(module, *data.blobs(512, 16, 4, 606))


@case("skips multiply instead of adding", ("sgd", 0.01), 300, error_rate, "GH101", "GH203", "GH206", "GH301")
def products_instead_of_sums():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 32))

        def forward(self, x):
            return x * self.body(x)

    module = nn.Sequential(nn.Linear(16, 32), *[Product() for _ in range(10)], nn.Linear(32, 4))
    return vectors(module, *data.blobs(512, 16, 4, 607))


@case("squares between six layers, inputs of deviation 3", ("sgd", 0.01), 300, error_rate, "GH102", "GH106", "GH301",
      "GH501", "GH101", "GH206", "GH203")  # fmt: skip
def squares():
    x, y = data.blobs(512, 16, 4, 608)
    return vectors(mlp([16] + [40] * 6 + [4], lambda: Apply(torch.square)), data.f32(3 * x), y)


@case("LSTM that takes the samples for its steps", ("adam", 0.003), 200, error_rate, "GH603")
def steps_along_samples():
    class Sequences(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.LSTM(5, 24), nn.Linear(24, 4)

        def forward(self, x):
            return self.head(self.cell(x)[0][:, -1])

    return vectors(Sequences(), *data.marked(320, 16, 5, 4, slice(2, 12), 609))


@case("attention that hides each step from itself and from those before it", ("adam", 0.003), 200, error_rate, "GH106")
def rows_all_masked():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))
            self.head = nn.Linear(8, 4)
            self.register_buffer("mask", torch.full((10, 10), -torch.inf).triu(0))

        def forward(self, x):
            scores = self.query(x) @ self.key(x).transpose(1, 2) / 8**0.5 + self.mask
            return self.head((torch.softmax(scores, 2) @ self.value(x)).mean(1))

    return vectors(Masked(), *data.marked(320, 10, 8, 4, slice(2, 9), 610))


@case("rows divided by their length, a few of them empty", ("adam", 0.003), 200, error_rate, "GH106")
def empty_rows():
    x, y = data.blobs(512, 16, 4, 611)
    x[::9] = 0.0
    divide = Apply(lambda x: x / x.square().sum(1, keepdim=True).sqrt())
    return vectors(nn.Sequential(divide, mlp([16, 40, 4], nn.ReLU)), x, y)


# ------------------------------------------------------------------ inputs and targets


@case("the tokeniser gives padding only", ("adam", 0.003), 150, error_rate, "GH203", "GH204", "GH205", "GH206", "GH502",
      "GH505", elsewhere=True)  # fmt: skip
def padding_only():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.head = nn.Embedding(50, 16), mlp([16, 32, 3], nn.ReLU)

        def forward(self, ids):
            return self.head(self.words(ids).mean(1))

    y = np.random.default_rng(612).integers(0, 3, 384)
    return Patient(Words(), {"ids": np.zeros((384, 12), np.int64)}, y.astype(np.int64), functional.cross_entropy)


# ------------------------------------------------------------------ sound, and odd to look at


@case("more classes than samples were sent", ("adam", 0.005), 400, error_rate, elsewhere=True)
def hundred_classes():
    return vectors(mlp([32, 96, 100], nn.ReLU), *data.blobs(768, 32, 100, 613, 0.3))


@case("two pictures, one network: are they alike", ("adam", 0.003), 300, binary_error(0.0), elsewhere=True)
def twins():
    class Twins(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = mlp([12, 48, 16], nn.ReLU), mlp([16, 16, 1], nn.ReLU)

        def forward(self, one, other):
            return self.head((self.body(one) - self.body(other)).abs())

    x, y = data.blobs(768, 12, 3, 614, 0.3)
    one, other = x[:384], x[384:]
    alike = data.f32(y[:384] == y[384:])[:, None]
    return Patient(Twins(), {"one": one, "other": other}, alike, functional.binary_cross_entropy_with_logits)


@case("counts behind an exponential", ("adam", 0.003), 400, unexplained, elsewhere=True)
def counts():
    x, y = data.curve(512, 6, 615)
    seen = np.random.default_rng(615).poisson(np.exp(1.0 + y))
    return vectors(mlp([6, 48, 48, 1], nn.Tanh, Apply(torch.exp)), x, data.f32(seen), functional.mse_loss)


@case("nine in ten targets are zero", ("adam", 0.003), 500, unexplained, elsewhere=True)
def mostly_zero():
    x, y = data.curve(512, 4, 616)
    return vectors(mlp([4, 64, 64, 1], nn.ReLU), x, data.f32(np.maximum(y - 1.2, 0)), functional.mse_loss)


@case("one number in, one out", ("adam", 0.01), 500, unexplained, elsewhere=True)
def one_number():
    x = np.random.default_rng(617).uniform(-2, 2, (384, 1))
    return vectors(mlp([1, 32, 32, 1], nn.Tanh), data.f32(x), data.f32(np.sin(3 * x)), functional.mse_loss)


@case("inputs already squeezed through a softmax: shares of a whole", ("adam", 0.005), 500, error_rate, elsewhere=True)
def shares():
    x, y = data.blobs(512, 20, 4, 618)
    whole = np.exp(x)
    return vectors(mlp([20, 48, 48, 4], nn.ReLU), data.f32(whole / whole.sum(1, keepdims=True)), y)
