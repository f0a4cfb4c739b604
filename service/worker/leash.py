"""Ties a process to its parent: the kernel ends it when that ends, whatever it is at."""

import signal
from typing import Final

from service.worker.namespaces import LIBC

PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """From now on; a change of user undoes it."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
