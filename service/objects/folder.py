"""Blobs in a folder: `ab/abcdef...`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.objects.blob import Blob
from service.objects.part import PartWriter, sweep_parts


class ObjectFolder:
    """Uploads, reports and repaired models, as `service.objects.blob.Objects` promises them."""

    def __init__(self, folder: Path) -> None:
        """The folder exists."""
        self.folder = folder

    def __str__(self) -> str:
        """As an operator names it."""
        return str(self.folder)

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

    def writer(self) -> PartWriter:
        """Store a stream."""
        return PartWriter(self.folder, self._keep)

    def sweep(self) -> None:
        """Remove what killed processes left half written."""
        sweep_parts(self.folder)

    def check(self) -> None:
        """Raises OSError where nothing can be stored."""
        if not os.access(self.folder, os.W_OK):
            raise PermissionError(f"{self.folder} is not writable")

    def mark(self, name: str) -> None:
        """Leave a mark."""
        marks = self.folder / "marks"
        marks.mkdir(exist_ok=True)
        (marks / name).touch()
        for folder in (marks, self.folder):
            _sync_folder(folder)

    def has_mark(self, name: str) -> bool:
        """Whether somebody left it."""
        return (self.folder / "marks" / name).exists()

    def _keep(self, part: Path, sha256: str) -> None:
        """Name by content, flush the folder."""
        target = self.path(sha256)
        target.parent.mkdir(exist_ok=True)
        part.replace(target)
        for folder in (target.parent, self.folder):
            _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
