"""The first half of the gallery, which thresholds may be looked at with: 51 sick networks, 17 healthy ones."""

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from analysis.options import Effort
from tests.gallery import ResidualNetwork, tasks
from tests.gallery import networks as net
from tests.gallery.exhibit import Exhibit, healthy, sick
from tests.gallery.networks import convolutions, drawn, stack, weighted

HE = 2**0.5
NOT_EXPLODING = "102 103 402"
NOT_VANISHING = "101 401 601"
NOT_TRANSPORT = "101 102 103"


def with_dead_layer(module: nn.Module, place: int) -> nn.Module:
    with torch.no_grad():
        weighted(module)[place].bias.fill_(-20.0)
    return module


def with_dead_channels(module: nn.Module, share: float) -> nn.Module:
    with torch.no_grad():
        for layer in weighted(module)[:-1]:
            layer.bias[: round(share * len(layer.bias))] = -30.0
    return module


def rescaled(module: nn.Module, first: int, second: int, factor: float) -> nn.Module:
    """The same function: one layer of a ReLU network times a factor, a later one divided by it."""
    layers = weighted(module)
    with torch.no_grad():
        layers[first].weight *= factor
        layers[first].bias *= factor
        layers[second].weight /= factor
    return module


def constant(module: nn.Module, value: float) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value if parameter.ndim > 1 else 0.0)
    return module


def trained(module: nn.Module, task: tasks.Task, seed: int, steps: int = 300, rate: float = 1e-2) -> nn.Module:
    """By Adam, on the batch that will be uploaded."""
    x, target = task(seed)(np.random.default_rng((seed, 1)), tasks.SAMPLES)
    optimizer = torch.optim.Adam(module.parameters(), rate)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(target)).backward()
        optimizer.step()
    return module


def quantized(model: onnx.ModelProto) -> None:
    """QuantizeLinear and DequantizeLinear, 8 bits, behind every activation."""
    steps = [numpy_helper.from_array(np.float32(0.05), "step"), numpy_helper.from_array(np.int8(0), "zero")]
    model.graph.initializer.extend(steps)
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "Relu":
            name = node.output[0]
            node.output[0] = f"{name}.exact"
            nodes.append(helper.make_node("QuantizeLinear", [f"{name}.exact", "step", "zero"], [f"{name}.8"]))
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}.8", "step", "zero"], [name]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


VECTORS, IMAGES = tasks.vectors(), tasks.images()

