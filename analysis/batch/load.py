"""Bytes -> Batch: the sample that everything is measured on.

Formats, told apart by their first bytes: npz and npy (numpy), safetensors, an ONNX TensorProto (`.pb`), and the
Open Inference Protocol v2 request body (JSON, as KServe and Triton take it). Keys are graph input names; `target` or
`labels` is for the first differentiable output, `target.<output>` for a named one, and an input of that name wins. A
single unnamed array is the only input. Nothing is unpickled, and nothing is allocated before its size is checked.
"""

import hashlib
import io
import json
import math
import tokenize
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import ml_dtypes
import numpy as np
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper
from safetensors import SafetensorError, deserialize

from analysis.errors import BadBatch, LimitExceeded
from analysis.facts import Provenance
from analysis.model import CheckedModel
from analysis.model.check import DEFAULT_LIMITS, ValueSpec
from analysis.model.weights import Array
from analysis.options import Limits

TARGET_KEYS: Final = ("target", "labels")
TARGET_PREFIX: Final = "target."
UNNAMED: Final = ""
BATCH_NAMES: Final = frozenset({"n", "b", "bs", "batch", "batch_size", "batchsize", "unk__batch", "samples"})
OIP_TYPES: Final = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "INT8": "int8",
    "INT16": "int16", "INT32": "int32", "INT64": "int64", "FP16": "float16", "FP32": "float32", "FP64": "float64",
}  # fmt: skip
SAFETENSORS_TYPES: Final = {
    "BOOL": "bool", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "I8": "int8", "I16": "int16",
    "I32": "int32", "I64": "int64", "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs by graph input name, and targets by output name where there are any."""

    inputs: Mapping[str, Array]
    targets: Mapping[str, Array]
    """Key "" stands for the first differentiable output."""
    size: int
    """Samples."""
    axes: Mapping[str, int | None]
    """Which axis of an input counts samples; None where none does."""
    sha256: str
    provenance: Provenance
    notes: tuple[str, ...] = field(default=())

    @property
    def constant_inputs(self) -> bool:
        """Whether all samples are equal, so that nothing can be said about units."""
        return self.size > 1 and all(
            _samples_equal(array, self.axes[name]) for name, array in self.inputs.items() if array.size
        )


def load_batch(source: bytes | Path, model: CheckedModel, limits: Limits = DEFAULT_LIMITS) -> Batch:
    """Read a batch and check it against the model.

    Raises BadBatch saying what was expected and what was given, LimitExceeded.
    """
    content = _content(source, limits)
    arrays = _read(content, limits)
    inputs, targets = _assign(arrays, model)
    inputs = {spec.name: _checked(spec, inputs[spec.name]) for spec in model.inputs}
    targets = {name: _numbers(name, array) for name, array in targets.items()}
    _check_finite(inputs, targets)
    size, axes = sample_axes(model, inputs, targets)
    digest = hashlib.sha256(content).hexdigest()
    return Batch(inputs, targets, size, axes, digest, Provenance.UPLOADED)


def synthesize_batch(model: CheckedModel, size: int, seed: int, open_size: int = 16) -> Batch:
    """A batch from the input specification: N(0, 1) floats, small integers; seeded, and marked as synthetic.

    The first axis counts samples where the model leaves it open; other open axes get `open_size`.
    """
    random = np.random.default_rng(seed)
    inputs: dict[str, Array] = {}
    chosen: dict[str, int] = {}
    for spec in model.inputs:
        shape = tuple(
            _synthetic_size(dimension, place, size, open_size, chosen)
            for place, dimension in enumerate((None,) if spec.shape is None else spec.shape)
        )
        inputs[spec.name] = _synthetic(spec, shape, random, _table_sizes(model, spec.name))
    count, axes = sample_axes(model, inputs, {})
    digest = hashlib.sha256()
    for name, array in inputs.items():
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    note = "inputs are synthetic: what depends on real data may differ"
    return Batch(inputs, {}, count, axes, digest.hexdigest(), Provenance.SYNTHETIC, (note,))


def sample_axes(
    model: CheckedModel, inputs: Mapping[str, Array], targets: Mapping[str, Array]
) -> tuple[int, dict[str, int | None]]:
    """How many samples there are, and along which axis of each input they lie.

    What the targets start with decides, then a dimension named like a batch, then the first axis.
    """
    named = {spec.name: _named_batch_axis(spec) for spec in model.inputs}
    sizes = [array.shape[0] for array in targets.values() if array.ndim]
    sizes += [inputs[name].shape[axis] for name, axis in named.items() if axis is not None]
    sizes += [array.shape[0] for array in inputs.values() if array.ndim]
    size = sizes[0] if sizes else 1
    axes: dict[str, int | None] = {}
    for name, array in inputs.items():
        fitting = [axis for axis, length in enumerate(array.shape) if length == size]
        known = named.get(name)
        axes[name] = known if known in fitting else next(iter(fitting), None)
    return size, axes


def select(batch: Batch, rows: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """Inputs and targets of some samples."""
    inputs = {
        name: array if batch.axes[name] is None else np.take(array, rows, axis=batch.axes[name])
        for name, array in batch.inputs.items()
    }
    targets = {
        name: np.take(array, rows, axis=0) if array.ndim and array.shape[0] == batch.size else array
        for name, array in batch.targets.items()
    }
    return inputs, targets


# ------------------------------------------------------------------ reading


def _content(source: bytes | Path, limits: Limits) -> bytes:
    if isinstance(source, Path):
        try:
            if source.stat().st_size > limits.batch_bytes:
                raise LimitExceeded(
                    f"the batch has {source.stat().st_size} bytes, {limits.batch_bytes} are allowed", where="batch"
                )
            source = source.read_bytes()
        except OSError as error:
            raise BadBatch(f"cannot read the batch: {error.strerror}", where=str(source)) from error
    if len(source) > limits.batch_bytes:
        raise LimitExceeded(f"the batch has {len(source)} bytes, {limits.batch_bytes} are allowed", where="batch")
    if not source:
        raise BadBatch("the batch is empty", where="batch", hint="send npz, npy, safetensors, TensorProto or OIP JSON")
    return source


def _read(content: bytes, limits: Limits) -> dict[str, Array]:
    if content.startswith(b"PK"):
        return dict(_npz(content, limits))
    if content.startswith(b"\x93NUMPY"):
        return {UNNAMED: _npy(content, "batch", limits)}
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content):
        return dict(_safetensors(content))
    if content.lstrip()[:1] == b"{":
        return _open_inference(content)
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
        yield member.filename.removesuffix(".npy"), _npy(_inflate(archive, member), member.filename, limits)


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


def _npy(content: bytes, where: str, limits: Limits) -> Array:
    """An npy file whose header was checked before numpy allocates anything."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(stream)
        needed = math.prod(shape) * dtype.itemsize
    except (ValueError, EOFError, TypeError, tokenize.TokenError, SyntaxError, RecursionError) as error:
        raise BadBatch(f"not a numpy array: {' '.join(str(error).split())[:200]}", where=where) from error
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


def _safetensors(content: bytes) -> Iterator[tuple[str, Array]]:
    try:
        for name, tensor in deserialize(content):  # type: ignore[no-untyped-call]
            values = np.frombuffer(tensor["data"], SAFETENSORS_TYPES[tensor["dtype"]])
            yield name, values.reshape(tensor["shape"])
    except KeyError as error:
        raise BadBatch(f"element type {error} is not one of {', '.join(SAFETENSORS_TYPES)}", where="batch") from error
    except (SafetensorError, ValueError, TypeError) as error:
        raise BadBatch(f"not a safetensors file: {error}", where="batch") from error


def _tensor_proto(content: bytes) -> dict[str, Array]:
    unknown = BadBatch(
        "the format is not recognised", where="batch", hint="send npz, npy, safetensors, TensorProto or OIP JSON"
    )
    tensor = TensorProto()
    try:
        tensor.ParseFromString(content)
        whole = tensor.data_type and tensor.data_location != TensorProto.EXTERNAL and min(tensor.dims, default=0) >= 0
        if not whole or not isinstance(tensor.name, str):
            raise unknown
        return {tensor.name: numpy_helper.to_array(tensor)}
    except (DecodeError, ValueError, TypeError, KeyError) as error:
        raise unknown from error


def _open_inference(content: bytes) -> dict[str, Array]:
    try:
        request = json.loads(content)
        tensors = request["inputs"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadBatch(
            f"not an Open Inference Protocol request: {error!r:.100}",
            where="batch",
            hint='{"inputs": [{"name": .., "shape": .., "datatype": "FP32", "data": ..}]}',
        ) from error
    arrays: dict[str, Array] = {}
    for place, tensor in enumerate(tensors if isinstance(tensors, list) else [tensors]):
        where = f"batch.inputs[{place}]"
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise BadBatch("needs name, shape, datatype and data", where=where)
        if tensor["name"] in arrays:
            raise BadBatch(f"a second tensor has the name {tensor['name']!r}", where=where)
        arrays[tensor["name"]] = _open_inference_tensor(tensor, where)
    return arrays


def _open_inference_tensor(tensor: Mapping[str, Any], where: str) -> Array:
    datatype = tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in OIP_TYPES:
        raise BadBatch(f"datatype {datatype!r} is not one of {', '.join(OIP_TYPES)}", where=where)
    try:
        values = np.asarray(tensor["data"], dtype=OIP_TYPES[datatype])
        if values.dtype.kind in "iu" and np.asarray(tensor["data"]).dtype.kind not in "iub":
            raise BadBatch(f"{datatype} data must be whole numbers", where=where)
        shape = [int(size) for size in tensor["shape"]]
        if min(shape, default=0) < 0:
            raise BadBatch(f"negative dimension in shape {shape}", where=where)
        return values.reshape(shape)
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise BadBatch(f"data do not fit shape and datatype: {error}", where=where) from error


# ------------------------------------------------------------------ against the model


def _assign(arrays: Mapping[str, Array], model: CheckedModel) -> tuple[dict[str, Array], dict[str, Array]]:
    """Divide arrays into inputs and targets by name."""
    expected = [spec.name for spec in model.inputs]
    outputs = [spec.name for spec in model.outputs]
    if len(arrays) == 1 and len(expected) == 1 and next(iter(arrays)) not in expected:
        (name, array), *_ = arrays.items()
        if name == UNNAMED or name not in TARGET_KEYS:
            arrays = {expected[0]: array} if name in {UNNAMED, "arr_0"} else arrays
    inputs: dict[str, Array] = {}
    targets: dict[str, Array] = {}
    unknown: list[str] = []
    for name, array in arrays.items():
        if name in expected:
            inputs[name] = array
        elif name in TARGET_KEYS and "" in targets:
            raise BadBatch(f"targets are given twice: {_listed(arrays)}", where=name)
        elif name in TARGET_KEYS:
            targets[""] = array
        elif name.startswith(TARGET_PREFIX) and name.removeprefix(TARGET_PREFIX) in outputs:
            targets[name.removeprefix(TARGET_PREFIX)] = array
        else:
            unknown.append(name)
    missing = [name for name in expected if name not in inputs]
    if missing or unknown:
        raise BadBatch(
            f"the model expects {_listed(expected)}, the batch has {_listed(arrays)}",
            where=", ".join(missing or unknown),
            hint=f"optional besides: target, labels, {_listed(TARGET_PREFIX + name for name in outputs)}",
        )
    return inputs, targets


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "nothing"


def _checked(spec: ValueSpec, array: Array) -> Array:
    """The array, its type, rank and fixed sizes as declared; names of dimensions are only hints in ONNX."""
    array = _native(array)
    if spec.dtype == "bfloat16" and array.dtype == np.dtype("V2"):
        array = array.view(ml_dtypes.bfloat16)  # numpy's own formats keep only its bytes
    if array.dtype.name != spec.dtype:
        raise BadBatch(
            f"expected {spec.dtype}, given {array.dtype.name}",
            where=spec.name,
            hint=f"convert it with .astype('{spec.dtype}')",
        )
    expected = "of any rank" if spec.shape is None else f"[{', '.join(str(size or '?') for size in spec.shape)}]"
    if (spec.shape is not None and not _fits(spec.shape, array.shape)) or not array.size:
        raise BadBatch(
            f"expected shape {expected}, given {list(array.shape)}", where=spec.name, hint=_way_out(spec, array)
        )
    return array


def _fits(wanted: Sequence[int | str | None], given: Sequence[int]) -> bool:
    """Whether sizes are those declared, where these are fixed."""
    return len(wanted) == len(given) and all(
        not isinstance(want, int) or want == size for want, size in zip(wanted, given, strict=True)
    )


def _way_out(spec: ValueSpec, array: Array) -> str:
    """Most exporters fix the number of samples unless they are told not to."""
    first, *others = spec.shape or (None,)
    if not isinstance(first, int) or not array.size or not _fits(others, array.shape[1:]):
        return ""
    return (
        f"the export fixes the number of samples at {first}: export with an open batch axis "
        f"(dynamic_axes={{'{spec.name}': {{0: 'N'}}}}, or dynamic_shapes of torch's current exporter), or send {first}"
    )


def _native(array: Array) -> Array:
    """The same numbers in this machine's byte order: torch takes no other."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _numbers(name: str, array: Array) -> Array:
    """A target, if it holds numbers."""
    if array.dtype.kind not in "biuf" and array.dtype != ml_dtypes.bfloat16:
        raise BadBatch(f"expected numbers, given {array.dtype.name}", where=f"target {name}".strip())
    return _native(array)


def _check_finite(inputs: Mapping[str, Array], targets: Mapping[str, Array]) -> None:
    named = [*inputs.items(), *((f"target {name}".strip(), array) for name, array in targets.items())]
    for name, array in named:
        floats = array.dtype.kind in "fc" or array.dtype == ml_dtypes.bfloat16
        count = int(array.size - np.isfinite(array).sum()) if floats else 0
        if count:
            raise BadBatch(
                f"{count} of {array.size} values are NaN or infinite", where=name, hint="clean or impute the batch"
            )


def _named_batch_axis(spec: ValueSpec) -> int | None:
    for axis, dimension in enumerate(spec.shape or ()):
        if isinstance(dimension, str) and dimension.lower() in BATCH_NAMES:
            return axis
    return None


def _samples_equal(array: Array, axis: int | None) -> bool:
    if axis is None:
        return True
    first = np.take(array, [0], axis=axis)
    return bool((array == first).all())


# ------------------------------------------------------------------ synthesis


def _synthetic_size(dimension: int | str | None, place: int, size: int, open_size: int, chosen: dict[str, int]) -> int:
    if isinstance(dimension, int):
        return dimension
    is_batch = dimension.lower() in BATCH_NAMES if isinstance(dimension, str) else False
    value = size if is_batch or place == 0 else open_size
    return chosen.setdefault(dimension, value) if isinstance(dimension, str) else value


def _synthetic(spec: ValueSpec, shape: tuple[int, ...], random: np.random.Generator, rows: int | None) -> Array:
    dtype = np.dtype(spec.dtype) if spec.dtype not in {"sequence", "optional", "map", "str", "unknown"} else None
    if dtype is None:
        raise BadBatch(f"cannot make up a value of type {spec.dtype}", where=spec.name, hint="send a batch")
    if dtype.kind == "b":
        return np.ones(shape, dtype)
    if dtype.kind in "iu":
        # Token ids where the input reads a table; ones (a full mask, type zero would be as good) elsewhere.
        return random.integers(0, rows, shape).astype(dtype) if rows else np.ones(shape, dtype)
    return random.standard_normal(shape).astype(dtype)


def _table_sizes(model: CheckedModel, name: str) -> int | None:
    """Rows of the smallest table that an integer input looks up, found through casts and reshapes."""
    found: list[int] = []
    reached = {name}
    for node in model.nodes:
        if reached.isdisjoint(node.input):
            continue
        if node.op_type == "Gather" and node.input[1] in reached and node.input[0] in model.weights:
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
            found.append(model.weights[node.input[0]].shape[axis])
        elif node.op_type in {"Cast", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Slice", "Gather"}:
            reached.update(node.output)
    return min(found) if found else None
