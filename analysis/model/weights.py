"""The tensors of a model, by name: views of the mapped files, or arrays that an edit made.

A weight is never copied to be looked at. Reading gives a read-only view of a shared mapping; whoever needs to write
(the training probe, a re-initialisation) asks for `private` arrays, which are copy-on-write mappings of the same
bytes: pages that nobody changes cost no memory, and two users never see each other's changes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import SparseTensorProto, TensorProto, helper, numpy_helper

from analysis.errors import InvalidModel, LimitExceeded
from analysis.model.data_files import DataFiles, MappedFile
from analysis.model.wire import Outline, Span
from analysis.options import Limits

Array = npt.NDArray[Any]
"""A numpy array of whatever element type the model has."""
COPY_BELOW_BYTES: Final = 64 << 10  # small weights are copied: aligned, and a page costs more than they do
MAX_RANK: Final = 64  # numpy's and torch's own limit
MAX_ELEMENTS: Final = 2**58  # so that no size in bytes leaves 63 bits
PACKED: Final = frozenset({TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1, TensorProto.STRING}) | {
    getattr(TensorProto, name) for name in ("INT2", "UINT2") if hasattr(TensorProto, name)
}


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor that lies in a file."""

    file: MappedFile
    span: Span
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    def view(self, mapping: memoryview) -> Array:
        """The tensor as an array over `mapping`."""
        count = self.span.length // self.dtype.itemsize
        return np.frombuffer(mapping, self.dtype, count, self.span.start).reshape(self.shape)


class Weights(Mapping[str, Array]):
    """Initialisers and constants by name, in the order of the file."""

    def __init__(self, entries: Mapping[str, Stored | Array]) -> None:
        """Keep references only."""
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Array:
        """A read-only array."""
        entry = self._entries[name]
        array = entry.view(entry.file.view) if isinstance(entry, Stored) else entry.view()
        array.flags.writeable = False
        return array

    def __iter__(self) -> Iterator[str]:
        """Names, in the order of the file."""
        return iter(self._entries)

    def __len__(self) -> int:
        """How many."""
        return len(self._entries)

    def private(self, names: Iterable[str]) -> dict[str, Array]:
        """Writable arrays that share no change with anyone, mapped copy-on-write where that is worth it."""
        mappings: dict[int, memoryview] = {}
        arrays: dict[str, Array] = {}
        for name in names:
            entry = self._entries[name]
            if isinstance(entry, Stored) and entry.span.length >= COPY_BELOW_BYTES:
                mapping = mappings.setdefault(id(entry.file), entry.file.private())
                arrays[name] = entry.view(mapping)
            else:
                arrays[name] = np.array(self[name])
        return arrays

    def updated(self, changes: Mapping[str, Array]) -> "Weights":
        """The same weights with some added or replaced."""
        return Weights({**self._entries, **changes})