SICK: tuple[Exhibit, ...] = (
    # ---- vanishing
    sick("sigmoid 8", "sigmoid", lambda _: drawn(stack(8, nn.Sigmoid), 1.0), VECTORS, "101", NOT_EXPLODING),
    sick("sigmoid 15", "sigmoid", lambda _: drawn(stack(15, nn.Sigmoid), 1.0), VECTORS, "101 203", NOT_EXPLODING),
    sick("sigmoid 6, std .01", "sigmoid", lambda _: drawn(stack(6, nn.Sigmoid), std=0.01), VECTORS, "101",
         NOT_EXPLODING),
    sick("tanh 15, gain .5", "tanh", lambda _: drawn(stack(15, nn.Tanh), 0.5), VECTORS, "101", NOT_EXPLODING),
    sick("relu 20, gain .7", "relu", lambda _: drawn(stack(20), 0.7), VECTORS, "101", NOT_EXPLODING),
    sick("relu 10, std .01", "relu", lambda _: drawn(stack(10), std=0.01), VECTORS, "101 301", NOT_EXPLODING),
    sick("convolutions 10, gain .5", "convolutions", lambda _: drawn(convolutions(10), 0.5), IMAGES, "101",
         NOT_EXPLODING),
    sick("sigmoid 10, early layers stall", "sigmoid", lambda _: drawn(stack(10, nn.Sigmoid), 2.0), VECTORS, "101 107",
         NOT_EXPLODING, effort=Effort.STANDARD),
    # ---- exploding, chaotic, shattered
    sick("relu 20, gain 3", "relu", lambda _: drawn(stack(20), 3.0), VECTORS, "102", NOT_VANISHING),
    sick("convolutions 12, gain 3", "convolutions", lambda _: drawn(convolutions(12), 3.0), IMAGES, "102",
         NOT_VANISHING),
    sick("selu 16, gain 3, diverges", "selu", lambda _: drawn(stack(16, nn.SELU), 3.0), VECTORS, "102 108",
         NOT_VANISHING, effort=Effort.STANDARD),
    sick("tanh 20, gain 4", "tanh", lambda _: drawn(stack(20, nn.Tanh), 4.0), VECTORS, "103", NOT_VANISHING),
    sick("batch norm relu 50", "batch norm", lambda _: drawn(stack(50, normalization=nn.BatchNorm1d), HE), VECTORS,
         "103", NOT_VANISHING),
    sick("batch norm relu 30, shattered", "batch norm", lambda _: drawn(stack(30, normalization=nn.BatchNorm1d), HE),
         VECTORS, "104", NOT_VANISHING, effort=Effort.THOROUGH),
    sick("relu 30, gain 1", "relu", lambda _: drawn(stack(30), 1.0), VECTORS, "105", NOT_EXPLODING,
         effort=Effort.STANDARD),
    # ---- blind, dead, saturated
    sick("tanh 16, gain .6, bias .4", "tanh", lambda _: drawn(stack(16, nn.Tanh), 0.6, bias=0.4), VECTORS, "203",
         NOT_EXPLODING),
    sick("tanh 30, gain .6, bias .4, one direction", "tanh", lambda _: drawn(stack(30, nn.Tanh), 0.6, bias=0.4),
         VECTORS, "203 204", NOT_EXPLODING, effort=Effort.THOROUGH),
    sick("relu 6, bias -3", "relu", lambda _: drawn(stack(6), HE, bias=-3.0), VECTORS, "201", NOT_EXPLODING),
    sick("relu 8, one layer dead", "relu", lambda _: with_dead_layer(drawn(stack(8), HE), 4), VECTORS, "201",
         NOT_EXPLODING),
    sick("convolutions 5, 40 % dead", "convolutions", lambda _: with_dead_channels(drawn(convolutions(5), HE), 0.4),
         IMAGES, "201", NOT_EXPLODING),
    sick("tanh 4, gain 20", "tanh", lambda _: drawn(stack(4, nn.Tanh), 20.0), VECTORS, "202"),
    # ---- initialisation and scale
    sick("relu 4 of zeros", "relu", lambda _: constant(stack(4), 0.0), VECTORS, "302", NOT_EXPLODING),
    sick("relu 4 of .1", "relu", lambda _: constant(stack(4), 0.1), VECTORS, "302"),
    sick("relu 4, times and by 10^4", "relu", lambda _: rescaled(drawn(stack(4), HE), 0, 1, 1e4), VECTORS, "303",
         NOT_TRANSPORT),
    sick("relu 4 at a rate of 10^-7", "relu", lambda _: drawn(stack(4), HE), VECTORS, "304", NOT_TRANSPORT,
         options={"learning_rate": 1e-7}),
    sick("relu 4, trained at a rate of 5", "relu", lambda _: drawn(stack(4), HE), VECTORS, "109", NOT_TRANSPORT,
         effort=Effort.STANDARD, options={"learning_rate": 5.0}),
    sick("convolutions 4, inputs of 255", "convolutions", lambda _: drawn(convolutions(4), HE), tasks.images(scale=255),
         "305", NOT_TRANSPORT),
    sick("relu 40 of width 6", "relu", lambda _: drawn(stack(40, width=6), HE), VECTORS, "306"),
    sick("4 layers without activations on circles", "linear",
         lambda _: drawn(stack(4, nn.Identity, inputs=2, outputs=2), 1.0), tasks.circles(), "307", NOT_TRANSPORT,
         effort=Effort.STANDARD),
    # ---- through time, attention
    sick("elman .5, told first of 30", "recurrent", lambda _: net.recurrent_radius(net.Cells(nn.RNN), 0.5),
         tasks.sequences(30, 0), "401", NOT_EXPLODING),
    sick("lstm forgets, told first of 50", "recurrent", lambda _: net.gate_bias(net.Cells(), 0, -1, 0, 0),
         tasks.sequences(50, 0), "401", NOT_EXPLODING),
    sick("relu rnn of radius 2, 50 steps", "recurrent",
         lambda _: net.recurrent_radius(net.Cells(nn.RNN, nonlinearity="relu"), 2.0), tasks.sequences(50, 0), "402",
         NOT_VANISHING),
    sick("lstm with closed gates", "recurrent", lambda _: net.gate_bias(net.Cells(), -20, -20, 0, -20),
         tasks.sequences(20), "206", NOT_EXPLODING),
    sick("12 blocks without skips", "transformer",
         lambda _: net.Reader(net.blocks(12, 32, lambda _width, inner: inner)), tasks.sentences(), "205", "402"),
    sick("attention 50 times too sharp", "transformer",
         lambda _: net.Reader(net.blocks(3, 32, net.PreNorm, sharpness=50.0)), tasks.sentences(), "207",
         NOT_VANISHING),
    sick("lstm along the samples, told first of 12", "recurrent", lambda _: net.TimeFirst(nn.LSTM(8, 32)),
         tasks.sequences(12, 0), "603", NOT_EXPLODING, effort=Effort.STANDARD),
    sick("dropout of 0.8 behind three narrow layers", "dropout",
         lambda _: net.dropped(drawn(stack(4, width=24), HE), 0.8), VECTORS, "602", NOT_TRANSPORT,
         effort=Effort.STANDARD, training=True),
    sick("batch norm, one sample a step", "batch norm",
         lambda _: drawn(stack(4, width=24, normalization=nn.BatchNorm1d), HE), VECTORS, "604", "102",
         effort=Effort.STANDARD, options={"minibatch_size": 1}),
    sick("a loss of its own over silent units", "own loss",
         lambda _: net.Reconstruction(drawn(stack(3, outputs=32), HE, bias=-20.0)), tasks.numbers(), "605",
         NOT_EXPLODING, effort=Effort.STANDARD, own_loss=True),
    # ---- head, graph, numbers, data
    sick("log of a relu", "relu", lambda _: net.Between(drawn(stack(3, outputs=32), HE), lambda x: x.relu().log(),
         nn.Linear(32, 10)), VECTORS, "106"),
    sick("softmax of softmax", "relu",
         lambda _: net.Then(drawn(stack(4), HE), lambda x: x.softmax(-1).softmax(-1)), VECTORS, "501", NOT_TRANSPORT),
    sick("he's logits times 60", "relu", lambda _: net.Then(drawn(stack(4), HE, head=HE), lambda x: 60 * x), VECTORS,
         "501", NOT_VANISHING),
    sick("softmax, and a loss with its own", "relu", lambda _: net.Then(drawn(stack(4), HE), lambda x: x.softmax(-1)),
         VECTORS, "504", NOT_TRANSPORT, options={"loss": "cross_entropy"}),
    sick("tanh where 1 to 4 is asked for", "tanh",
         lambda _: net.Then(drawn(stack(3, nn.Tanh, outputs=2), 1.0), torch.tanh), tasks.quadrants(), "503",
         NOT_TRANSPORT),
    sick("returns of thousands", "relu", lambda _: drawn(stack(3, outputs=2), HE), tasks.quadrants(scale=2000.0), "308",
         NOT_TRANSPORT),
    sick("a few outliers hold the variance", "relu", lambda _: drawn(stack(3, outputs=2), HE),
         tasks.quadrants(outliers=50.0), "506", NOT_TRANSPORT),
    sick("a round in the middle", "relu", lambda _: net.Between(drawn(stack(3, outputs=48), HE), torch.round,
         drawn(stack(2, inputs=48), HE)), VECTORS, "601", NOT_EXPLODING),
    sick("a branch that ends in a step", "relu", lambda _: net.SteppedBranch(), VECTORS, "601", NOT_EXPLODING),
    sick("labels shuffled apart", "relu", lambda _: drawn(stack(2, inputs=20, outputs=5, width=6), HE),
         tasks.noise(20, 5), "505", NOT_TRANSPORT, effort=Effort.STANDARD),
    sick("labels that follow from nothing", "logistic regression",
         lambda _: drawn(stack(1, inputs=64), 1.0, head=0.01), tasks.noise(64), "502", NOT_TRANSPORT,
         effort=Effort.THOROUGH),
    sick("converged relu 4", "relu", lambda seed: trained(drawn(stack(4), HE), VECTORS, seed), VECTORS, "901",
         f"{NOT_TRANSPORT} 105 601"),
)  # fmt: skip

