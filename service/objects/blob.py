"""What is stored, and what a place for it promises; `folder` is the first of these places.

A blob is named by the sha256 of its content, written whole or not at all, and durable when `put` or `commit`
returns.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored object."""

    sha256: str
    size: int


class UnavailableError(OSError):
    """A place that does not answer, or refuses; later it may."""


@dataclass(frozen=True, slots=True)
class Found:
    """A blob as it lies there."""

    sha256: str
    size: int
    version: str
    """Another one where the same content was stored anew."""


class BlobWriter(Protocol):
    """Receives a stream; nothing remains unless it is committed before the context ends."""

    size: int
    """Bytes so far."""

    @property
    def sha256(self) -> str:
        """Of the bytes so far."""

    def write(self, chunk: bytes) -> None:
        """Append."""

    def commit(self) -> Blob:
        """Keep what was written, under its sha256."""

    def __enter__(self) -> Self:
        """The writer."""

    def __exit__(self, *_: object) -> None:
        """Let go of what was not committed."""


class Objects(Protocol):
    """A place for blobs."""

    def put(self, content: bytes) -> Blob:
        """Store bytes."""

    def writer(self, *, anew: bool = False) -> BlobWriter:
        """Store a stream; `anew`: also where the same is stored already, so that the time it takes tells nobody."""

    def get(self, sha256: str) -> bytes:
        """Read a blob; raises FileNotFoundError where there is none."""

    def local(self, sha256: str) -> AbstractContextManager[Path]:
        """A file with the content of a blob, to be read until the context ends."""

    def size(self, sha256: str) -> int | None:
        """Bytes of a blob; None: there is none."""

    def found(self, prefix: str) -> Iterator[Found]:
        """Blobs whose names begin with these two hexadecimal digits."""

    def remove(self, blob: Found) -> bool:
        """Remove a blob; False: it is gone, or was stored anew since it was found."""

    def sweep(self) -> None:
        """Remove what killed processes left half written."""

    def check(self) -> None:
        """Raises OSError where nothing can be stored."""

    def mark(self, name: str) -> None:
        """Leave a mark that everybody sees who looks at this place, and nobody who looks at another one."""

    def has_mark(self, name: str) -> bool:
        """Whether somebody left it; raises OSError where the place does not answer."""
