"""A module as an ONNX file that holds what training needs.

BatchNormalization is not folded and Dropout not removed, weights keep the names of the module's parameters, the axis of
the samples is open, and layers are called by their path. The module is left as it was: mode, buffers and random state.
"""

import inspect
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import onnx
import torch
from torch import Tensor, nn

from analysis.errors import BadBatch, Unsupported
from gradient_health.names import name_nodes
from gradient_health.outputs import tensors_in
from gradient_health.stacked import apart

OPSET: Final = 17
"""The newest that the exporter by tracing writes without rewriting operators."""
LARGEST_INLINE: Final = 1 << 30
"""Bytes of parameters from which the tensors are written beside the model."""
LONGEST_REASON: Final = 300
Inputs = Tensor | Sequence[Tensor] | Mapping[str, Tensor]


def named_inputs(module: nn.Module, batch: Inputs) -> dict[str, Tensor]:
    """The inputs by the names that `forward` gives them, in its order. Raises BadBatch for what it does not take."""
    known = list(inspect.signature(module.forward).parameters.values())
    names = [each.name for each in known if each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}]
    if isinstance(batch, Mapping):
        strangers = [name for name in batch if name not in {each.name for each in known}]
        if strangers:
            raise BadBatch(
                f"forward takes no {strangers[0]!r}", where=strangers[0], hint=f"it takes {', '.join(names)}"
            )
        return {each.name: batch[each.name] for each in known if each.name in batch}
    given = [batch] if isinstance(batch, Tensor) else list(batch)
    if len(given) > len(names) and not any(each.kind is each.VAR_POSITIONAL for each in known):
        raise BadBatch(f"forward takes {len(names)} inputs, given {len(given)}", where="batch")
    names += [f"input_{place}" for place in range(len(names), len(given))]
    return dict(zip(names, given, strict=False))


def export_module(module: nn.Module, inputs: Mapping[str, Tensor], path: Path) -> None:
    """Write the module in training mode. Raises Unsupported where the exporter cannot follow it."""
    samples = Counter(len(value) for value in inputs.values() if value.ndim).most_common(1)
    open_axes = {name: {0: "batch"} for name, value in inputs.items() if value.ndim and len(value) == samples[0][0]}
    with untouched(module), apart(module), called_by_name(module, tuple(inputs)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about shapes that it holds for constants; parity is measured
        try:
            torch.onnx.export(
                module,
                tuple(inputs.values()),
                str(path),
                dynamo=False,
                training=torch.onnx.TrainingMode.TRAINING,
                do_constant_folding=False,
                opset_version=OPSET,
                input_names=list(inputs),
                dynamic_axes=open_axes,
                external_data=sum(each.nbytes for each in module.parameters()) > LARGEST_INLINE,
            )
        except Exception as error:  # whatever the module's own forward, or the exporter, raises
            raise Unsupported(
                f"torch.onnx.export: {type(error).__name__}: {_first_words(error)}",
                where=type(module).__name__,
                hint="does module(*batch) run in training mode? Or export by hand and use analysis.pipeline.analyze",
            ) from error
    model = onnx.load(path, load_external_data=False)
    name_nodes(model, [name for name, _ in module.named_parameters()])
    _put_back(model, dict(module.named_buffers()))
    onnx.save(model, path)


def _first_words(error: Exception) -> str:
    """What went wrong; behind it the exporter prints the graph, page after page."""
    first = str(error).strip().partition("\n")[0].partition("  [Caused by")[0]
    return first if len(first) <= LONGEST_REASON else f"{first[: LONGEST_REASON - 1]}\N{HORIZONTAL ELLIPSIS}"


def _put_back(model: onnx.ModelProto, buffers: Mapping[str, Tensor]) -> None:
    """The module's own buffers: the exporter writes running statistics as its forward pass has moved them."""
    for tensor in model.graph.initializer:
        own = buffers.get(tensor.name)
        if own is not None and list(own.shape) == list(tensor.dims):
            tensor.CopyFrom(onnx.numpy_helper.from_array(own.detach().cpu().numpy(), tensor.name))


@contextmanager
def called_by_name(module: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Inside, the module takes tensors in the order of these names and hands out tensors only.

    The exporter by tracing knows positions alone: no arguments by keyword, none that are left out in between.
    """
    forward, own = module.forward, "forward" in vars(module)
    is_open = any(each.kind is each.VAR_POSITIONAL for each in inspect.signature(forward).parameters.values())

    def positional(*values: Tensor) -> Any:
        found = forward(*values) if is_open else forward(**dict(zip(names, values, strict=True)))
        if isinstance(found, Tensor | list | tuple):
            return found
        if not (tensors := tuple(tensors_in(found))):
            raise TypeError(f"forward hands out a {type(found).__name__}, in which there is no tensor")
        return tensors

    module.forward = positional
    try:
        yield
    finally:
        if own:
            module.forward = forward
        else:
            del module.forward


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Inside, forward passes may happen: buffers, modes and random numbers are as before afterwards."""
    modes = {each: each.training for each in module.modules()}
    buffers: dict[Tensor, Any] = {each: each.detach().clone() for each in module.buffers()}
    devices = {each.device for each in module.parameters() if each.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=[each.index for each in devices]):
            yield
    finally:
        for each, mode in modes.items():
            each.training = mode
        with torch.no_grad():
            for buffer, value in buffers.items():
                buffer.copy_(value)
