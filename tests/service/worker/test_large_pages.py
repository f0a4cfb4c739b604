"""In a fresh interpreter, whose memory is its own; the kernel says what became of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.worker import large_pages
from service.worker.large_pages import LARGE, gather

SCRIPT = f"""
import hashlib, os
from pathlib import Path
from service.worker.large_pages import gather

def huge():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("AnonHugePages"))

held = os.urandom({LARGE * 16})
before, digest = huge(), hashlib.sha256(held).digest()
gathered = gather()
assert hashlib.sha256(held).digest() == digest
pid = os.fork()
if not pid:  # a child reads what its parent had, and writes for itself
    changed = bytearray(held)
    changed[:1] = b"!"
    os._exit(hashlib.sha256(held).digest() != digest)
assert os.waitpid(pid, 0)[1] == 0
print(gathered, huge() - before)
"""


def test_memory_lies_in_large_pages_with_all_that_was_in_it() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    gathered, grown = map(int, done.stdout.split())
    if not gathered:
        pytest.skip("this kernel has no MADV_COLLAPSE (Linux 6.1)")
    assert gathered >= grown >= 12 * LARGE


def test_a_kernel_that_knows_no_such_thing_leaves_all_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(large_pages, "_madvise", lambda start, size: asked.append((start, size)) or -1)
    assert gather() == 0
    assert asked
    assert all(start % LARGE == size % LARGE == 0 < size for start, size in asked)


def test_files_and_what_is_read_only_are_no_memory_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    rows = ["200000-a00000 rw-p 00000000 00:00 0", "c00000-c01000 rw-p 00000000 00:00 0 [heap]"]
    others = ["1000000-2000000 rw-p 00000000 08:01 7 /a file", "3000000-4000000 r--p 00000000 00:00 0"]
    maps.write_text(
        "\n".join([*rows, *others, "5000000-6000000 rw-s 00000000 00:00 0", "7000000-8000000 rw-p 0 00:00 0 [stack]"])
    )
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(large_pages, "MAPS", maps)
    monkeypatch.setattr(large_pages, "_madvise", lambda start, size: asked.append((start, size)) or 0)
    assert gather() == 8 << 20
    assert asked == [(0x200000, 8 << 20)]
