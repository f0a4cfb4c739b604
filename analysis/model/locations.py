"""Which files a model says its tensors lie in, for whoever has to send them along."""

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import ModelProto, TensorProto

from analysis.errors import NotOnnx
from analysis.model.data_files import MappedFile, is_plain
from analysis.model.wire import outline


def files_beside(model: Path) -> list[Path]:
    """The data files that a model names and that lie beside it; none where the file is no model."""
    try:
        proto = ModelProto.FromString(outline(MappedFile.open(model).view).data)
    except (NotOnnx, DecodeError):
        return []
    paths = [model.parent / location for location in sorted(set(_locations(proto))) if is_plain(location)]
    return [path for path in paths if path.is_file()]


def _locations(message: Message) -> Iterator[str]:
    if isinstance(message, TensorProto):
        yield from (entry.value for entry in message.external_data if entry.key == "location")
        return
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for part in (value,) if isinstance(value, Message) else value:
                yield from _locations(part)
