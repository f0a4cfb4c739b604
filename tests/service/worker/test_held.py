"""Memory of processes that hold some."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.worker import held
from service.worker.held import held_bytes, killed_for_memory

MIB = 1 << 20


@pytest.mark.parametrize("flags", [mmap.MAP_PRIVATE, mmap.MAP_SHARED])
def test_memory_that_is_shared_with_nobody_counts_too(flags: int) -> None:
    before = held_bytes(os.getpid())
    with mmap.mmap(-1, 64 * MIB, flags=flags | mmap.MAP_ANONYMOUS) as memory:
        for page in range(0, len(memory), mmap.PAGESIZE):  # no copy of its own, which malloc may keep
            memory[page] = 1
        assert 60 * MIB < held_bytes(os.getpid()) - before < 80 * MIB


def test_mapped_files_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(64 * MIB))
    before = held_bytes(os.getpid())
    with (tmp_path / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
        assert sum(memory[:: mmap.PAGESIZE]) == 0
        assert held_bytes(os.getpid()) - before < 32 * MIB


def test_who_has_ended_holds_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert held_bytes(process.pid) == 0


def test_the_container_is_asked_before_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert killed_for_memory() >= 0
    events, machine = tmp_path / "memory.events", tmp_path / "vmstat"
    monkeypatch.setattr(held, "COUNTS", (events, machine))
    assert killed_for_memory() == 0
    machine.write_text("oom_kill 7\n")
    assert killed_for_memory() == 7
    events.write_text("low 0\noom 3\noom_kill 2\noom_group_kill 1\n")
    assert killed_for_memory() == 2
