"""The default runner: the service starts one supervisor of its own, which polls the job table.

The supervisor holds the other end of a pipe and stops when it closes, so that it never outlives the service, however
the service ends.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from service.settings import Settings

STOP_SECONDS: Final = 10.0


@contextmanager
def embedded_supervisor(settings: Settings) -> Iterator[None]:
    """A supervisor for as long as the context lasts."""
    environment = {**os.environ, **_environment(settings)}
    command = [sys.executable, "-m", "service.supervisor"]
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, stdin=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None
        try:
            yield
        finally:
            process.stdin.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _environment(settings: Settings) -> dict[str, str]:
    """The settings, for a process that reads them from the environment."""
    prefix = settings.model_config["env_prefix"]
    values = settings.model_dump(mode="json")
    threads = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    return {f"{prefix}{name.upper()}": str(value) for name, value in values.items()} | threads
