"""Second draw: networks of well-known papers, small; what they do is asked of a real training, not of the paper."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.people import blocks, data
from tests.benchmarks.people.draw import Draw, Patient, error_rate, excess_over_floor, unexplained
from tests.benchmarks.people.parts import (
    Apply,
    Attention,
    Layer,
    PlainConvolutions,
    Recurrent,
    Residual,
    Transformer,
    each_token,
    initialise,
    mlp,
)  # fmt: skip

SECOND_PAPERS = Draw()
cell = SECOND_PAPERS.case
BAD_START = ("GH101", "GH102", "GH103", "GH203", "GH206", "GH301")


def vectors(module: nn.Module, seed: int, width: int = 20, classes: int = 4) -> Patient:
    return Patient(module, {"x": (x := data.blobs(512, width, classes, seed))[0]}, x[1], functional.cross_entropy)


def pictures(module: nn.Module, seed: int, classes: int = 4) -> Patient:
    x, y = data.images(320, 3, 8, classes, seed)
    return Patient(module, {"x": x}, y, functional.cross_entropy)


def tokens(layers: list[nn.Module], seed: int, *, tied: bool = False) -> Patient:
    x, y = data.next_tokens(384, 10, 16, seed)
    return Patient(Transformer(16, 32, 10, layers, tied=tied), {"tokens": x}, y, each_token)


def standard(weight: torch.Tensor) -> None:
    """U(-1/sqrt n, 1/sqrt n), which Glorot and Bengio call the common heuristic."""
    limit = weight[0].numel() ** -0.5
    nn.init.uniform_(weight, -limit, limit)


# ------------------------------------------------------------------ activations and initialisation


@cell("Glorot 2010: five sigmoid layers", ("sgd", 0.1), 300, error_rate, *BAD_START)
def glorot_sigmoid():
    return vectors(initialise(mlp([20] + [64] * 5 + [4], nn.Sigmoid), standard), 101)


@cell("Glorot 2010: five tanh layers, normalised initialisation", ("sgd", 0.05), 200, error_rate)
def glorot_tanh():
    return vectors(initialise(mlp([20] + [64] * 5 + [4], nn.Tanh), nn.init.xavier_uniform_), 102)


@cell("Glorot 2010: five softsign layers", ("sgd", 0.05), 200, error_rate)
def glorot_softsign():
    return vectors(initialise(mlp([20] + [64] * 5 + [4], nn.Softsign), standard), 103)


@cell("He 2015: 22 convolutions with PReLU, He", ("sgd", 0.01), 200, error_rate)
def he_prelu_22():
    module = initialise(PlainConvolutions(3, 12, 22, 4, nn.PReLU), lambda w: nn.init.kaiming_normal_(w, a=0.25),
                        biases=None)  # fmt: skip
    return pictures(module, 104)


@cell("He 2015: 30 ReLU layers, Xavier", ("sgd", 0.05), 300, error_rate, *BAD_START)
def he_30_xavier():
    return vectors(initialise(mlp([20] + [48] * 29 + [4], nn.ReLU), nn.init.xavier_normal_), 105)


@cell("He 2015: 30 ReLU layers, He", ("sgd", 0.01), 300, error_rate, *BAD_START)
def he_30_he():
    return vectors(initialise(mlp([20] + [48] * 29 + [4], nn.ReLU), nn.init.kaiming_normal_), 106)


@cell("Saxe 2014: 40 tanh layers, orthogonal with gain 1.05", ("sgd", 0.01), 300, error_rate)
def saxe_orthogonal():
    module = mlp([48] * 40 + [4], nn.Tanh)
    return vectors(initialise(module, lambda w: nn.init.orthogonal_(w, 1.05)), 107, 48)


@cell("Klambauer 2017: 24 SELU layers, LeCun", ("sgd", 0.01), 300, error_rate)
def selu_24():
    module = mlp([20] + [64] * 24 + [4], nn.SELU)
    return vectors(initialise(module, lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear")), 108)


@cell("Ioffe 2015: six sigmoid layers with BatchNormalization", ("sgd", 0.05), 300, error_rate)
def ioffe_sigmoid():
    return vectors(mlp([20] + [64] * 6 + [4], nn.Sigmoid, norm=nn.BatchNorm1d), 109)


@cell("Ramachandran 2017: eight Swish layers, He", ("sgd", 0.02), 300, error_rate)
def swish_8():
    return vectors(initialise(mlp([20] + [64] * 8 + [4], nn.SiLU), nn.init.kaiming_normal_), 110)


@cell("Goodfellow 2013: Maxout of four pieces", ("sgd", 0.02), 300, error_rate)
def maxout():
    def piece() -> nn.Module:
        return Apply(lambda x: x.reshape(x.shape[0], -1, 4).amax(2))

    module = nn.Sequential(nn.Linear(20, 128), piece(), nn.Linear(32, 128), piece(), nn.Linear(32, 4))
    return vectors(module, 111)


@cell("Sitzmann 2020: SIREN", ("adam", 0.0003), 1000, unexplained)
def siren():
    x = np.linspace(-1, 1, 256)[:, None]
    y = np.sin(12 * x) + 0.5 * np.sin(31 * x + 1)
    return Patient(blocks.Siren(48, 3), {"x": data.f32(x)}, data.f32(y), functional.mse_loss)


@cell("Zagoruyko 2017: 20 convolutions that start as identities", ("sgd", 0.01), 300, error_rate)
def dirac():
    module = PlainConvolutions(3, 16, 20, 4)
    for part in module.body:
        if isinstance(part, nn.Conv2d):
            nn.init.dirac_(part.weight)
            nn.init.zeros_(part.bias)
    return pictures(module, 112)


@cell("Xiao 2018: 48 tanh convolutions, delta-orthogonal", ("sgd", 0.01), 250, error_rate)
def delta_orthogonal():
    module = PlainConvolutions(3, 16, 48, 4, nn.Tanh)
    for part in module.body:
        if isinstance(part, nn.Conv2d):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
            middle = torch.empty(part.out_channels, part.in_channels)
            with torch.no_grad():
                part.weight[:, :, 1, 1] = nn.init.orthogonal_(middle, 1.02)
    return pictures(module, 113)


# ------------------------------------------------------------------ skip connections


@cell("Srivastava 2015: highway of 30 layers", ("sgd", 0.05), 300, error_rate)
def highway():
    return vectors(nn.Sequential(nn.Linear(20, 40), *[blocks.Highway(40) for _ in range(30)], nn.Linear(40, 4)), 114)


@cell("He 2016: plain, 54 convolutions with BatchNormalization", ("sgd", 0.05), 200, error_rate, *BAD_START, "GH104")
def plain_54():
    return pictures(PlainConvolutions(3, 8, 54, 4, norm=nn.BatchNorm2d), 115)


@cell("He 2016: ResNet, 56 layers", ("sgd", 0.05), 200, error_rate)
def resnet_56():
    return pictures(blocks.residual_network(8, 27, 4, norm=nn.BatchNorm2d), 116)


@cell("Zhang 2019: Fixup, 20 blocks", ("sgd", 0.05), 200, error_rate)
def fixup():
    return pictures(blocks.fixup(12, 20, 4), 117)


@cell("De 2020: SkipInit, 20 blocks", ("sgd", 0.02), 200, error_rate)
def skip_init():
    return pictures(blocks.residual_network(12, 20, 4, norm=None, start=0.0), 118)


@cell("Huang 2017: DenseNet", ("sgd", 0.05), 200, error_rate)
def densenet():
    return pictures(blocks.DenseNet(6, 8, 4), 119)


@cell("Howard 2017: depthwise and pointwise convolutions", ("sgd", 0.05), 200, error_rate)
def mobilenet():
    return pictures(blocks.mobilenet(16, 6, 4), 120)


@cell("Brock 2021: scaled weight standardisation", ("sgd", 0.05), 200, error_rate)
def norm_free():
    return pictures(blocks.norm_free(12, 8, 4), 121)


@cell("Liu 2022: ConvNeXt, layer scale 1e-6", ("adam", 0.002), 200, error_rate)
def convnext():
    return pictures(blocks.convnext(16, 5, 4), 122)


# ------------------------------------------------------------------ transformers


@cell("Xiong 2020: twelve layers, norm behind the sum", ("adam", 0.003), 250, error_rate, *BAD_START, "GH109",
      optimizer="adam", learning_rate=0.003)  # fmt: skip
def post_norm_12():
    return tokens([Layer(32, before=False) for _ in range(12)], 123)


@cell("Xiong 2020: twelve layers, norm before", ("adam", 0.003), 250, error_rate)
def pre_norm_12():
    return tokens([Layer(32, before=True) for _ in range(12)], 124)


@cell("Radford 2019: std .02, ends scaled, tied head, causal", ("adam", 0.003), 250, error_rate)
def gpt2():
    patient = tokens([Layer(32, before=True, causal=True) for _ in range(6)], 125, tied=True)
    for name, parameter in patient.module.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, 0, 0.02 / 12**0.5 if "out" in name or "forward_part.2" in name else 0.02)
    return patient


@cell("Bachlechner 2020: ReZero without norms", ("adam", 0.003), 250, error_rate)
def rezero():
    def branches() -> list[nn.Module]:
        wide = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 32))
        return [Residual(Attention(32), 0.0), Residual(wide, 0.0)]

    return tokens([part for _ in range(10) for part in branches()], 126)


@cell("Touvron 2021: LayerScale 1e-5", ("adam", 0.003), 250, error_rate)
def layer_scale():
    return tokens([blocks.ScaledLayer(32, 1e-5) for _ in range(8)], 127)


# ------------------------------------------------------------------ recurrence, graphs, pictures out


@cell("Jozefowicz 2015: LSTM with forget bias -3, class shown early", ("adam", 0.003), 200, error_rate, "GH401")
def lstm_forgets():
    network = nn.LSTM(5, 32, batch_first=True)
    with torch.no_grad():
        network.bias_ih_l0[32:64] = -3.0
    x, y = data.marked(256, 60, 5, 4, slice(2, 8), 128)
    return Patient(Recurrent(network, 32, 4), {"x": x}, y, functional.cross_entropy)


@cell("Le 2015: identity RNN with ReLU", ("adam", 0.001), 250, error_rate)
def identity_rnn():
    network = nn.RNN(5, 40, nonlinearity="relu", batch_first=True)
    nn.init.eye_(network.weight_hh_l0)
    nn.init.normal_(network.weight_ih_l0, 0, 0.05)
    for name in ("bias_ih_l0", "bias_hh_l0"):
        nn.init.zeros_(getattr(network, name))
    x, y = data.marked(256, 40, 5, 4, slice(5, 15), 129)
    return Patient(Recurrent(network, 40, 4), {"x": x}, y, functional.cross_entropy)


@cell("Li 2018: 24 graph convolutions without skips", ("adam", 0.01), 250, error_rate, *BAD_START, "GH204", "GH205",
      "GH107", "GH105")  # fmt: skip
def deep_gcn():
    return blocks.deep_graph_network(24, 130)


@cell("van den Oord 2016: gated dilated convolutions", ("adam", 0.003), 250, error_rate)
def wavenet():
    x, y = data.marked(320, 32, 4, 4, slice(8, 24), 131)
    return Patient(blocks.WaveNet(4, 16, 5, 4), {"x": data.f32(x.transpose(0, 2, 1))}, y, functional.cross_entropy)


@cell("Ronneberger 2015: U-Net", ("adam", 0.003), 200, error_rate)
def unet():
    x, _ = data.images(192, 1, 8, 3, 132)
    mask = (x[:, 0] > 0.3).astype(np.int64)
    return Patient(blocks.UNet(1, 8, 2), {"x": x}, mask, functional.cross_entropy)


@cell("Zhang 2018: mixup, targets are mixtures", ("sgd", 0.05), 400, excess_over_floor)
def mixup():
    x, y = data.blobs(512, 20, 4, 133)
    random = np.random.default_rng(133)
    share, other = random.beta(0.4, 0.4, (512, 1)), random.permutation(512)
    labels = np.eye(4)[y]
    mixed = share * x + (1 - share) * x[other], share * labels + (1 - share) * labels[other]
    return Patient(
        mlp([20, 96, 96, 4], nn.ReLU), {"x": data.f32(mixed[0])}, data.f32(mixed[1]), functional.cross_entropy
    )
