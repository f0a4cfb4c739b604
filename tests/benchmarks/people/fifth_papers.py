"""Fifth draw: networks of papers that no earlier draw has, sick and sound arms.

Written, causes and all, before the product had seen any of them.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.people import blocks, data, fifth_parts
from tests.benchmarks.people.draw import Draw, Patient, binary_error, error_rate, unexplained
from tests.benchmarks.people.parts import Layer, Recurrent, Transformer, each_token, initialise, mlp

FIFTH_PAPERS = Draw()
cell = FIFTH_PAPERS.case
BAD_START = ("GH101", "GH102", "GH103", "GH203", "GH206", "GH301")


def vectors(module: nn.Module, seed: int, width: int = 20, classes: int = 4) -> Patient:
    x, y = data.blobs(512, width, classes, seed)
    return Patient(module, {"x": x}, y, functional.cross_entropy)


def pictures(module: nn.Module, seed: int, classes: int = 4, size: int = 8) -> Patient:
    x, y = data.images(320, 3, size, classes, seed)
    return Patient(module, {"x": x}, y, functional.cross_entropy)


def places(layers: list[nn.Module], width: int, seed: int) -> Patient:
    """Twelve places, of which some show the class; pooled."""
    x, y = data.marked(320, 12, 8, 4, slice(2, 8), seed, 0.6)

    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.layers, self.head = nn.Linear(8, width), nn.Sequential(*layers), nn.Linear(width, 4)

        def forward(self, x):
            return self.head(self.layers(self.stem(x)).mean(1))

    return Patient(Pooled(), {"x": x}, y, functional.cross_entropy)


def tokens(layers: list[nn.Module], seed: int) -> Patient:
    x, y = data.next_tokens(384, 8, 16, seed)
    return Patient(Transformer(16, 32, 8, layers), {"tokens": x}, y, each_token)


def linear_classes(module: nn.Module, seed: int) -> Patient:
    """What a line can tell, with the answer among three."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((512, 24))
    y = (x @ random.standard_normal((24, 3))).argmax(1)
    return Patient(module, {"x": data.f32(x)}, y.astype(np.int64), functional.cross_entropy)


def wave(module: nn.Module) -> Patient:
    x = np.linspace(-1, 1, 256)[:, None]
    x = x[np.random.default_rng(500).permutation(256)]
    return Patient(module, {"x": data.f32(x)}, data.f32(np.sin(12 * x) + 0.5 * np.sin(31 * x + 1)), functional.mse_loss)


# ------------------------------------------------------------------ initialisation


@cell("Saxe 2014: 30 linear layers, orthogonal", ("sgd", 0.01), 300, error_rate)
def linear_30_orthogonal():
    return linear_classes(initialise(mlp([24] * 30 + [3], nn.Identity), nn.init.orthogonal_), 501)


@cell("Saxe 2014: 30 linear layers, Gaussian of half the variance", ("sgd", 0.01), 300, error_rate, *BAD_START)
def linear_30_small():
    module = initialise(mlp([24] * 30 + [3], nn.Identity), lambda w: nn.init.normal_(w, 0, (0.5 / 24) ** 0.5))
    return linear_classes(module, 502)


@cell("Mishkin 2016: 40 ReLU layers, layer-sequential unit variance", ("sgd", 0.01), 300, error_rate)
def lsuv_40():
    patient = vectors(mlp([20] + [48] * 40 + [4], nn.ReLU), 503)
    fifth_parts.unit_variances(patient.module, torch.from_numpy(patient.inputs["x"][:128]))
    return patient


@cell("Klambauer 2017: 40 SELU layers, drawn with twice He's deviation", ("sgd", 0.01), 300, error_rate, *BAD_START,
      "GH501")  # fmt: skip
def selu_40_wide():
    module = mlp([20] + [48] * 40 + [4], nn.SELU)
    return vectors(initialise(module, lambda w: nn.init.normal_(w, 0, 2 * (2 / w.shape[1]) ** 0.5)), 504)


@cell("Lu 2019: width 3, 30 ReLU layers, He", ("sgd", 0.01), 300, error_rate, *BAD_START, "GH201", "GH306", "GH204",
      "GH601")  # fmt: skip
def narrow_30():
    return vectors(initialise(mlp([20] + [3] * 30 + [4], nn.ReLU), nn.init.kaiming_normal_), 505)


@cell("Balduzzi 2017: looks linear, 40 layers of concatenated ReLU", ("sgd", 0.01), 300, error_rate)
def looks_linear_40():
    layers = [fifth_parts.LooksLinear(32, 32) for _ in range(40)]
    return vectors(nn.Sequential(nn.Linear(20, 32), *layers, nn.Linear(32, 4)), 506)


