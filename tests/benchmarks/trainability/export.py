"""A network and its samples as a client would upload them."""

import io
import warnings
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tests.benchmarks.trainability.tasks import Task
from tests.gallery import npz

OPSET: Final = 17
INPUT, OUTPUT = "x", "logits"


def to_onnx(module: nn.Module, inputs: Sequence[torch.Tensor]) -> bytes:
    """Through the TorchScript exporter, batch axis open; BatchNorm stays a node that uses the batch's statistics."""
    trains = any(isinstance(each, _BatchNorm) for each in module.modules())
    mode = torch.onnx.TrainingMode.TRAINING if trains else torch.onnx.TrainingMode.EVAL
    names = [INPUT, *(f"{INPUT}{place}" for place in range(1, len(inputs)))]
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.train(trains), tuple(inputs), file, dynamo=False, opset_version=OPSET, training=mode,
            do_constant_folding=not trains, input_names=names, output_names=[OUTPUT],
            dynamic_axes={name: {0: "N"} for name in [*names, OUTPUT]},
        )  # fmt: skip
    _restore(module, buffers)
    return file.getvalue()


def to_npz(task: Task, samples: int, seed: int) -> bytes:
    """The batch to upload: inputs by graph input name, and their targets."""
    inputs, targets = task.sample(samples, torch.Generator().manual_seed(seed))
    names = [INPUT, *(f"{INPUT}{place}" for place in range(1, len(inputs)))]
    arrays: dict[str, np.ndarray] = {name: each.numpy() for name, each in zip(names, inputs, strict=True)}
    return npz(**arrays, target=targets.numpy())


def _restore(module: nn.Module, buffers: dict[str, torch.Tensor]) -> None:
    """Running statistics, which tracing moves."""
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            buffer.copy_(buffers[name])
