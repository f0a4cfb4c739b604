"""What this project reads of Keras on the backend of torch: layers, variables with paths, a model that calls them.

Keras itself is in no extra of this project. `call` of BatchNormalization and Dropout is what Keras exports: for use.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Variable:
    path: str
    value: Tensor


class Layer:
    """What is called by `layer(x)` runs `layer.call`, as in Keras."""

    trainable = True

    def __call__(self, x: Tensor, training: bool = False) -> Tensor:
        return self.call(x, training=training)

    def call(self, x: Tensor, training: bool = False) -> Tensor:  # noqa: ARG002
        return x

    def variables(self) -> list[Variable]:
        return [each for each in vars(self).values() if isinstance(each, Variable)]


class Dense(Layer):
    def __init__(self, path: str, inputs: int, units: int) -> None:
        weight = torch.randn(inputs, units, generator=torch.Generator().manual_seed(units)) / inputs**0.5
        self.kernel = Variable(f"{path}/kernel", nn.Parameter(weight))
        self.bias = Variable(f"{path}/bias", nn.Parameter(torch.zeros(units)))

    def call(self, x: Tensor, training: bool = False) -> Tensor:  # noqa: ARG002
        return x @ self.kernel.value + self.bias.value


class Sigmoid(Layer):
    def call(self, x: Tensor, training: bool = False) -> Tensor:  # noqa: ARG002
        return torch.sigmoid(x)


class BatchNormalization(Layer):
    axis, epsilon = -1, 1e-3

    def __init__(self, path: str, units: int) -> None:
        self.gamma = Variable(f"{path}/gamma", nn.Parameter(torch.ones(units)))
        self.beta = Variable(f"{path}/beta", nn.Parameter(torch.zeros(units)))
        self.moving_mean = Variable(f"{path}/moving_mean", torch.zeros(units))
        self.moving_variance = Variable(f"{path}/moving_variance", torch.ones(units))

    def call(self, x: Tensor, training: bool = False) -> Tensor:  # noqa: ARG002
        scale = self.gamma.value / torch.sqrt(self.moving_variance.value + self.epsilon)
        return (x - self.moving_mean.value) * scale + self.beta.value


class Dropout(Layer):
    rate = 0.1


class Model(nn.Module):
    """A chain of layers on the backend of torch."""

    name, built, inputs = "net", True, ()

    def __init__(self, *layers: Layer, optimizer: Any = None) -> None:
        super().__init__()
        self.chain, self.optimizer = layers, optimizer

    @property
    def weights(self) -> list[Variable]:
        return [variable for layer in self.chain for variable in layer.variables()]

    def _flatten_layers(self, include_self: bool = True) -> Iterator[Layer]:
        assert not include_self
        yield from self.chain

    def forward(self, x: Tensor, training: bool = False) -> Tensor:
        for layer in self.chain:
            x = layer(x, training=training)
        return x


class Callback:
    """As that of Keras: every hook is there, and the model is set."""

    model: Any = None

    def on_train_begin(self, logs: object = None) -> None: ...

    def on_train_end(self, logs: object = None) -> None: ...


def network(depth: int, units: int = 16, *, normalized: bool = False, **how: Any) -> Model:
    """Hidden layers with sigmoids, a Dropout, a head of 4."""
    layers: list[Layer] = []
    for place in range(depth):
        layers += [Dense(f"net/hidden_{place}", 16 if place == 0 else units, units)]
        layers += [BatchNormalization(f"net/norm_{place}", units)] if normalized else []
        layers += [Sigmoid()]
    return Model(*layers, Dropout(), Dense("net/head", units, 4), **how)
