"""Where the tensor bytes of an ONNX file lie, without reading them.

Parsing a 1 GB model with protobuf copies every weight (1.1 CPU-seconds, twice the memory). This module walks the
wire format instead (https://protobuf.dev/programming-guides/encoding): a message is a run of fields, each a varint
key (number << 3 | type) and a payload, and only a length-delimited payload can nest. Large `raw_data` payloads are
replaced by short marks, so that what protobuf parses is the graph alone; the marks lead back to the byte ranges.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, cast

from google.protobuf.descriptor import Descriptor
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

from analysis.errors import LimitExceeded, NotOnnx

KEEP_INLINE_BYTES: Final = 1024  # smaller payloads stay: a mark would save nothing
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
RAW_DATA: Final = TensorProto.RAW_DATA_FIELD_NUMBER
ROOT: Final = cast("Descriptor", ModelProto.DESCRIPTOR)
MOST_FIELDS: Final = 3_000_000
"""Some seconds; those inside of nodes and tensors of less than KEEP_INLINE_BYTES are not counted."""
MAX_DEPTH: Final = 100  # protobuf's own limit


def _keys(kind: int) -> bytes:
    """Of the fields 1 to 15, each one byte, as a class of characters."""
    return b"[" + b"".join(b"\\x%02x" % (number << 3 | kind) for number in range(1, 16)) + b"]"


SCALARS: Final = re.compile(
    rb"(?s:%s[\x80-\xff]{0,9}[\x00-\x7f]|%s.{4}|%s.{8})++" % (_keys(VARINT), _keys(FIXED32), _keys(FIXED64))
)
"""A run of numbers: an attribute may hold millions, each a field of its own."""


@dataclass(frozen=True, slots=True)
class Span:
    """A byte range of the file."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Outline:
    """A model without its large tensors: `data` parses as a ModelProto, marks in it name `spans`."""

    data: bytes
    spans: tuple[Span, ...]
    token: bytes
    """Unguessable prefix of every mark, so no file can forge one."""

    def span_of(self, raw_data: bytes) -> Span | None:
        """The byte range a tensor's raw_data stands for, or None if it is the data itself."""
        if not raw_data.startswith(self.token):
            return None
        return self.spans[int.from_bytes(raw_data[len(self.token) :], "little")]


def outline(view: memoryview) -> Outline:
    """Cut the large tensors out of a serialised ModelProto.

    Raises NotOnnx where the bytes are not a protobuf message, LimitExceeded.
    """
    cut = _Cut(view, secrets.token_bytes(16))
    chunks = _without_tensors(cut, 0, len(view), ROOT, 0)
    return Outline(b"".join(chunks), tuple(cut.spans), cut.token)


@dataclass(slots=True)
class _Cut:
    """A file that is being walked."""

    view: memoryview
    token: bytes
    spans: list[Span] = field(default_factory=list)
    fields: int = 0
    """Walked over one by one."""


_HOLDERS: Final = (GraphProto, NodeProto, FunctionProto, TensorProto, AttributeProto, SparseTensorProto)
"""Messages that hold tensors, or hold what holds them."""


def _nested(message: Descriptor) -> dict[int, Descriptor]:
    """Fields of a message that lead to tensors, by number."""
    holders = {holder.DESCRIPTOR.name for holder in _HOLDERS}
    return {
        field.number: field.message_type
        for field in message.fields
        if field.message_type is not None and field.message_type.name in holders
    }


_NESTED: Final = {
    holder.DESCRIPTOR.name: _nested(cast("Descriptor", holder.DESCRIPTOR)) for holder in (*_HOLDERS, ModelProto)
}


def _without_tensors(cut: _Cut, start: int, end: int, message: Descriptor, depth: int) -> list[bytes | memoryview]:
    """The chunks of one message, large raw_data replaced by marks, lengths rewritten."""
    if depth > MAX_DEPTH:
        raise NotOnnx("messages are nested too deeply")
    chunks: list[bytes | memoryview] = []
    view, kept = cut.view, start
    nested = _NESTED[message.name]
    for number, key_at, payload_at, payload_end in _long_fields(cut, start, end):
        child: list[bytes | memoryview]
        if message is TensorProto.DESCRIPTOR and number == RAW_DATA:
            child = [cut.token + len(cut.spans).to_bytes(8, "little")]
            cut.spans.append(Span(payload_at, payload_end - payload_at))
        elif number in nested:
            child = _without_tensors(cut, payload_at, payload_end, nested[number], depth + 1)
        else:
            continue
        chunks.append(view[kept:key_at])
        chunks.append(_varint(number << 3 | DELIMITED) + _varint(sum(map(len, child))))
        chunks.extend(child)
        kept = payload_end
    chunks.append(view[kept:end])
    return chunks


def _long_fields(cut: _Cut, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Length-delimited fields too long to stay: number, key position, payload start, payload end."""
    view, at = cut.view, start
    while at < end:
        scalars = SCALARS.match(view, at, end)
        if scalars is not None:
            at = scalars.end()
            continue
        cut.fields += 1
        if cut.fields > MOST_FIELDS:
            raise LimitExceeded(f"the file has more than {MOST_FIELDS} fields of text and messages", where="model")
        key_at = at
        key, at = _read_varint(view, at, end)
        kind = key & 7
        if kind == DELIMITED:
            length, at = _read_varint(view, at, end)
            if at + length > end:
                raise NotOnnx("the file is cut short or is not protobuf")
            if length > KEEP_INLINE_BYTES:
                yield key >> 3, key_at, at, at + length
            at += length
        elif kind == VARINT:
            _, at = _read_varint(view, at, end)
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise NotOnnx("the file is not protobuf")
    if at != end:
        raise NotOnnx("the file is cut short or is not protobuf")


def _read_varint(view: memoryview, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise NotOnnx("the file is cut short or is not protobuf")


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
