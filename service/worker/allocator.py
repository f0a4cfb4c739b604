"""Memory that is freed stays with the process, for the next tensor.

A pass over a network allocates the same sizes again and again. What glibc maps anew each time, from the threshold on,
comes as pages of zeros that fault one by one: with a threshold of 64 KiB an analysis took twice its processor time.
Beyond 16 MiB a tensor is mapped all the same, so that one large hole does not keep what lies behind it.
"""

import os
from typing import Final

from service.worker.namespaces import LIBC

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
LARGEST_KEPT: Final = 16 << 20
"""Bytes of a block from which on it is mapped, and given back at once; glibc allows up to 32 MiB."""
KEPT: Final = 256 << 20
"""Free bytes at the end of the heap, from which on they are given back."""
OWN: Final = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
"""With one of these set it is the operator who decides."""


def keep_freed_memory() -> None:
    """From now on, and in what is forked from here; nothing happens where the C library is another than glibc."""
    if not hasattr(LIBC, "mallopt") or any(name in os.environ for name in OWN):
        return
    LIBC.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
    LIBC.mallopt(M_TRIM_THRESHOLD, KEPT)
