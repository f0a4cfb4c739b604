"""One supervisor per data folder."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class Lock:
    """Held by one process at a time, and let go by the kernel when that process ends."""

    def __init__(self, folder: Path) -> None:
        """Not yet held."""
        self._descriptor = os.open(folder / "supervisor.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        """Wait for a predecessor that is still ending."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let go."""
        os.close(self._descriptor)
