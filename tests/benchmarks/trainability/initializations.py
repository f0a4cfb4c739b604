"""The weights a network starts from: schemes that are right for some networks and wrong for others."""

import math
from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import nn

from tests.benchmarks.trainability.configurations import Configuration, Family
from tests.benchmarks.trainability.tasks import generator_for, make_task

Scheme = Callable[[torch.Tensor, Configuration], object]
"""Fills a weight in place."""
NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
SYMMETRIC: Final = frozenset({"tanh", "sigmoid"})
GAINS: Final = {
    "relu": math.sqrt(2), "leaky_relu": math.sqrt(2), "tanh": 5 / 3, "sigmoid": 1.0, "selu": 3 / 4, "gelu": 1.53,
    "silu": 1.68, "elu": 1.3,
}  # fmt: skip
GATES: Final = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}
KEEPING_GATE: Final = {"lstm": 1, "gru": 1}
"""Place of the gate that keeps the state: forget in torch's i f g o, update in r z n."""
CALIBRATION: Final = 128
"""Samples that LSUV looks at."""
NORMAL: Final = 0.02


def initialize(module: nn.Module, configuration: Configuration) -> None:
    """Fill all weights as the configuration says; uses torch's global random numbers."""
    if configuration.family is Family.RECURRENT:
        _initialize_recurrent(module, configuration)
    elif configuration.initialization != "torch":
        for layer in weight_layers(module):
            SCHEMES[configuration.initialization](layer.weight, configuration)
            nn.init.zeros_(layer.bias)
        if configuration.initialization == "lsuv":
            _unit_variance(module, configuration)
        if configuration.initialization == "ends":
            _shrink_ends(module, configuration)
    if configuration.bias:
        norms = [each for each in module.modules() if isinstance(each, NORMS)]
        for layer in norms or list(weight_layers(module))[:-1]:
            nn.init.constant_(layer.bias, configuration.bias)
    for embedding in (each for each in module.modules() if isinstance(each, nn.Embedding)):
        nn.init.normal_(embedding.weight, std=configuration.embedding_std)


def weight_layers(module: nn.Module) -> Iterator[nn.Linear | nn.Conv2d]:
    """Dense and convolutional layers, inputs first."""
    return (each for each in module.modules() if isinstance(each, nn.Linear | nn.Conv2d))


# ------------------------------------------------------------------ schemes


def _he(weight: torch.Tensor, _: Configuration) -> object:
    return nn.init.kaiming_normal_(weight)


def _xavier(weight: torch.Tensor, _: Configuration) -> object:
    return nn.init.xavier_normal_(weight)


def _xavier_with_gain(weight: torch.Tensor, configuration: Configuration) -> object:
    return nn.init.xavier_normal_(weight, gain=GAINS[configuration.activation])


def _orthogonal(weight: torch.Tensor, configuration: Configuration) -> object:
    return nn.init.orthogonal_(weight, gain=GAINS[configuration.activation])


def _unit_orthogonal(weight: torch.Tensor, _: Configuration) -> object:
    return nn.init.orthogonal_(weight)


def _normal(weight: torch.Tensor, configuration: Configuration) -> object:
    return nn.init.normal_(weight, std=configuration.scale)


def _small_normal(weight: torch.Tensor, _: Configuration) -> object:
    return nn.init.normal_(weight, std=NORMAL)


def _constant(weight: torch.Tensor, configuration: Configuration) -> object:
    return nn.init.constant_(weight, configuration.scale)


def _scaled(weight: torch.Tensor, configuration: Configuration) -> object:
    """He or Xavier, whichever fits the activation, times something that does not."""
    (_xavier if configuration.activation in SYMMETRIC else _he)(weight, configuration)
    with torch.no_grad():
        return weight.mul_(configuration.scale)


SCHEMES: Final[dict[str, Scheme]] = {
    "he": _he, "xavier": _xavier, "xavier_gain": _xavier_with_gain, "orthogonal": _orthogonal,
    "lsuv": _unit_orthogonal, "normal": _normal, "constant": _constant, "large": _scaled, "small": _scaled,
    "ends": _small_normal,
}  # fmt: skip


def _unit_variance(module: nn.Module, configuration: Configuration) -> None:
    """Scale each layer so that its outputs have variance 1 (Mishkin and Matas 2016), in one pass forward."""

    def rescale(layer: nn.Linear | nn.Conv2d, _: object, outputs: torch.Tensor) -> torch.Tensor:
        std = outputs.std().clamp_min(1e-6)
        layer.weight.div_(std)
        return outputs / std

    handles = [layer.register_forward_hook(rescale) for layer in weight_layers(module)]
    inputs, _ = make_task(configuration).sample(CALIBRATION, generator_for(configuration.seed, "calibration"))
    running = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with torch.no_grad():
        module(*inputs)
        for name, buffer in module.named_buffers():
            buffer.copy_(running[name])
    for handle in handles:
        handle.remove()


def _shrink_ends(module: nn.Module, configuration: Configuration) -> None:
    """The last layer of each branch divided by the root of their number (GPT-2)."""
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                weight.div_(math.sqrt(2 * configuration.depth))


# ------------------------------------------------------------------ recurrent


def _initialize_recurrent(module: nn.Module, configuration: Configuration) -> None:
    """Matrices gate by gate; biases zero but for the gate that keeps the state."""
    for name, weight in module.cells.named_parameters():
        if name.startswith("bias"):
            _initialize_gate_bias(name, weight, configuration)
        elif configuration.initialization != "torch":
            for gate in weight.chunk(GATES[configuration.cell]):
                _initialize_gate(gate, configuration, recurrent="_hh_" in name)


def _initialize_gate(gate: torch.Tensor, configuration: Configuration, *, recurrent: bool) -> None:
    with torch.no_grad():
        if configuration.initialization == "normal":
            gate.normal_(std=configuration.scale)
        elif configuration.initialization == "orthogonal" and recurrent:
            nn.init.orthogonal_(gate, gain=configuration.recurrent_scale)
        else:
            nn.init.xavier_uniform_(gate)


def _initialize_gate_bias(name: str, bias: torch.Tensor, configuration: Configuration) -> None:
    with torch.no_grad():
        if configuration.initialization != "torch":
            bias.zero_()
        if configuration.gate_bias and name.startswith("bias_ih"):
            bias.chunk(GATES[configuration.cell])[KEEPING_GATE[configuration.cell]].fill_(configuration.gate_bias)