@dataclass(frozen=True, slots=True)
class TensorReader:
    """Finds the data of a TensorProto: in the message, in the model file, or in a data file of the model."""

    model_file: MappedFile
    outline: Outline
    data_files: DataFiles
    limits: Limits

    def read(self, tensor: TensorProto) -> Stored | Array:
        """The tensor's data, checked against its declared shape before anything is allocated."""
        name = tensor.name or "tensor"
        shape = _shape(tensor.dims, name)
        file, span = self._place(tensor)
        if span is not None and tensor.data_type not in PACKED:
            return self._checked(tensor, file, span)
        if span is not None:
            tensor.raw_data = bytes(file.view[span.start : span.start + span.length])
            tensor.data_location = TensorProto.DEFAULT
        try:
            return numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidModel(f"data does not fit shape {list(shape)}: {error}", where=name) from error

    def inline(self, tensor: TensorProto) -> None:
        """Put the data of a tensor that stays in the graph back into its message."""
        if self._place(tensor)[1] is not None:
            tensor.CopyFrom(numpy_helper.from_array(self._array(tensor), tensor.name))

    def read_sparse(self, sparse: SparseTensorProto) -> Array:
        """A sparse tensor made dense, within the limit."""
        name = sparse.values.name or "sparse tensor"
        shape = _shape(sparse.dims, name)
        values, indices = self._array(sparse.values), self._array(sparse.indices)
        if values.ndim != 1 or indices.shape not in {values.shape, (*values.shape, len(shape))}:
            raise InvalidModel(
                f"{list(values.shape)} sparse values do not fit {list(indices.shape)} indices", where=name
            )
        size = _volume(shape)
        if size * values.itemsize > self.limits.sparse_bytes:
            raise LimitExceeded(
                f"sparse tensor of shape {list(shape)} is larger than {self.limits.sparse_bytes} bytes", where=name
            )
        if indices.size and (indices.min() < 0 or (indices.ndim == 1 and indices.max() >= size)):
            raise InvalidModel("sparse index out of range", where=name)
        dense = np.zeros(shape, values.dtype)
        try:
            dense[tuple(indices.T) if indices.ndim > 1 else np.unravel_index(indices, shape)] = values
        except (IndexError, ValueError, TypeError) as error:
            raise InvalidModel(f"sparse indices do not fit shape {list(shape)}: {error}", where=name) from error
        return dense

    def _place(self, tensor: TensorProto) -> tuple[MappedFile, Span | None]:
        """The file a tensor lies in, and where; no span: in the message itself."""
        if tensor.data_location == TensorProto.EXTERNAL:
            return self._external(tensor)
        return self.model_file, self.outline.span_of(tensor.raw_data)

    def _array(self, tensor: TensorProto) -> Array:
        entry = self.read(tensor)
        return entry.view(entry.file.view) if isinstance(entry, Stored) else entry

    def _checked(self, tensor: TensorProto, file: MappedFile, span: Span) -> Stored:
        name = tensor.name or "tensor"
        try:
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
        except KeyError as error:
            raise InvalidModel(f"unknown data type {tensor.data_type}", where=name) from error
        shape = tuple(tensor.dims)
        if _volume(shape) * dtype.itemsize != span.length:
            raise InvalidModel(
                f"shape {list(shape)} of {dtype.name} needs {_volume(shape) * dtype.itemsize} bytes, "
                f"the file holds {span.length}",
                where=name,
            )
        return Stored(file, span, dtype, shape)

    def _external(self, tensor: TensorProto) -> tuple[MappedFile, Span]:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        if len(entries) < len(tensor.external_data):
            raise InvalidModel("external data are said to lie in two places", where=tensor.name)
        file = self.data_files.open(location, tensor.name)
        try:
            start = int(entries.get("offset", "0"))
            length = int(entries.get("length", str(file.size - start)))
        except ValueError as error:
            said = ", ".join(f"{key} {entries[key]!r:.60}" for key in ("offset", "length") if key in entries)
            detail, hint = f"external data are at no place in a file: {said}", "both are numbers of bytes"
            raise InvalidModel(detail, where=tensor.name, hint=hint) from error
        if start < 0 or length < 0 or start + length > file.size:
            raise InvalidModel(
                f"bytes {start} to {start + length} lie outside {location!r} of {file.size} bytes", where=tensor.name
            )
        return file, Span(start, length)


def _shape(dims: Iterable[int], name: str) -> tuple[int, ...]:
    """Declared dimensions, where an array can have them."""
    shape = tuple(dims)
    if any(size < 0 for size in shape):
        raise InvalidModel(f"negative dimension in shape {list(shape)}", where=name)
    if len(shape) > MAX_RANK or _volume(tuple(size or 1 for size in shape)) > MAX_ELEMENTS:
        raise InvalidModel(f"no array can have shape {list(shape)}", where=name)
    return shape


def _volume(shape: tuple[int, ...]) -> int:
    volume = 1
    for size in shape:
        volume *= size
    return volume
