"""One reader per format, told apart by the first bytes.

npz and npy (numpy), safetensors, an ONNX TensorProto (`.pb`), and requests of the Open Inference Protocol
(`open_inference.py`). Nothing is unpickled, and nothing is allocated before its size is checked.
"""

import io
import math
import re
import tokenize
import zipfile
from collections.abc import Iterator
from typing import Final

import numpy as np
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper
from safetensors import SafetensorError, deserialize

from analysis.batch.guess import guess, guess_members
from analysis.batch.open_inference import check_members, read_request
from analysis.errors import BadBatch, LimitExceeded
from analysis.model.weights import Array
from analysis.options import Limits

UNNAMED: Final = ""
ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
NUMPY: Final = b"\x93NUMPY"
SAFETENSORS_TYPES: Final = {
    "BOOL": "bool", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "I8": "int8", "I16": "int16",
    "I32": "int32", "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip


def read_arrays(content: bytes, limits: Limits) -> dict[str, Array]:
    """Arrays by name, whatever the format; told apart by the first bytes.

    Raises BadBatch, LimitExceeded.
    """
    if content.startswith(b"PK"):
        return dict(_npz(content, limits))
    if content.startswith(NUMPY):
        return {UNNAMED: _npy(content, "batch", limits)}
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content):
        return dict(_safetensors(content, limits))
    if content.lstrip()[:1] == b"{":
        return read_request(content, limits)
    return _tensor_proto(content)


def _npz(content: bytes, limits: Limits) -> Iterator[tuple[str, Array]]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise BadBatch(
            f"the npz file is broken: {error}", where="batch", hint="numpy.savez(file, x=..., target=...) writes one"
        ) from error
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise BadBatch("two members of the npz have one name", where="batch")
    declared = sum(member.file_size for member in members)
    if len(members) > limits.batch_members or declared > limits.batch_bytes:
        raise LimitExceeded(
            f"{len(members)} arrays of {declared} bytes; {limits.batch_members} of {limits.batch_bytes} are allowed",
            where="batch",
        )
    for member in members:
        if member.file_size > limits.compression * max(member.compress_size, 1) + (1 << 20):
            raise LimitExceeded("compressed far more than data usually are", where=member.filename)
        array = _inflate(archive, member)
        if not array.startswith(NUMPY):
            raise BadBatch("not a numpy array", where=member.filename, hint=guess_members(names))
        yield member.filename.removesuffix(".npy"), _npy(array, member.filename, limits)


def _inflate(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A member, never more than it declares."""
    try:
        with archive.open(member) as stream:
            content = stream.read(member.file_size + 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise BadBatch(f"the npz member is broken: {error}", where=member.filename) from error
    except Exception as error:  # zlib.error and lzma errors share no base class
        raise BadBatch(f"the npz member does not inflate: {error}", where=member.filename) from error
    if len(content) != member.file_size:
        raise BadBatch("the npz member has another size than it declares", where=member.filename)
    return content


def _plainly(error: Exception) -> str:
    """Without the addresses of objects, and without numpy's advice to whoever calls it."""
    said = " ".join(ADDRESS.sub("", str(error)).split())
    return said.partition(" To allow loading")[0][:200]


def _npy(content: bytes, where: str, limits: Limits) -> Array:
    """An npy file whose header was checked before numpy allocates anything."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(stream)
        needed = math.prod(shape) * dtype.itemsize
    except (ValueError, EOFError, TypeError, tokenize.TokenError, SyntaxError, RecursionError) as error:
        raise BadBatch(f"not a numpy array: {_plainly(error)}", where=where) from error
    if dtype.hasobject:
        raise BadBatch("holds Python objects, which are never unpickled", where=where, hint="save plain numbers")
    if needed > limits.batch_bytes or needed > len(content) - stream.tell():
        raise BadBatch(
            f"the header promises {list(shape)} of {dtype.name} ({needed} bytes), "
            f"the file holds {len(content) - stream.tell()}",
            where=where,
        )
    stream.seek(0)
    try:
        return np.lib.format.read_array(stream, allow_pickle=False)
    except (ValueError, TypeError) as error:
        raise BadBatch(f"no array can have shape {list(shape)}: {error}", where=where) from error


def _safetensors(content: bytes, limits: Limits) -> Iterator[tuple[str, Array]]:
    try:
        tensors = deserialize(content)  # type: ignore[no-untyped-call]
        check_members(len(tensors), limits)
        for name, tensor in tensors:
            values = np.frombuffer(tensor["data"], SAFETENSORS_TYPES[tensor["dtype"]])
            yield name, values.reshape(tensor["shape"])
    except KeyError as error:
        raise BadBatch(f"element type {error} is not one of {', '.join(SAFETENSORS_TYPES)}", where="batch") from error
    except (SafetensorError, ValueError, TypeError) as error:
        raise BadBatch(f"not a safetensors file: {error}", where="batch") from error


def _tensor_proto(content: bytes) -> dict[str, Array]:
    unknown = BadBatch("the format is not recognised", where="batch", hint=guess(content))
    tensor = TensorProto()
    try:
        tensor.ParseFromString(content)
        whole = tensor.data_type and tensor.data_location != TensorProto.EXTERNAL and min(tensor.dims, default=0) >= 0
        if not whole or not isinstance(tensor.name, str):
            raise unknown
        return {tensor.name: numpy_helper.to_array(tensor)}
    except (DecodeError, ValueError, TypeError, KeyError) as error:
        raise unknown from error
