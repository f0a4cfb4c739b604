"""A blob on its way: a temporary file that is locked while somebody writes it, and hashed as it grows."""

import fcntl
import hashlib
import os
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from service.objects.blob import Blob

PART: Final = ".part"
FORGOTTEN_SECONDS: Final = 24 * 3600
"""A file of another machine, whose locks a shared disk may not show, is left alone for so long."""


class PartWriter:
    """Receives a stream; nothing remains unless it is committed."""

    def __init__(
        self, folder: Path, keep: Callable[[Path, str], None], has: Callable[[Blob], bool] | None = None
    ) -> None:
        """A temporary file in the folder; `keep` takes it, flushed, and its sha256, and has kept it when it returns.

        `has`: whether there is such a blob already, which will be there no less long than one that comes now.
        """
        self._keep = keep
        self._has = has
        descriptor, self._path = _locked_part(folder)
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
        """Flush to disk, and have it kept under its content's name; unless it is there."""
        blob = Blob(self.sha256, self.size)
        self._file.flush()
        if self._has is None or not self._has(blob):
            os.fsync(self._file.fileno())
            self._keep(self._path, blob.sha256)
        return blob

    def __enter__(self) -> Self:
        """The writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close, and remove what was not committed."""
        try:
            self._file.close()  # may have something to write still, on a disk that is full
        finally:
            self._path.unlink(missing_ok=True)


def sweep_parts(folder: Path) -> None:
    """Remove what killed processes left half written; a file somebody still writes is locked."""
    for path in folder.glob(f"*{PART}"):
        with suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.name.startswith(_own_prefix()) or time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS:
                path.unlink()


def _own_prefix() -> str:
    return f"{socket.gethostname()}-"


def _locked_part(folder: Path) -> tuple[int, Path]:
    """A new file, locked; one that a sweep removed between its making and its lock is replaced."""
    while True:
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=_own_prefix(), suffix=PART)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)
