"""Third draw: like the second, other networks and data; only counted, nothing was mended by it."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.people import data
from tests.benchmarks.people.draw import Draw, Patient, binary_error, cross_entropy_over_chance, error_rate, unexplained
from tests.benchmarks.people.parts import Recurrent, cnn, initialise, mlp

THIRD_REPORTS = Draw()
case = THIRD_REPORTS.case


def vectors(module: nn.Module, x: np.ndarray, y: np.ndarray, loss=functional.cross_entropy) -> Patient:
    return Patient(module, {"x": x}, y, loss)


@case("convolutions and linear layers without activations, exclusive or of two numbers", ("adam", 0.003), 500,
      error_rate, "GH307")  # fmt: skip
def linear_exclusive_or():
    x, y = data.signs(512, 4, 201)
    convolution = nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 8, 3, padding=1), nn.Flatten())
    return vectors(nn.Sequential(convolution, mlp([32, 24, 24, 2], nn.Identity)), x, y)


@case("LogSoftmax over the samples, NLLLoss", ("adam", 0.003), 300, cross_entropy_over_chance, "GH603", loss="nll")
def log_softmax_along_samples():
    module = mlp([10, 24, 24, 3], nn.Tanh, nn.LogSoftmax(0))
    return vectors(module, *data.blobs(384, 10, 3, 202), functional.nll_loss)


@case("ReLU on the output, numbers around zero", ("adam", 0.003), 500, unexplained, "GH503")
def relu_for_numbers():
    return vectors(mlp([7, 40, 40, 2], nn.Tanh, nn.ReLU()), *data.curve(400, 7, 203, 2), functional.mse_loss)


@case("the largest feature of all clouds instead of each", ("sgd", 0.05), 300, error_rate, "GH603")
def largest_over_samples():
    class Cloud(nn.Module):
        def __init__(self):
            super().__init__()
            self.points, self.head = mlp([3, 24, 24], nn.ReLU), nn.Linear(24, 4)

        def forward(self, x):
            seen = self.points(x).amax(1)
            return self.head(seen.amax(0, keepdim=True).expand_as(seen))

    return vectors(Cloud(), *data.marked(320, 12, 3, 4, slice(0, 12), 204))


@case("lengths in kilometres: inputs of a thousandth", ("sgd", 0.05), 400, error_rate, "GH305")
def small_inputs():
    x, y = data.blobs(512, 14, 4, 205)
    return vectors(mlp([14, 40, 40, 4], nn.ReLU), data.f32(0.001 * x), y)


@case("returns of minus to plus 8000", ("sgd", 0.003), 300, unexplained, "GH308")
def returns():
    x, y = data.curve(512, 10, 206, 3)
    return vectors(mlp([10, 80, 80, 3], nn.Tanh), x, data.f32(4000 * y), functional.mse_loss)


@case("weights uniform between 0 and 1", ("sgd", 0.01), 300, error_rate, "GH301", "GH102", "GH501", "GH206", "GH203")
def positive_weights():
    module = initialise(mlp([18, 50, 50, 50, 3], nn.ReLU), lambda w: nn.init.uniform_(w, 0, 1))
    return vectors(module, *data.blobs(512, 18, 3, 207))


@case("convolutions whose biases start at -10", ("adam", 0.001), 200, error_rate, "GH201", "GH301", "GH601")
def silent_convolutions():
    module = initialise(cnn(3, 8, 4, width=8), nn.init.kaiming_normal_, biases=-10.0)
    return vectors(module, *data.images(320, 3, 8, 4, 208))


@case("labels of pictures shuffled apart", ("adam", 0.003), 200, error_rate, "GH505", elsewhere=True, send=384)
def pictures_of_others():
    x, y = data.images(384, 1, 8, 4, 209)
    return vectors(cnn(1, 8, 4, width=8), x, np.random.default_rng(209).permutation(y))


@case("sound MLP, SGD at 30", ("sgd", 30.0), 200, error_rate, "GH109", elsewhere=True, optimizer="sgd",
      learning_rate=30.0)  # fmt: skip
def far_too_large_a_rate():
    return vectors(mlp([12, 40, 40, 3], nn.Tanh), *data.blobs(512, 12, 3, 210))


@case("tanh RNN, the class is shown in the first tenth of 70 steps", ("adam", 0.001), 150, error_rate, "GH401")
def early_class():
    cell = nn.RNN(4, 24, batch_first=True)
    nn.init.orthogonal_(cell.weight_hh_l0, 0.6)
    return vectors(Recurrent(cell, 24, 3), *data.marked(256, 70, 4, 3, slice(0, 7), 211))


@case("last layer zero", ("sgd", 0.05), 400, error_rate, elsewhere=True)
def zero_head():
    module = mlp([20, 48, 48, 5], nn.ReLU)
    with torch.no_grad():
        module[-1].weight.zero_()
    return vectors(module, *data.blobs(512, 20, 5, 212))


@case("pixels from 0 to 1, never centred", ("adam", 0.003), 300, error_rate, elsewhere=True)
def pixels_from_zero_to_one():
    x, y = data.pixels(320, 3, 8, 4, 213)
    return vectors(cnn(3, 8, 4, width=8), data.f32(x / 255), y)


@case("positive where three numbers sum to more than one", ("sgd", 0.02), 400, binary_error(0.0), elsewhere=True)
def few_positive():
    x, _ = data.blobs(512, 16, 2, 214)
    y = (x[:, :3].sum(1) > 1.0).astype(np.float32)[:, None]
    return vectors(mlp([16, 40, 40, 1], nn.LeakyReLU), x, y, functional.binary_cross_entropy_with_logits)