@cell("Simonyan 2015: 13 convolutions with pooling, deviation .01", ("sgd", 0.01), 150, error_rate, *BAD_START)
def vgg_13():
    layers: list[nn.Module] = []
    before = 3
    for group, after in enumerate((8, 12, 16)):
        for _ in range(4 + (group == 1)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
            before = after
        layers.append(nn.MaxPool2d(2))
    module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 4))
    return pictures(initialise(module, lambda w: nn.init.normal_(w, 0, 0.01)), 507)


@cell("Sitzmann 2020: sines whose inner layers are drawn as if nothing were multiplied by 30", ("adam", 0.0003), 600,
      unexplained, "GH103", "GH102", "GH301", "GH104")  # fmt: skip
def siren_chaotic():
    return wave(fifth_parts.Sines(48, 5, 30.0, (6 / 48) ** 0.5))


@cell("Tancik 2020: random Fourier features", ("adam", 0.002), 500, unexplained)
def fourier_features():
    return wave(fifth_parts.Fourier(48, 3.0))


@cell("Chang 2020: hypernetwork drawn by He, made weights too large", ("sgd", 0.01), 200, error_rate, *BAD_START,
      "GH501")  # fmt: skip
def hypernetwork_he():
    return vectors(fifth_parts.HyperNetwork(20, 24, 4, 2**0.5), 508)


@cell("Chang 2020: hypernetwork, fan-in of what it makes counted", ("sgd", 0.05), 300, error_rate)
def hypernetwork_fan_in():
    return vectors(fifth_parts.HyperNetwork(20, 24, 4, (2 / 24) ** 0.5), 509)


# ------------------------------------------------------------------ normalisation


@cell("Yang 2019: 50 ReLU layers with BatchNormalization", ("sgd", 0.05), 250, error_rate, *BAD_START, "GH104")
def batch_norm_50():
    return vectors(mlp([20] + [40] * 50 + [4], nn.ReLU, norm=nn.BatchNorm1d), 510)


@cell("Ba 2016: 30 tanh layers with LayerNorm", ("sgd", 0.05), 300, error_rate)
def layer_norm_30():
    return vectors(mlp([20] + [48] * 30 + [4], nn.Tanh, norm=nn.LayerNorm), 511)


@cell("Salimans 2016: ten weight-normalised ReLU layers, gains of the root of 2", ("sgd", 0.05), 300, error_rate)
def weight_norm_10():
    layers: list[nn.Module] = []
    for before in [20] + [48] * 9:
        layers += [fifth_parts.WeightNorm(before, 48, 2**0.5), nn.ReLU()]
    return vectors(nn.Sequential(*layers, nn.Linear(48, 4)), 512)


@cell("Goyal 2017: ResNet, last scale of each block zero", ("sgd", 0.05), 150, error_rate)
def zero_gamma():
    module = blocks.Pooled(blocks.convolution(3, 8), nn.Sequential(*[fifth_parts.ResNetOne(8) for _ in range(8)]), 8, 4)
    for block in module.body:
        nn.init.zeros_(block.body[4].weight)
    return pictures(module, 513)


@cell("Radford 2016: discriminator with BatchNormalization, LeakyReLU and a sigmoid", ("adam", 0.0005), 200,
      binary_error(0.5))  # fmt: skip
