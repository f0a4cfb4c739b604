"""A request of the Open Inference Protocol v2 as a batch, as KServe and Triton are sent it: JSON, or with binary data.

    {"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}, ...]}
    {"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": 24}}]}<24 bytes>

Binary data follow the JSON in the order of their tensors, row by row, little endian, without padding. Over HTTP the
header Inference-Header-Content-Length says where the JSON ends; a file has none: it ends where its object does.
Source: https://github.com/kserve/open-inference-protocol (Inference Request JSON Object, Binary Tensor Data Extension)
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import ml_dtypes
import numpy as np

from analysis.errors import BadBatch, LimitExceeded
from analysis.model.weights import Array
from analysis.options import Limits

TYPES: Final[Mapping[str, Any]] = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "INT8": "int8",
    "INT16": "int16", "INT32": "int32", "INT64": "int64", "FP16": "float16", "FP32": "float32", "FP64": "float64",
    "BF16": ml_dtypes.bfloat16,
}  # fmt: skip
DEFAULT_LIMITS: Final = Limits()
HINT: Final = '{"inputs": [{"name": .., "shape": .., "datatype": "FP32", "data": ..}]}'


def read_request(content: bytes, limits: Limits = DEFAULT_LIMITS) -> dict[str, Array]:
    """Its tensors by name. Raises BadBatch, which names the tensor, LimitExceeded."""
    tensors, binary = _parts(content)
    check_members(len(tensors), limits)
    arrays: dict[str, Array] = {}
    taken = 0
    for place, tensor in enumerate(tensors):
        where = f"batch.inputs[{place}]"
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise BadBatch("needs name, shape, datatype and data", where=where)
        where += f" {tensor['name']!r}"
        if tensor["name"] in arrays:
            raise BadBatch(f"a second tensor has the name {tensor['name']!r}", where=where)
        size = _binary_size(tensor, where)
        if size is None:
            arrays[tensor["name"]] = _of_json(tensor, where)
        else:
            arrays[tensor["name"]] = _of_bytes(tensor, binary[taken : taken + size], size, where)
            taken += size
    if taken != len(binary):
        raise BadBatch(f"{len(binary)} bytes follow the JSON, its tensors claim {taken}", where="batch", hint=HINT)
    return arrays


def check_members(count: int, limits: Limits) -> None:
    """Raises LimitExceeded."""
    if count > limits.batch_members:
        raise LimitExceeded(f"{count} arrays; {limits.batch_members} are allowed", where="batch")


def _parts(content: bytes) -> tuple[list[Any], bytes]:
    """What the JSON says of tensors, and the bytes that follow it."""
    try:
        try:
            request, end = json.loads(content), len(content)
        except ValueError:  # not JSON to its end; as latin-1 a character is a byte
            start = len(content) - len(content.lstrip())
            _, end = json.JSONDecoder().raw_decode(content.decode("latin-1"), start)
            request = json.loads(content[:end])
        tensors = request["inputs"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = 'it has no "inputs"' if isinstance(error, KeyError) else f"{error!s:.100}"
        raise BadBatch(f"not an Open Inference Protocol request: {what}", where="batch", hint=HINT) from error
    return tensors if isinstance(tensors, list) else [tensors], content[end:]


def _binary_size(tensor: Mapping[str, Any], where: str) -> int | None:
    """How many of the bytes behind the JSON are its data; None where these are in the JSON."""
    parameters = tensor.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise BadBatch(f"binary_data_size {size!r:.40} is no number of bytes", where=where)
    if "data" in tensor:
        raise BadBatch("has data in the JSON and binary_data_size as well", where=where)
    return size


def _of_json(tensor: Mapping[str, Any], where: str) -> Array:
    datatype = _datatype(tensor, where)
    try:
        values = np.asarray(tensor["data"], dtype=TYPES[datatype])
        if values.dtype.kind in "iu" and np.asarray(tensor["data"]).dtype.kind not in "iub":
            raise BadBatch(f"{datatype} data must be whole numbers", where=where)
        return values.reshape(_shape(tensor, where))
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise BadBatch(f"data do not fit shape and datatype: {error}", where=where) from error


def _of_bytes(tensor: Mapping[str, Any], content: bytes, size: int, where: str) -> Array:
    dtype, shape = np.dtype(TYPES[_datatype(tensor, where)]), _shape(tensor, where)
    needed = math.prod(shape) * dtype.itemsize
    if needed != size:
        raise BadBatch(f"{shape} of {tensor['datatype']} are {needed} bytes, binary_data_size is {size}", where=where)
    if len(content) != size:
        raise BadBatch(f"binary_data_size is {size}, {len(content)} bytes are left behind the JSON", where=where)
    if dtype == np.bool_ and content.strip(b"\0\1"):
        raise BadBatch("a BOOL is a byte that is 0 or 1", where=where)
    stored = dtype if dtype == ml_dtypes.bfloat16 else dtype.newbyteorder("<")
    return np.frombuffer(content, stored).astype(dtype).reshape(shape)


def _datatype(tensor: Mapping[str, Any], where: str) -> str:
    datatype = tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in TYPES:
        raise BadBatch(f"datatype {datatype!r:.40} is not one of {', '.join(TYPES)}", where=where)
    return datatype


def _shape(tensor: Mapping[str, Any], where: str) -> list[int]:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise BadBatch(f"data do not fit shape {shape!r:.40}: a list of sizes, none of them negative", where=where)
    return shape
