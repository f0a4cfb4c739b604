"""Blobs in a folder: `ab/abcdef...`."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from service.objects.blob import Blob, Found
from service.objects.part import PartWriter, sweep_parts

NAME: Final = re.compile("[0-9a-f]{64}")


class ObjectFolder:
    """Uploads, reports and repaired models, as `service.objects.blob.Objects` promises them."""

    def __init__(self, folder: Path) -> None:
        """The folder exists."""
        self.folder = folder
        self._flushed: set[Path] = set()
        """Folders in it whose names are on disk for certain."""

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

    def writer(self, *, anew: bool = False) -> PartWriter:
        """Store a stream; `anew`: also where the same is stored already."""
        return PartWriter(self.folder, self._keep, None if anew else self._has)

    def size(self, sha256: str) -> int | None:
        """Bytes of a blob; None: there is none."""
        try:
            with self.path(sha256).open("rb") as file:  # a shared disk may answer for its names from memory
                return os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            return None

    def found(self, prefix: str) -> Iterator[Found]:
        """Blobs whose names begin with these two hexadecimal digits."""
        try:
            entries = list(os.scandir(self.folder / prefix))
        except FileNotFoundError:
            return
        for entry in entries:
            if NAME.fullmatch(entry.name):
                with suppress(FileNotFoundError):
                    yield _found(Path(entry.path))

    def remove(self, blob: Found) -> bool:
        """Remove a blob; False: it is gone, or was stored anew since it was found."""
        path = self.path(blob.sha256)
        try:
            if _found(path) != blob:
                return False
            path.unlink()
        except FileNotFoundError:
            return False
        return True

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
        self._flush_names(target.parent)

    def _has(self, blob: Blob) -> bool:
        """Whether it is there, as if it had been stored now: whoever was about to remove it sees that it was not left.

        Its content was on disk before it had its name; whether that is, too, who gave it knows: it is flushed again.
        """
        path = self.path(blob.sha256)
        try:
            if path.stat().st_size != blob.size:
                return False
            os.utime(path)
        except FileNotFoundError:
            return False
        self._flush_names(path.parent)
        return True

    def _flush_names(self, folder: Path) -> None:
        _sync_folder(folder)
        if folder not in self._flushed:
            _sync_folder(self.folder)
            self._flushed.add(folder)


def _found(path: Path) -> Found:
    about = path.stat()
    return Found(path.name, about.st_size, f"{about.st_mtime_ns} {about.st_ino}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
