"""Other converters from ONNX to torch, where they are installed: what they make of the same file."""

import importlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import onnx
import torch
from torch import nn

Converter = Callable[[bytes], nn.Module]


def peers() -> Iterator[tuple[str, Converter]]:
    """By the name of the package. A converter raises what its package does, when it is loaded and when it is called."""
    if find_spec("onnx2torch"):
        yield "onnx2torch", lambda model: importlib.import_module("onnx2torch").convert(onnx.load_from_string(model))
    if find_spec("onnx2pytorch"):
        yield "onnx2pytorch", _by_onnx2pytorch


def _by_onnx2pytorch(model: bytes) -> nn.Module:
    made: nn.Module = importlib.import_module("onnx2pytorch").ConvertModel(
        onnx.load_from_string(model), experimental=True
    )
    return made


def trainable(module: nn.Module) -> list[torch.Tensor]:
    """Its parameters, and the weights that it holds as buffers: both have a gradient in the original."""
    held = [each for each in module.buffers() if each.is_floating_point() and each.ndim > 1]
    return [*module.parameters(), *(each.requires_grad_() for each in held)]
