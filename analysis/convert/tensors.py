"""Types and numbers as torch has them: element types, tensors that share memory, the weights as parameters.

Half-precision types are for storage: their values are computed with in float32, as onnxruntime does on a CPU, and only
the graph's outputs are rounded. A gradient that float16 would flush to zero or lose to infinity keeps its value.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import ml_dtypes
import numpy as np
import torch
from onnx import TensorProto, TypeProto
from torch import nn

from analysis.convert.ops.casting import HALVES
from analysis.model import CheckedModel
from analysis.model.weights import Array

DTYPES: Final[Mapping[int, torch.dtype]] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.UINT8: torch.uint8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.INT8: torch.int8,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.BOOL: torch.bool,
    TensorProto.COMPLEX64: torch.complex64,
    TensorProto.COMPLEX128: torch.complex128,
}
NEAREST: Final[Mapping[int, torch.dtype]] = {
    TensorProto.FLOAT16: torch.float32,
    TensorProto.BFLOAT16: torch.float32,
    TensorProto.INT4: torch.int8,
    TensorProto.INT2: torch.int8,
    TensorProto.UINT4: torch.uint8,
    TensorProto.UINT2: torch.uint8,
    TensorProto.FLOAT4E2M1: torch.float32,
    TensorProto.FLOAT8E4M3FN: torch.float32,
    TensorProto.FLOAT8E4M3FNUZ: torch.float32,
    TensorProto.FLOAT8E5M2: torch.float32,
    TensorProto.FLOAT8E5M2FNUZ: torch.float32,
    TensorProto.FLOAT8E8M0: torch.float32,
    TensorProto.FLOAT6E2M3: torch.float32,
    TensorProto.FLOAT6E3M2: torch.float32,
}
"""Types torch does not have, or cannot compute with, or not well enough: their values are kept in these."""


def half_outputs(model: CheckedModel) -> dict[str, torch.dtype]:
    """The half-precision type of each output that has one."""
    elements = {value.name: _element_name(value.type) for value in model.proto.graph.output}
    return {name: HALVES[element] for name, element in elements.items() if element in HALVES}


def _element_name(kind: TypeProto) -> str:
    """The element type of a tensor, or of those in a sequence or an optional."""
    if kind.HasField("sequence_type"):
        return _element_name(kind.sequence_type.elem_type)
    if kind.HasField("optional_type"):
        return _element_name(kind.optional_type.elem_type)
    return TensorProto.DataType.Name(kind.tensor_type.elem_type)


def widened_to(value: Any, width: torch.dtype) -> Any:
    """Narrower floating-point tensors, also in a sequence, in the precision that is computed in."""
    if isinstance(value, list | tuple):
        return [widened_to(each, width) for each in value]
    narrower = {*HALVES.values(), *({torch.float32} if width is torch.float64 else ())}
    return value.to(width) if isinstance(value, torch.Tensor) and value.dtype in narrower else value


def rounded_to(value: Any, to: torch.dtype | None) -> Any:
    """An output in its own type; a sequence becomes a list."""
    if isinstance(value, list | tuple):
        return [rounded_to(each, to) for each in value]
    return value if to is None or value is None else value.to(to)


def to_tensor(array: Array, precision: torch.dtype = torch.float32) -> torch.Tensor:
    """A tensor that shares the array's memory where the type allows; float32 and less become `precision`.

    Types torch does not have come as the nearest it has: 4-bit integers as int8, 4-bit and 8-bit floats as float32.
    """
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).to(precision)
    if array.dtype.isbuiltin == 2:  # numpy's mark for a type that somebody else registered
        small = array.dtype.name
        wide = np.uint8 if small.startswith("uint") else np.int8 if small.startswith("int") else np.float32
        array = array.astype(wide)
    tensor = torch.from_numpy(array)
    return tensor.to(precision) if tensor.dtype in {torch.float16, torch.float32} else tensor


class TrainableWeights:
    """The trainable initialisers as parameters, on private copy-on-write memory."""

    def __init__(self, model: CheckedModel, trainable: Sequence[str], precision: torch.dtype) -> None:
        arrays = model.weights.private(trainable)
        self.parameters: dict[str, nn.Parameter] = {}
        self.quantized: dict[str, torch.Tensor] = {}
        for name, array in arrays.items():
            tensor = to_tensor(array, precision)
            if tensor.is_floating_point():
                self.parameters[name] = nn.Parameter(tensor)
            else:
                self.quantized[name] = tensor
