"""Third draw: networks of papers in other sizes; only counted, nothing was mended by it."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.benchmarks.people import blocks, data
from tests.benchmarks.people.draw import Draw, Patient, error_rate
from tests.benchmarks.people.parts import (
    Layer,
    PlainConvolutions,
    Recurrent,
    Transformer,
    each_token,
    initialise,
    mlp,
)

THIRD_PAPERS = Draw()
cell = THIRD_PAPERS.case
BAD_START = ("GH101", "GH102", "GH103", "GH203", "GH206", "GH301")


def vectors(module: nn.Module, seed: int, width: int = 24, classes: int = 5) -> Patient:
    x, y = data.blobs(512, width, classes, seed)
    return Patient(module, {"x": x}, y, functional.cross_entropy)


def pictures(module: nn.Module, seed: int, classes: int = 5) -> Patient:
    x, y = data.images(320, 3, 6, classes, seed)
    return Patient(module, {"x": x}, y, functional.cross_entropy)


@cell("Glorot 2010: four sigmoid layers, normalised initialisation", ("sgd", 0.1), 300, error_rate, *BAD_START)
def sigmoid_4_xavier():
    return vectors(initialise(mlp([24] + [40] * 4 + [5], nn.Sigmoid), nn.init.xavier_uniform_), 301)


@cell("Glorot 2010: 36 tanh layers, normalised initialisation", ("sgd", 0.02), 300, error_rate, *BAD_START)
def tanh_36_xavier():
    return vectors(initialise(mlp([24] + [40] * 36 + [5], nn.Tanh), nn.init.xavier_normal_), 302)


@cell("Clevert 2016: 14 ELU layers, He", ("sgd", 0.01), 300, error_rate)
def elu_14():
    return vectors(initialise(mlp([24] + [56] * 14 + [5], nn.ELU), nn.init.kaiming_normal_), 303)


@cell("Mishkin 2016: 50 ReLU layers, He", ("sgd", 0.005), 300, error_rate, *BAD_START, "GH201")
def relu_50_he():
    return vectors(initialise(mlp([24] + [64] * 50 + [5], nn.ReLU), nn.init.kaiming_normal_), 304)


@cell("Srivastava 2015: highway of 18 layers", ("sgd", 0.05), 300, error_rate)
def highway_18():
    return vectors(nn.Sequential(nn.Linear(24, 28), *[blocks.Highway(28) for _ in range(18)], nn.Linear(28, 5)), 305)


@cell("Ioffe 2015: plain, 18 convolutions with BatchNormalization", ("sgd", 0.05), 150, error_rate)
def plain_18():
    return pictures(PlainConvolutions(3, 8, 18, 5, norm=nn.BatchNorm2d), 306)


@cell("He 2016: 28 layers, skips without norms, He", ("sgd", 0.005), 150, error_rate, *BAD_START, "GH501")
def skips_without_norms():
    return pictures(blocks.residual_network(8, 13, 5, norm=None), 307)


@cell("Howard 2017: ten depthwise blocks", ("sgd", 0.05), 150, error_rate)
def mobilenet_10():
    return pictures(blocks.mobilenet(12, 10, 5), 308)


@cell("Xiong 2020: eight layers, norm before, wide", ("adam", 0.002), 200, error_rate)
def pre_norm_8():
    x, y = data.next_tokens(384, 8, 20, 309)
    layers = [Layer(40, before=True) for _ in range(8)]
    return Patient(Transformer(20, 40, 8, layers), {"tokens": x}, y, each_token)


@cell("Jozefowicz 2015: LSTM with forget bias 2, class shown early", ("adam", 0.005), 200, error_rate)
def lstm_remembers():
    network = nn.LSTM(4, 28, batch_first=True)
    with torch.no_grad():
        network.bias_ih_l0[28:56] = 2.0
    x, y = data.marked(256, 45, 4, 3, slice(2, 12), 310)
    return Patient(Recurrent(network, 28, 3), {"x": x}, y, functional.cross_entropy)


@cell("Kipf 2017: three graph convolutions", ("adam", 0.01), 200, error_rate)
def graph_3():
    return blocks.deep_graph_network(3, 311)


@cell("van den Oord 2016: six gated convolutions", ("adam", 0.003), 150, error_rate)
def wavenet_6():
    x, y = data.marked(256, 40, 3, 5, slice(15, 35), 312)
    return Patient(blocks.WaveNet(3, 12, 6, 5), {"x": np.ascontiguousarray(x.transpose(0, 2, 1))}, y,
                   functional.cross_entropy)  # fmt: skip
