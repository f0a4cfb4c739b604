"""Page faults, as the kernel counts them, of three blocks that are made and freed again and again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROUNDS, BLOCKS, BYTES = 20, 3, 12 << 20
SCRIPT = f"""
import resource, sys
from service.worker.allocator import keep_freed_memory
if "kept" in sys.argv:
    keep_freed_memory()
def round():
    return [bytes([1]) * {BYTES} for _ in range({BLOCKS})]  # numpy asks for huge pages
round()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    round()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = BLOCKS * BYTES // os.sysconf("SC_PAGE_SIZE")
"""Of one round, if none is huge."""


def faults(*arguments: str, **environment: str) -> int:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], check=True, capture_output=True, text=True,
        env={**clean, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux" or not os.confstr("CS_GNU_LIBC_VERSION"), reason="glibc's own setting")
def test_memory_that_was_freed_is_used_again_unless_the_operator_says_otherwise() -> None:
    assert faults("kept") < PAGES / 10
    assert faults() > ROUNDS * PAGES / 2, "glibc has learnt it, and the module may go"
    assert faults("kept", MALLOC_MMAP_THRESHOLD_="65536") > ROUNDS * PAGES / 2