def dcgan_discriminator():
    module = nn.Sequential(
        nn.Conv2d(3, 12, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(12, 24, 4, 2, 1), nn.BatchNorm2d(24),
        nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(96, 1), nn.Sigmoid(),
    )  # fmt: skip
    initialise(module, lambda w: nn.init.normal_(w, 0, 0.02), biases=None)
    x, y = data.images(320, 3, 8, 2, 514)
    return Patient(module, {"x": x}, data.f32(y)[:, None], functional.binary_cross_entropy)


# ------------------------------------------------------------------ skips and depth


@cell("Srivastava 2015: 50 layers whose gates start open for the transform", ("sgd", 0.05), 300, error_rate, *BAD_START)
def highway_50_open():
    layers = [fifth_parts.Transforms(32, 3.0) for _ in range(50)]
    return vectors(nn.Sequential(nn.Linear(20, 32), *layers, nn.Linear(32, 4)), 515)


@cell("He 2015: the first ResNet, 40 layers", ("sgd", 0.05), 150, error_rate)
def resnet_one_40():
    body = nn.Sequential(*[fifth_parts.ResNetOne(8) for _ in range(20)])
    return pictures(blocks.Pooled(blocks.convolution(3, 8), body, 8, 4), 516)


@cell("Hu 2018: six squeeze-and-excitation blocks", ("sgd", 0.05), 150, error_rate)
def squeeze_excite():
    body = nn.Sequential(*[fifth_parts.SqueezeExcite(12) for _ in range(6)])
    return pictures(blocks.Pooled(blocks.convolution(3, 12), body, 12, 4), 517)


@cell("Chen 2018: twenty Euler steps of one field", ("adam", 0.003), 300, error_rate)
def neural_ode():
    return vectors(nn.Sequential(nn.Linear(20, 24), fifth_parts.Euler(24, 20), nn.Linear(24, 4)), 518)


@cell("Misra 2020: 20 Mish layers, torch's own initialisation", ("sgd", 0.05), 300, error_rate, *BAD_START)
def mish_20():
    return vectors(mlp([20] + [48] * 20 + [4], nn.Mish), 519)


# ------------------------------------------------------------------ transformers and their kin


@cell("Wang 2022: DeepNorm, 16 layers", ("adam", 0.001), 200, error_rate)
def deep_norm_16():
    return tokens([fifth_parts.DeepNorm(32, 16) for _ in range(16)], 520)


@cell("Wang 2022: 24 layers, norm behind the sum, rate .01", ("adam", 0.01), 150, error_rate, *BAD_START, "GH109",
      "GH205", "GH204", optimizer="adam", learning_rate=0.01)  # fmt: skip
def post_norm_24():
    return tokens([Layer(32, before=False) for _ in range(24)], 521)


@cell("Touvron 2023: RMSNorm and SwiGLU", ("adam", 0.003), 200, error_rate)
def llama():
    return tokens([fifth_parts.Llama(32) for _ in range(4)], 522)


@cell("Tolstikhin 2021: MLP-Mixer, eight layers", ("adam", 0.002), 200, error_rate)
def mixer_8():
    return places([fifth_parts.Mixer(12, 24) for _ in range(8)], 24, 523)


@cell("Liu 2021: gMLP, six layers", ("adam", 0.002), 200, error_rate)
def gmlp_6():
    return places([fifth_parts.SpatialGate(12, 24) for _ in range(6)], 24, 524)


@cell("Lee 2019: set transformer", ("adam", 0.002), 200, error_rate)
def set_transformer():
    x, y = data.marked(320, 10, 4, 4, slice(0, 10), 525, 1.0)
    return Patient(fifth_parts.SetTransformer(32, 4), {"x": x}, y, functional.cross_entropy)


@cell("Shazeer 2017: four experts, softly chosen", ("adam", 0.003), 300, error_rate)
def experts():
    return vectors(fifth_parts.Experts(20, 4, 4), 526)


@cell("Sabour 2017: capsules, routed thrice", ("adam", 0.003), 300, error_rate)
def capsules():
    patient = vectors(fifth_parts.Capsules(20, 4), 527)

    def margin(lengths: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        there = functional.one_hot(y, 4).float()
        return (
            (there * (0.9 - lengths).relu().square() + 0.5 * (1 - there) * (lengths - 0.1).relu().square())
            .sum(1)
            .mean()
        )

    return Patient(patient.module, patient.inputs, patient.targets, margin)


# ------------------------------------------------------------------ through time


@cell("Bengio 1994: tanh RNN of spectral radius under one, class shown early", ("adam", 0.002), 200, error_rate,
      "GH401")  # fmt: skip
def rnn_forgets():
    network = nn.RNN(4, 28, batch_first=True)
    nn.init.normal_(network.weight_hh_l0, 0, 0.5 / 28**0.5)
    x, y = data.marked(256, 50, 4, 3, slice(2, 8), 528)
    return Patient(Recurrent(network, 28, 3), {"x": x}, y, functional.cross_entropy)


@cell("Henaff 2016: orthogonal tanh RNN, class shown early", ("adam", 0.002), 250, error_rate)
def rnn_orthogonal():
    network = nn.RNN(4, 32, batch_first=True)
    nn.init.orthogonal_(network.weight_hh_l0)
    x, y = data.marked(256, 30, 4, 3, slice(4, 12), 529)
    return Patient(Recurrent(network, 32, 3), {"x": x}, y, functional.cross_entropy)


@cell("Tallec 2018: GRU with gates for 40 steps, class shown early", ("adam", 0.005), 200, error_rate)
def gru_chrono():
    network = nn.GRU(4, 28, batch_first=True)
    with torch.no_grad():
        network.bias_ih_l0[28:56] = torch.log(torch.empty(28).uniform_(1, 39))
    x, y = data.marked(256, 40, 4, 3, slice(2, 10), 530)
    return Patient(Recurrent(network, 28, 3), {"x": x}, y, functional.cross_entropy)


@cell("Bai 2018: temporal convolutions, five layers", ("adam", 0.003), 200, error_rate)
def temporal_5():
    x, y = data.marked(256, 40, 4, 4, slice(5, 20), 531)
    module = fifth_parts.Temporal(4, 16, 5, 4)
    return Patient(module, {"x": np.ascontiguousarray(x.transpose(0, 2, 1))}, y, functional.cross_entropy)
