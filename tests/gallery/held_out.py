"""The second half of the gallery, other families and seeds, added when thresholds were frozen."""

import io
import warnings

import numpy as np
import torch
from torch import nn

from analysis.options import Effort
from tests.gallery import ResidualNetwork, tasks
from tests.gallery import networks as net
from tests.gallery.exhibit import Exhibit, healthy, sick
from tests.gallery.first_half import HE, NOT_EXPLODING, NOT_TRANSPORT, NOT_VANISHING, constant, rescaled, trained
from tests.gallery.networks import convolutions, drawn, orthogonal, stack, weighted

SEEDS = (3, 4, 5)
VECTORS, IMAGES, SENTENCES = tasks.vectors(24, 8), tasks.images(), tasks.sentences()


def vectors(depth: int, activation: net.Activation = nn.ReLU, **more: object) -> nn.Sequential:
    """A perceptron for these vectors."""
    return stack(depth, activation, **{"inputs": 24, "outputs": 8, "width": 40, **more})  # type: ignore[arg-type]


def in_pairs(module: nn.Module) -> nn.Module:
    """Every unit of the hidden layers has a twin."""
    with torch.no_grad():
        for layer in weighted(module)[:-1]:
            layer.weight[1::2] = layer.weight[::2]
    return module


def blown_up(module: nn.Module, task: tasks.Task, seed: int) -> nn.Module:
    """A few steps at a rate of 10."""
    x, target = task(seed)(np.random.default_rng((seed, 1)), tasks.SAMPLES)
    optimizer = torch.optim.SGD(module.parameters(), 10.0)
    for _ in range(10):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(target)).backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
    return module


def residual(depth: int, draw: float) -> nn.Module:
    """A residual perceptron whose branches are as large as their inputs."""
    blocks = [net.Residual(nn.Sequential(nn.Linear(40, 40), nn.ReLU())) for _ in range(depth)]
    return drawn(nn.Sequential(nn.Linear(24, 40), *blocks, nn.Linear(40, 8)), draw)


def sharp(module: nn.Module, factor: float) -> nn.Module:
    """Queries and keys times a factor."""
    with torch.no_grad():
        for each in module.modules():
            if isinstance(each, net.Attention):
                each.qkv.weight[: 2 * each.qkv.in_features] *= factor
    return module


def silent_perceptrons(module: nn.Module) -> nn.Module:
    """ReLUs for GELUs, with a bias that keeps them silent."""
    for each in module.modules():
        if isinstance(each, nn.Sequential) and len(each) == 3 and isinstance(each[1], nn.GELU):
            each[1] = nn.ReLU()
            nn.init.constant_(each[0].bias, -12.0)
    return module


def folded(module: nn.Module) -> bytes:
    """Exported for inference: BatchNormalization, which has seen data, goes into the convolutions."""
    with torch.no_grad():
        for each in module.modules():
            if isinstance(each, nn.BatchNorm2d):
                each.running_mean.normal_(0, 0.2)
                each.running_var.uniform_(0.5, 1.5)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), (torch.zeros(2, 3, 12, 12),), file, dynamo=False, input_names=["x"],
            output_names=["logits"], dynamic_axes={"x": {0: "N"}, "logits": {0: "N"}},
        )  # fmt: skip
    return file.getvalue()


def plain(_: int, inner: nn.Module) -> nn.Module:
    """No skip path, no normalisation."""
    return inner


