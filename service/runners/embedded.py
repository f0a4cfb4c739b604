"""The default runner: the service keeps one supervisor of its own running, which polls the job table.

The supervisor holds the other end of a pipe and stops when it closes, so that it never outlives the service, however
the service ends. One that dies is replaced, and takes its jobs up again.
"""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from service.settings import Settings

STOP_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.1
RESTART_SECONDS: Final = 0.2
log = logging.getLogger(__name__)


@contextmanager
def embedded_supervisor(settings: Settings) -> Iterator[None]:
    """A supervisor for as long as the context lasts."""
    environment = {**os.environ, **environment_of(settings)}
    stopping = threading.Event()
    keeper = threading.Thread(target=_keep, args=(environment, stopping), name="supervisor", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stopping.set()
        keeper.join()


def _keep(environment: Mapping[str, str], stopping: threading.Event) -> None:
    """One supervisor after the other, not faster than they can be read in the log."""
    while not stopping.is_set():
        code = _supervise(environment, stopping)
        if not stopping.is_set():
            log.warning("the supervisor ended with %d; another one starts", code)
            stopping.wait(RESTART_SECONDS)


def _supervise(environment: Mapping[str, str], stopping: threading.Event) -> int:
    """The exit code of one supervisor, which ended by itself or because it was told to."""
    command = [sys.executable, "-m", "service.worker"]
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, stdin=subprocess.PIPE, env=environment
    ) as process:
        while process.poll() is None and not stopping.wait(LOOK_SECONDS):
            pass
        assert process.stdin is not None
        process.stdin.close()
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings, for a process that reads them from the environment."""
    prefix = settings.model_config["env_prefix"]
    values = settings.model_dump(mode="json")
    return {f"{prefix}{name.upper()}": str(value) for name, value in values.items()} | {"OMP_NUM_THREADS": "1"}
