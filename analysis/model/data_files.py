"""The files a model consists of: its own, and those its tensors lie in ("external data").

Which file a location means is decided here and nowhere else; onnxruntime is shown the contents by location, never a
folder to look in. A stranger's model names what it likes, so a location is a plain file name, and it means

- for a model in a folder of its user's: the file of that name beside it, no link;
- for one that was sent: what was sent under that name, in the same request. Nothing else that may lie anywhere near.
"""

import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from analysis.errors import InvalidModel, MissingExternalData

SEND_IT: Final = (
    "send the file, too, under this name (curl -F external_data=@FILE); or save the model with its weights inside, as "
    'onnx.save(onnx.load("model.onnx"), "whole.onnx") does'
)


class MappedFile:
    """An open file and its read-only mapping; the file may be deleted or replaced meanwhile."""

    def __init__(self, descriptor: int) -> None:
        """Take over the descriptor."""
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self.view = self._map(mmap.ACCESS_READ) if self.size else memoryview(b"")

    @classmethod
    def open(cls, path: Path, *, follow: bool = True) -> "MappedFile":
        """Map a file; without `follow` a symbolic link at its last step is refused."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)))

    @classmethod
    def of_bytes(cls, content: bytes) -> "MappedFile":
        """Map bytes through an anonymous file, so that they behave like any other model."""
        descriptor = os.memfd_create("model", os.MFD_CLOEXEC)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        return cls(descriptor)

    def private(self) -> memoryview:
        """A fresh copy-on-write mapping."""
        return self._map(mmap.ACCESS_COPY)

    def _map(self, access: int) -> memoryview:
        return memoryview(mmap.mmap(self.descriptor, self.size, access=access))

    def __del__(self) -> None:
        """Close the descriptor; live views keep their mapping."""
        os.close(self.descriptor)


class DataFiles:
    """Opens the files that tensors lie in, each once."""

    def __init__(self, folder: Path | None = None, sent: Mapping[str, Path] | None = None) -> None:
        """Those of a folder, or, where `sent` is given, only those: location -> path."""
        self._folder = folder
        self._sent = sent
        self._opened: dict[str, MappedFile] = {}

    def open(self, location: str, tensor: str) -> MappedFile:
        """The file of a location, mapped; `tensor` is named where it cannot be had.

        Raises InvalidModel (no plain file name, a link), MissingExternalData.
        """
        if location not in self._opened:
            try:
                path = self._path(location, tensor)
                self._opened[location] = MappedFile.open(path, follow=self._sent is not None)
            except OSError as error:
                raise InvalidModel(f"cannot open external data {location!r}: {error.strerror}", where=tensor) from error
        return self._opened[location]

    def contents(self) -> dict[str, memoryview]:
        """What has been opened, by location."""
        return {location: file.view for location, file in self._opened.items()}

    def _path(self, location: str, tensor: str) -> Path:
        """Where a location leads."""
        if self._folder is None and self._sent is None:
            raise self._missing(location, tensor, "which was not sent")
        if not is_plain(location):
            raise InvalidModel(
                f"external data location {location!r} is not a plain file name", where=tensor, hint=SEND_IT
            )
        if self._sent is not None:
            if location not in self._sent:
                raise self._missing(location, tensor, "which was not sent")
            return self._sent[location]
        assert self._folder is not None
        path = self._folder / location
        if not path.is_file():
            raise self._missing(location, tensor, "which is not beside the model")
        return path

    def _missing(self, location: str, tensor: str, why: str) -> MissingExternalData:
        sent = f"; sent were {', '.join(sorted(self._sent))[:200]}" if self._sent else ""
        return MissingExternalData(f"its data lies in the file {location!r}, {why}{sent}", where=tensor, hint=SEND_IT)


def is_plain(location: str) -> bool:
    """Whether this is the name of a file and no path."""
    return location not in {"", ".", ".."} and Path(location).name == location