SICK: tuple[Exhibit, ...] = (
    # ---- vanishing
    sick("gelu 40, gain 1", "gelu", lambda _: drawn(vectors(40, nn.GELU), 1.0), VECTORS, "101", NOT_EXPLODING),
    sick("leaky relu 15, gain .6", "leaky relu", lambda _: drawn(vectors(15, nn.LeakyReLU), 0.6), VECTORS, "101",
         NOT_EXPLODING),
    sick("vgg, std .01", "vgg", lambda _: drawn(net.Vgg(), std=0.01), IMAGES, "101 301", NOT_EXPLODING),
    sick("sigmoid convolutions 7", "sigmoid convolutions", lambda _: drawn(convolutions(7, nn.Sigmoid), 1.0), IMAGES,
         "101 203", NOT_EXPLODING),
    sick("autoencoder of 12 sigmoids", "regression",
         lambda _: drawn(stack(12, nn.Sigmoid, width=40, outputs=32), 1.0), tasks.numbers(), "101", NOT_EXPLODING),
    sick("softsign 25, gain .6, early layers stall", "softsign",
         lambda _: drawn(vectors(25, nn.Softsign), 0.6), VECTORS, "101 107", NOT_EXPLODING, effort=Effort.STANDARD),
    sick("tanh 50, gain .85", "tanh", lambda _: drawn(vectors(50, nn.Tanh), 0.85), VECTORS, "105", NOT_EXPLODING,
         effort=Effort.STANDARD),
    # ---- exploding, chaotic, shattered
    sick("relu 8, std 2, diverges", "relu", lambda _: drawn(vectors(8), std=2.0), VECTORS, "102 108", NOT_VANISHING,
         effort=Effort.STANDARD),
    sick("residual 100, branches as large as the stream", "residual", lambda _: residual(100, HE), VECTORS, "102",
         NOT_VANISHING),
    sick("elu 30, gain 2", "elu", lambda _: drawn(vectors(30, nn.ELU), 2.0), VECTORS, "102", NOT_VANISHING),
    sick("batch norm tanh 60", "batch norm", lambda _: drawn(vectors(60, nn.Tanh, normalization=nn.BatchNorm1d), 1.0),
         VECTORS, "103", NOT_VANISHING),
    sick("batch norm relu convolutions 40", "batch norm",
         lambda _: drawn(convolutions(40, normalization=nn.BatchNorm2d), HE), IMAGES, "103", NOT_VANISHING),
    sick("tanh 25, gain 2.5, shattered", "tanh", lambda _: drawn(vectors(25, nn.Tanh), 2.5), VECTORS, "104",
         NOT_VANISHING, effort=Effort.THOROUGH),
    # ---- blind, dead, saturated
    sick("words drowned by positions", "transformer",
         lambda _: net.Reader(net.blocks(3, 32, net.PreNorm), embedding=0.01, positions=10.0), SENTENCES, "203",
         NOT_EXPLODING),
    sick("sigmoid 12, one direction", "sigmoid", lambda _: drawn(vectors(12, nn.Sigmoid), 1.0), VECTORS, "203 204",
         NOT_EXPLODING, effort=Effort.THOROUGH),
    sick("relu 4, bias -8", "relu", lambda _: drawn(vectors(4), HE, bias=-8.0), VECTORS, "201", NOT_EXPLODING),
    sick("relu 6 after steps of 10", "relu", lambda seed: blown_up(drawn(vectors(6), HE), VECTORS, seed), VECTORS,
         "201"),
    sick("transformer with silent perceptrons", "transformer",
         lambda _: silent_perceptrons(net.Reader(net.blocks(3, 32, net.PreNorm))), SENTENCES, "201", NOT_EXPLODING),
    sick("sigmoid 3, gain 50", "sigmoid", lambda _: drawn(vectors(3, nn.Sigmoid), 50.0), VECTORS, "202"),
    sick("tanh convolutions 4, inputs of 100", "tanh convolutions", lambda _: drawn(convolutions(4, nn.Tanh), 1.0),
         tasks.images(scale=100), "202 305"),
    # ---- initialisation and scale
    sick("tanh 12, std .01", "tanh", lambda _: drawn(vectors(12, nn.Tanh), std=0.01), VECTORS, "101 301",
         NOT_EXPLODING),
    sick("convolutions 4 of .1", "convolutions", lambda _: constant(convolutions(4), 0.1), IMAGES, "302"),
    sick("tanh 5, units in pairs", "tanh", lambda _: in_pairs(drawn(vectors(5, nn.Tanh), 1.0)), VECTORS, "302",
         NOT_TRANSPORT),
    sick("convolutions 4, times and by 10^4", "convolutions", lambda _: rescaled(drawn(convolutions(4), HE), 0, 2, 1e4),
         IMAGES, "303", NOT_TRANSPORT),
    sick("convolutions 4 at a rate of 100", "convolutions", lambda _: drawn(convolutions(4), HE), IMAGES, "304",
         NOT_TRANSPORT, options={"learning_rate": 100.0}),
    sick("transformer at a rate of 10^-7", "transformer", lambda _: net.Reader(net.blocks(2, 32, net.PreNorm)),
         SENTENCES, "304", NOT_TRANSPORT, options={"learning_rate": 1e-7}),
    sick("tanh 4, trained by Adam at 10^-6", "tanh", lambda _: drawn(vectors(4, nn.Tanh), 1.0), VECTORS, "109",
         NOT_TRANSPORT, effort=Effort.STANDARD, options={"optimizer": "adam", "learning_rate": 1e-6}),
    sick("tanh 4, inputs of 10^-3", "tanh", lambda _: drawn(vectors(4, nn.Tanh), 1.0), tasks.vectors(24, 8, scale=1e-3),
         "305", NOT_EXPLODING),
    sick("relu 4, inputs around 10", "relu", lambda _: drawn(vectors(4), HE), tasks.vectors(24, 8, shift=10.0), "305",
         NOT_TRANSPORT),
    sick("leaky relu 60 of width 8", "leaky relu", lambda _: drawn(vectors(60, nn.LeakyReLU, width=8), HE), VECTORS,
         "306"),
    sick("3 layers without activations on spheres", "linear",
         lambda _: drawn(stack(3, nn.Identity, inputs=6, outputs=2), 1.0), tasks.circles(6, 0.4), "307", NOT_TRANSPORT,
         effort=Effort.STANDARD),
    # ---- through time, attention
    sick("elman .8, told first of 60", "recurrent", lambda _: net.recurrent_radius(net.Cells(nn.RNN), 0.8),
         tasks.sequences(60, 0), "401", NOT_EXPLODING),
    sick("gru that has to reach back 90 of 100", "recurrent", lambda _: net.Cells(nn.GRU), tasks.sequences(100, 5),
         "401", NOT_EXPLODING, options={"required_horizon": 90}),
    sick("small relu rnn of radius 1.9, 40 steps", "recurrent",
         lambda _: net.recurrent_radius(net.Cells(nn.RNN, width=24, nonlinearity="relu"), 1.9), tasks.sequences(40, 0),
         "402", NOT_VANISHING),
    sick("gru with closed gates", "recurrent", lambda _: net.gate_bias(net.Cells(nn.GRU), 0, 20, 0),
         tasks.sequences(20), "206", NOT_EXPLODING),
    sick("vision transformer of 16 blocks without skips", "transformer",
         lambda _: net.VisionTransformer(net.blocks(16, 32, plain, heads=2)), IMAGES, "205", "402"),
    sick("vision transformer, queries and keys times 15", "transformer",
         lambda _: sharp(net.VisionTransformer(net.blocks(3, 32, net.PreNorm)), 15.0), IMAGES, "207", NOT_VANISHING),
    sick("gru along the samples, told first of 9", "recurrent", lambda _: net.TimeFirst(nn.GRU(8, 24)),
         tasks.sequences(9, 0), "603", NOT_EXPLODING, effort=Effort.STANDARD),
    sick("dropout of 0.85 behind four narrow tanh layers", "dropout",
         lambda _: net.dropped(drawn(vectors(5, nn.Tanh, width=16), 1.0), 0.85), VECTORS, "602", NOT_TRANSPORT,
         effort=Effort.STANDARD, training=True),
    sick("tanh behind batch norm, one sample a step", "batch norm",
         lambda _: vectors(5, nn.Tanh, width=20, normalization=nn.BatchNorm1d), VECTORS, "604", "102",
         effort=Effort.STANDARD, options={"minibatch_size": 1}),
    sick("a loss of its own under a sigmoid that is shut", "own loss",
         lambda _: net.Reconstruction(net.Then(drawn(stack(3, outputs=32), HE), lambda z: torch.sigmoid(z - 30.0))),
         tasks.numbers(), "605", NOT_EXPLODING, effort=Effort.STANDARD, own_loss=True),
    # ---- head, graph, numbers, data
    sick("pictures and labels of nothing", "convolutions", lambda _: drawn(convolutions(4), HE),
         tasks.noise(3, 10, 12, 12), "505", NOT_TRANSPORT, effort=Effort.STANDARD),
    sick("an exponential that overflows", "relu",
         lambda _: net.Between(drawn(vectors(5, outputs=40), HE, head=200.0), torch.exp, nn.Linear(40, 8)), VECTORS,
         "106"),
    sick("nothing divided by nothing", "convolutions",
         lambda _: net.Between(drawn(convolutions(3, outputs=40), HE), lambda x: (x - 60).relu() / (x - 60).relu().sum(
             -1, keepdim=True), nn.Linear(40, 10)), IMAGES, "106"),
    sick("relu at the logits", "relu", lambda _: net.Then(drawn(vectors(4), HE, head=HE), torch.relu), VECTORS, "501",
         NOT_TRANSPORT),
    sick("sigmoid, then softmax", "convolutions",
         lambda _: net.Then(drawn(convolutions(4), HE), lambda x: x.sigmoid().softmax(-1)), IMAGES, "501",
         NOT_TRANSPORT),
    sick("a transformer's logits times 300", "transformer",
         lambda _: net.Then(net.Reader(net.blocks(2, 32, net.PreNorm)), lambda x: 300 * x), SENTENCES, "501",
         "101 601"),
    sick("sigmoid, and a loss with its own", "relu",
         lambda _: net.Then(drawn(stack(3, outputs=2), HE), torch.sigmoid), tasks.quadrants(bits=True), "504",
         NOT_TRANSPORT, options={"loss": "bce"}),
    sick("cosines of a hundred classes without a temperature", "relu",
         lambda _: Cosines(), tasks.vectors(24, 100), "503", NOT_TRANSPORT),
    sick("offset of hundreds", "tanh", lambda _: drawn(stack(3, nn.Tanh, outputs=2), 1.0),
         tasks.quadrants(shift=400.0), "308", NOT_TRANSPORT),
    sick("one class only", "relu", lambda _: drawn(vectors(3), HE), tasks.vectors(24, 1), "506", NOT_TRANSPORT),
    sick("a sign in the middle of convolutions", "convolutions",
         lambda _: net.Between(convolutions(2, outputs=40), torch.sign, drawn(stack(3, inputs=40), HE)), IMAGES, "601",
         NOT_EXPLODING),
    sick("experts that are chosen and not weighed", "experts", lambda _: Chosen(), VECTORS, "601", NOT_EXPLODING),
    sick("tanh 3 on noise", "tanh", lambda _: drawn(stack(3, nn.Tanh, inputs=64), 1.0, head=0.01), tasks.noise(64),
         "502", NOT_TRANSPORT, effort=Effort.THOROUGH),
    sick("converged convolutions", "convolutions",
         lambda seed: trained(drawn(convolutions(4), HE), IMAGES, seed, steps=150), IMAGES, "901",
         f"{NOT_TRANSPORT} 105 601"),
)  # fmt: skip


