"""Blobs in a folder: `ab/abcdef...`."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from service.objects.blob import Blob

PART: Final = ".part"


class ObjectFolder:
    """Uploads, reports and repaired models, as `service.objects.blob.Objects` promises them."""

    def __init__(self, folder: Path) -> None:
        """The folder exists."""
        self.folder = folder

    def path(self, sha256: str) -> Path:
        """Where a blob lies."""
        return self.folder / sha256[:2] / sha256

    def put(self, content: bytes) -> Blob:
        """Store bytes."""
        with self.writer() as writer:
            writer.write(content)
            return writer.commit()

    def get(self, sha256: str) -> bytes:
        """Read a blob."""
        return self.path(sha256).read_bytes()

    @contextmanager
    def local(self, sha256: str) -> Iterator[Path]:
        """The file itself."""
        yield self.path(sha256)

    def sweep(self) -> None:
        """Remove what killed processes left half written; a file somebody still writes is locked."""
        for path in self.folder.glob(f"*{PART}"):
            with suppress(OSError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    def writer(self) -> "FolderWriter":
        """Store a stream."""
        return FolderWriter(self)


class FolderWriter:
    """Receives a stream; nothing remains unless it is committed."""

    def __init__(self, objects: ObjectFolder) -> None:
        """A temporary file beside the blobs."""
        self._objects = objects
        descriptor, self._path = _locked_part(objects.folder)
        self._file = os.fdopen(descriptor, "wb")
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append."""
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    @property
    def sha256(self) -> str:
        """Of the bytes so far."""
        return self._digest.hexdigest()

    def commit(self) -> Blob:
        """Flush to disk, name by content, flush the folder."""
        self._file.flush()
        os.fsync(self._file.fileno())
        sha256 = self.sha256
        target = self._objects.path(sha256)
        target.parent.mkdir(exist_ok=True)
        self._path.replace(target)
        for folder in (target.parent, self._objects.folder):
            _sync_folder(folder)
        return Blob(sha256, self.size)

    def __enter__(self) -> Self:
        """The writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close, and remove what was not committed."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def _locked_part(folder: Path) -> tuple[int, Path]:
    """A new file, locked; one that a sweep removed between its making and its lock is replaced."""
    while True:
        descriptor, name = tempfile.mkstemp(dir=folder, suffix=PART)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
