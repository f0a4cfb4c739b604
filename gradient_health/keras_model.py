"""A Keras model on the backend of torch as a module that is exported as it trains.

Keras exports models for use: BatchNormalization with its running statistics, written out in arithmetic, and no Dropout,
which is not the network that is trained. Here both are computed by torch's own functions while the model is traced, so
that the graph has the operators; everything else is the model's own call. Weights have the paths of their layers:
`hidden_1.kernel`. Keras is no dependency, and nothing of it is imported here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.errors import Unsupported

OF_TRAINING: Final = ("BatchNormalization", "Dropout")
"""Layers that compute something else in training."""


class KerasModel(nn.Module):
    """Holds the weights of the model under the paths of its layers, and calls it."""

    def __init__(self, model: Any) -> None:
        """Of a model that was built. Raises Unsupported for one of another backend, and one without weights yet."""
        super().__init__()
        if not isinstance(model, nn.Module):
            raise Unsupported(
                "the backend of Keras is not torch",
                where=type(model).__name__,
                hint="export by hand, BatchNormalization and Dropout as they train, and use analysis.pipeline.analyze",
            )
        keras: Any = model
        if not keras.built:
            raise Unsupported("the model is not built", hint="call it once, or give it an Input")
        self._called: tuple[Any] = (keras,)  # in a tuple, or its weights would be held under its own names, too
        for variable in keras.weights:
            path = variable.path.removeprefix(f"{keras.name}/").split("/")
            _hold(self, path, variable.value)

    def forward(self, *inputs: Tensor) -> Any:
        """What the model computes in training."""
        (model,) = self._called
        given: Any = inputs[0] if len(inputs) == 1 else list(inputs)
        with _as_trained(model):
            return model(given, training=False)  # of the layers that are left, what is random is off


def inputs_of(model: Any, batch: Any) -> list[Tensor]:
    """The tensors of a batch in the order of the model's inputs; by their names where it is a mapping."""
    if isinstance(batch, Mapping):
        values: Sequence[Any] = [batch[each.name] for each in model.inputs]
    else:
        values = batch if isinstance(batch, list | tuple) else [batch]
    return [torch.as_tensor(value) for value in values]


def _hold(module: nn.Module, path: Sequence[str], value: Tensor) -> None:
    """Keep a tensor under a path; a trainable one is a parameter."""
    *parts, name = path
    for part in parts:
        if part not in dict(module.named_children()):
            module.add_module(part, nn.Module())
        module = module.get_submodule(part)
    if isinstance(value, nn.Parameter) and value.requires_grad:
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


@contextmanager
def _as_trained(model: Any) -> Iterator[None]:
    """Inside, layers compute what they do in training, by torch's own functions."""
    layers = [layer for layer in _layers(model) if type(layer).__name__ in OF_TRAINING and layer.trainable]
    for layer in layers:
        object.__setattr__(layer, "call", partial(CALLS[type(layer).__name__], layer))
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["call"]


def _layers(model: Any) -> Iterator[Any]:
    """All, also those inside of models and of wrappers."""
    yield from model._flatten_layers(include_self=False)  # noqa: SLF001 - Keras has no other way to all of them


def _batch_normalization(layer: Any, x: Tensor, **_: Any) -> Tensor:
    """Over all axes but the one of the channels; running statistics stay as they are."""
    axis = layer.axis % x.ndim
    scale, shift = (None if each is None else each.value for each in (layer.gamma, layer.beta))
    mean, variance = layer.moving_mean.value, layer.moving_variance.value
    moved = x.movedim(axis, 1) if x.ndim > 2 else x
    normal = F.batch_norm(moved, mean, variance, scale, shift, training=True, momentum=0.0, eps=layer.epsilon)
    return normal.movedim(1, axis) if x.ndim > 2 else normal


def _dropout(layer: Any, x: Tensor, **_: Any) -> Tensor:
    return F.dropout(x, layer.rate, training=True)


CALLS: Final[Mapping[str, Callable[..., Tensor]]] = {"BatchNormalization": _batch_normalization, "Dropout": _dropout}
