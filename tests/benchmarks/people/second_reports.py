"""Second draw: what people ask about because it does not train, and sound networks that look odd.

Written, causes and all, before the product had seen any of them.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.people import data
from tests.benchmarks.people.draw import (
    Draw,
    Patient,
    binary_error,
    cross_entropy_over_chance,
    error_rate,
    excess_over_floor,
    own_loss,
    unexplained,
)  # fmt: skip
from tests.benchmarks.people.parts import (
    Apply,
    Attention,
    PlainConvolutions,
    Recurrent,
    Residual,
    cnn,
    initialise,
    mlp,
)  # fmt: skip

SECOND_REPORTS = Draw()
case = SECOND_REPORTS.case


def vectors(module: nn.Module, x: np.ndarray, y: np.ndarray, loss=functional.cross_entropy) -> Patient:
    return Patient(module, {"x": x}, y, loss)


# ------------------------------------------------------------------ layers, activations, initialisation


@case("no activation between four Dense layers, two spirals", ("adam", 0.01), 600, error_rate, "GH307")
def forgotten_activations():
    return vectors(mlp([2, 32, 32, 32, 2], nn.Identity), *data.spirals(512, 1))


@case("ReLU layers whose biases start at -6", ("sgd", 0.01), 400, error_rate, "GH201", "GH301", "GH601")
def negative_biases():
    module = initialise(mlp([16, 64, 64, 64, 4], nn.ReLU), nn.init.kaiming_normal_, biases=-6.0)
    return vectors(module, *data.blobs(512, 16, 4, 2))


@case("all weights of a tanh network 0.05", ("sgd", 0.05), 500, unexplained, "GH302")
def constant_weights():
    module = initialise(mlp([8, 32, 32, 1], nn.Tanh), lambda w: nn.init.constant_(w, 0.05))
    return vectors(module, *data.curve(512, 8, 3), functional.mse_loss)


@case("CNN with all kernels zero", ("adam", 0.001), 300, error_rate, "GH302", "GH601")
def zero_kernels():
    return vectors(initialise(cnn(1, 12, 5), nn.init.zeros_), *data.images(384, 1, 12, 5, 4))


@case("nine sigmoid layers", ("sgd", 0.05), 500, error_rate, "GH101", "GH203", "GH206")
def sigmoids_in_a_row():
    return vectors(mlp([20] + [48] * 8 + [4], nn.Sigmoid), *data.blobs(512, 20, 4, 5))


@case("36 convolutions, torch's own initialisation", ("sgd", 0.01), 250, error_rate, "GH101", "GH203", "GH301")
def deep_plain_cnn():
    return vectors(PlainConvolutions(3, 12, 36, 4), *data.images(320, 3, 8, 4, 6))


@case("LayerNorm over the one number that is left", ("adam", 0.005), 400, unexplained, "GH203", "GH601", "GH206")
def norm_of_one_number():
    module = nn.Sequential(mlp([10, 32, 32, 1], nn.ReLU), nn.LayerNorm(1))
    return vectors(module, *data.curve(512, 10, 7), functional.mse_loss)


@case("a threshold between the layers", ("adam", 0.005), 400, error_rate, "GH601")
def hard_threshold():
    module = nn.Sequential(
        nn.Linear(2, 4), Apply(lambda x: (x > 4).float()), nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2)
    )
    return vectors(module, *data.spirals(512, 8))


# ------------------------------------------------------------------ output and loss


@case("Sigmoid, then BCEWithLogits", ("sgd", 0.05), 500,
      lambda o, y: float(functional.binary_cross_entropy_with_logits(o, y)) / 0.69, "GH504",
      "GH501", loss="bce")  # fmt: skip
def sigmoid_twice():
    x, y = data.blobs(512, 12, 2, 9)
    return vectors(
        mlp([12, 32, 1], nn.ReLU, nn.Sigmoid()), x, data.f32(y)[:, None], functional.binary_cross_entropy_with_logits
    )


@case("Softmax over the samples instead of the classes", ("adam", 0.003), 400, cross_entropy_over_chance, "GH603")
def softmax_along_samples():
    module = mlp([16, 48, 4], nn.ReLU, nn.Softmax(0))
    return vectors(module, *data.blobs(512, 16, 4, 10))


@case("Sigmoid on numbers from -2 to 2", ("adam", 0.003), 500, unexplained, "GH503")
def sigmoid_for_numbers():
    return vectors(mlp([6, 32, 32, 1], nn.ReLU, nn.Sigmoid()), *data.curve(512, 6, 11), functional.mse_loss)


@case("features averaged over the samples", ("adam", 0.003), 300, error_rate, "GH603")
def mean_over_samples():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head = mlp([8, 32, 32], nn.ReLU), nn.Linear(32, 3)

        def forward(self, x):
            seen = self.first(x)
            return self.head(seen.mean(0, keepdim=True).expand_as(seen).mean(1))

    return vectors(Pooled(), *data.marked(384, 10, 8, 3, slice(2, 8), 12))


@case("autoencoder with a sigmoid, pixels from 0 to 255 as inputs and targets", ("adam", 0.001), 300, unexplained,
      "GH503", "GH305", "GH308")  # fmt: skip
def autoencoder_of_bytes():
    x = data.pixels(384, 1, 8, 6, 13)[0].reshape(384, -1)
    return vectors(mlp([64, 32, 8, 32, 64], nn.ReLU, nn.Sigmoid()), x, x.copy(), functional.mse_loss)


# ------------------------------------------------------------------ inputs and targets


@case("tanh layers on pixels from 0 to 255", ("sgd", 0.01), 400, error_rate, "GH305")
def raw_pixels():
    x, y = data.pixels(512, 1, 10, 5, 14)
    module = nn.Sequential(nn.Flatten(), mlp([100, 64, 64, 5], nn.Tanh))
    return vectors(module, x, y)


@case("prices of 250,000 with deviation 60,000", ("sgd", 0.001), 400, unexplained, "GH308")
def prices():
    x, y = data.curve(512, 9, 15)
    return vectors(mlp([9, 64, 64, 1], nn.ReLU), x, data.f32(250_000 + 60_000 * y), functional.mse_loss)


@case("labels belong to the row before", ("adam", 0.003), 300, error_rate, "GH505", elsewhere=True, send=512)
def labels_of_the_row_before():
    x, y = data.blobs(512, 16, 4, 16)
    return vectors(mlp([16, 64, 64, 4], nn.ReLU), x, np.roll(y, 1))


@case("classes counted from 1", ("adam", 0.003), 100, error_rate, "refused")
def classes_from_one():
    x, y = data.blobs(256, 16, 5, 17)
    return vectors(mlp([16, 32, 5], nn.ReLU), x, y + 1)


@case("file sorted by class: the batch has one", ("sgd", 0.05), 200, error_rate, "GH506", elsewhere=True)
def sorted_by_class():
    x, y = data.blobs(512, 16, 4, 18)
    order = np.argsort(y, kind="stable")
    return vectors(mlp([16, 32, 4], nn.ReLU), x[order], y[order])


# ------------------------------------------------------------------ optimiser and conditions


@case("sound MLP, SGD at 1e-6", ("sgd", 1e-6), 300, error_rate, "GH109", elsewhere=True,
      optimizer="sgd", learning_rate=1e-6)  # fmt: skip
def rate_too_small():
    return vectors(mlp([16, 64, 64, 4], nn.ReLU), *data.blobs(512, 16, 4, 19))


@case("sound CNN, Adam at 0.3", ("adam", 0.3), 300, error_rate, "GH109", elsewhere=True,
      optimizer="adam", learning_rate=0.3)  # fmt: skip
def rate_too_large():
    return vectors(cnn(3, 8, 5), *data.images(384, 3, 8, 5, 20))


@case("dropout .9 behind each of three layers", ("sgd", 0.05), 500, error_rate, "GH602")
def heavy_dropout():
    layers: list[nn.Module] = []
    for before, after in ((20, 40), (40, 40), (40, 24)):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(0.9)]
    return vectors(nn.Sequential(*layers, nn.Linear(24, 4)), *data.blobs(512, 20, 4, 21))


# ------------------------------------------------------------------ recurrence, attention, own losses


@case("GRU that starts by forgetting: update bias -4, class shown early", ("adam", 0.002), 200, error_rate, "GH401")
def forgetful_gru():
    cell = nn.GRU(5, 32, batch_first=True)
    with torch.no_grad():
        cell.bias_ih_l0[32:64] = -4.0
    return vectors(Recurrent(cell, 32, 4), *data.marked(256, 50, 5, 4, slice(3, 10), 22))


@case("attention without dividing, projections of deviation 1", ("sgd", 0.01), 400, error_rate, "GH207", "GH301",
      "GH501", "GH102")  # fmt: skip
def undivided_attention():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.head = Attention(48, divided=False), nn.Linear(48, 4)
            initialise(self.attention, nn.init.normal_)

        def forward(self, x):
            return self.head(self.attention(x).mean(1))

    return vectors(Pooled(), *data.marked(384, 12, 48, 4, slice(2, 9), 23))


@case("VAE whose logarithmic variance starts at 200", ("adam", 0.001), 200, own_loss, "GH106")
def overflowing_variance():
    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode, self.decode = mlp([20, 32, 8], nn.ReLU), mlp([4, 32, 20], nn.ReLU)
            with torch.no_grad():
                self.encode[-1].bias[4:] = 200.0

        def forward(self, x):
            mean, log_variance = self.encode(x).chunk(2, 1)
            code = mean + torch.exp(0.5 * log_variance) * torch.sin(37 * x[:, :4])
            reconstruction = (self.decode(code) - x).square().sum(1)
            return (reconstruction + 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(1)).mean()

    return Patient(Autoencoder(), {"x": data.blobs(256, 20, 3, 24)[0]}, None, None)


# ------------------------------------------------------------------ sound, and odd to look at


@case("logistic regression", ("sgd", 0.1), 400, error_rate, elsewhere=True)
def logistic_regression():
    x = data.blobs(512, 12, 2, 25)[0]
    y = (x @ np.random.default_rng(25).standard_normal(12) > 0).astype(np.int64)
    return vectors(nn.Linear(12, 2), x, y)


@case("CNN with BatchNormalization at the input, pixels from 0 to 255", ("adam", 0.003), 300, error_rate,
      elsewhere=True)  # fmt: skip
def bytes_into_normalization():
    module = nn.Sequential(nn.BatchNorm2d(3), *cnn(3, 8, 5, nn.BatchNorm2d))
    return vectors(module, *data.pixels(384, 3, 8, 5, 26))


@case("residual MLP whose branches start at zero", ("adam", 0.003), 300, error_rate, elsewhere=True)
def closed_branches():
    layers = [Residual(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)), 0.0) for _ in range(8)]
    return vectors(nn.Sequential(nn.Linear(16, 32), *layers, nn.Linear(32, 4)), *data.blobs(512, 16, 4, 27))


@case("label smoothing: the loss ends at .6 of where it starts", ("adam", 0.003), 400, excess_over_floor,
      elsewhere=True)  # fmt: skip
def smoothed_labels():
    x, y = data.blobs(512, 16, 5, 28)
    return vectors(mlp([16, 64, 5], nn.ReLU), x, data.f32(0.75 * np.eye(5)[y] + 0.05))


@case("words as one of 300, nearly all inputs zero", ("adam", 0.01), 300, error_rate, elsewhere=True)
def one_hot_words():
    random = np.random.default_rng(29)
    words = random.integers(0, 300, 512)
    return vectors(mlp([300, 32, 4], nn.ReLU), data.f32(np.eye(300)[words]), (words % 4).astype(np.int64))


@case("one in ten of the rare class", ("adam", 0.003), 400, binary_error(0.0), elsewhere=True)
def rare_class():
    random = np.random.default_rng(30)
    y = (random.uniform(size=512) < 0.1).astype(np.int64)
    x = random.standard_normal((512, 16)) + 1.2 * y[:, None] * random.standard_normal(16)
    module = mlp([16, 32, 1], nn.ReLU)
    return vectors(module, data.f32(x), data.f32(y)[:, None], functional.binary_cross_entropy_with_logits)


@case("temperatures around 21 degrees", ("adam", 0.01), 600, unexplained, elsewhere=True)
def temperatures():
    x, y = data.curve(512, 6, 31)
    return vectors(mlp([6, 64, 64, 1], nn.Tanh), x, data.f32(21 + 3 * y), functional.mse_loss)