HEALTHY: tuple[Exhibit, ...] = (
    healthy("logistic regression", "relu", lambda _: stack(1), VECTORS),
    healthy("he relu 3", "relu", lambda _: drawn(stack(3), HE), VECTORS),
    healthy("he relu 20", "relu", lambda _: drawn(stack(20, width=128), HE), VECTORS),
    healthy("xavier tanh 6", "tanh", lambda _: drawn(stack(6, nn.Tanh), 1.0), VECTORS),
    healthy("selu 20", "selu", lambda _: drawn(stack(20, nn.SELU), 1.0), VECTORS),
    healthy("one sigmoid layer", "sigmoid", lambda _: drawn(stack(2, nn.Sigmoid), 1.0), VECTORS),
    healthy("he convolutions 6", "convolutions", lambda _: drawn(convolutions(6), HE), IMAGES),
    healthy("convolutions 8 with biases before batch norm", "batch norm",
            lambda _: drawn(convolutions(8, normalization=nn.BatchNorm2d), HE), IMAGES, "101 601"),
    healthy("residual network", "residual", lambda _: ResidualNetwork(12), IMAGES),
    healthy("mobilenet", "residual", lambda _: net.MobileNet(), IMAGES),
    healthy("convnext, layer-scale 10^-6", "residual", lambda _: net.ConvNeXt(), IMAGES, "101 601"),
    healthy("mixer, head of zeros", "residual", lambda _: net.Mixer(), IMAGES, "101 302 601"),
    healthy("pre-ln transformer", "transformer", lambda _: net.Reader(net.blocks(3, 32, net.PreNorm)),
            tasks.sentences()),
    healthy("gpt, tied embedding", "transformer", lambda _: net.gpt_draw(net.Reader(
            net.blocks(3, 32, net.PreNorm, causal=True), vocabulary=20, steps=10, classes=None), 0.1),
            tasks.next_words()),
    healthy("lstm, forget bias 1", "recurrent", lambda _: net.gate_bias(net.Cells(), 0, 1, 0, 0), tasks.sequences(30)),
    healthy("quantized relu 4", "quantized", lambda _: drawn(stack(4), HE), VECTORS, edit=quantized),
    healthy("tanh autoencoder", "regression", lambda _: stack(4, nn.Tanh, outputs=32),
            tasks.numbers()),
)  # fmt: skip
SEEDS = (0, 1, 2)
EXHIBITS = SICK + HEALTHY