class Cosines(nn.Module):
    """Class scores are cosines between features and a direction for each class."""

    def __init__(self, width: int = 64, classes: int = 100) -> None:
        super().__init__()
        self.features = drawn(stack(3, inputs=24, outputs=width), HE)
        self.directions = nn.Parameter(torch.randn(classes, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(
            nn.functional.normalize(self.features(x), dim=-1), nn.functional.normalize(self.directions, dim=-1)
        )


class Chosen(nn.Module):
    """A hard choice of an expert: the gate gets no gradient."""

    def __init__(self, width: int = 40) -> None:
        super().__init__()
        self.enter, self.gate, self.head = nn.Linear(24, width), nn.Linear(width, 4), nn.Linear(width, 8)
        self.experts = nn.Parameter(torch.randn(4, width, width) * (2 / width) ** 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.enter(x))
        chosen = nn.functional.one_hot(self.gate(x).argmax(-1), 4).float()
        return self.head(torch.relu(torch.einsum("be,bd,edh->bh", chosen, x, self.experts)))


HEALTHY: tuple[Exhibit, ...] = (
    healthy("he relu 10", "relu", lambda _: drawn(vectors(10, width=64), HE), VECTORS),
    healthy("tanh 15, gain 1.1", "tanh", lambda _: drawn(vectors(15, nn.Tanh), 1.1), VECTORS),
    healthy("leaky relu 12", "leaky relu", lambda _: drawn(vectors(12, nn.LeakyReLU), HE), VECTORS),
    healthy("orthogonal linear 30", "linear", lambda _: orthogonal(vectors(30, nn.Identity)), VECTORS),
    healthy("torch's default relu 4", "relu", lambda _: vectors(4), VECTORS),
    healthy("densenet", "densenet", lambda _: net.DenseNet(), IMAGES),
    healthy("he vgg", "vgg", lambda _: drawn(net.Vgg(), HE, head=1.0), IMAGES),
    healthy("vision transformer", "transformer", lambda _: net.VisionTransformer(net.blocks(3, 32, net.PreNorm)),
            IMAGES),
    healthy("u-net", "u-net", lambda _: net.UNet(), tasks.clean_images()),
    healthy("squeeze-excite", "squeeze-excite",
            lambda _: net.Blocks(nn.Sequential(*(net.Squeezed(12) for _ in range(3)))), IMAGES),
    healthy("residual blocks that start closed", "zero gamma",
            lambda _: net.Blocks(nn.Sequential(*(net.ZeroGamma(12) for _ in range(3)))), IMAGES, "101 302 601"),
    healthy("residual network, folded", "folded", lambda _: folded(ResidualNetwork(12)), IMAGES, "301"),
    healthy("group norm convolutions 6", "group norm",
            lambda _: drawn(convolutions(6, normalization=lambda width: nn.GroupNorm(3, width)), HE), IMAGES),
    healthy("gru", "recurrent", lambda _: net.Cells(nn.GRU), tasks.sequences(30)),
    healthy("orthogonal rnn, told first of 20", "recurrent", lambda _: net.recurrent_radius(net.Cells(nn.RNN), 1.0),
            tasks.sequences(20, 0)),
    healthy("lstm over averages", "recurrent", lambda _: net.Cells(mean=True), tasks.averages()),
    healthy("relu autoencoder", "regression", lambda _: drawn(stack(4, outputs=32), HE, head=1.0), tasks.numbers()),
    healthy("two heads, one without a target", "two heads", lambda _: net.TwoHeads(), tasks.vectors(), "601"),
    healthy("two of four experts", "experts", lambda _: net.Experts(), tasks.vectors()),
    healthy("post-ln transformer of 2 blocks", "transformer", lambda _: net.Reader(net.blocks(2, 32, net.PostNorm)),
            SENTENCES),
    healthy("batch norm in front, inputs of 255", "batch norm",
            lambda _: nn.Sequential(nn.BatchNorm2d(3), *drawn(convolutions(4), HE)), tasks.images(scale=255),
            NOT_TRANSPORT),
)  # fmt: skip
EXHIBITS = SICK + HEALTHY
