"""What a process holds of the machine's memory, and whether the kernel had to end one for want of it."""

import re
from pathlib import Path
from typing import Final

PROCESSES: Final = Path("/proc")
COUNTS: Final = (Path("/sys/fs/cgroup/memory.events"), PROCESSES / "vmstat")
"""Of the container (cgroup v2), or of the machine."""
PRIVATE: Final = re.compile(r"^Rss(?:Anon|Shmem):\s+(\d+) kB$", re.MULTILINE)
"""Not the pages of files, which the kernel takes back when it needs them."""
KILLED: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def held_bytes(pid: int) -> int:
    """Memory that only the end of this process gives back; 0 where it has ended."""
    try:
        status = (PROCESSES / str(pid) / "status").read_text()
    except OSError:
        return 0
    return 1024 * sum(map(int, PRIVATE.findall(status)))


def killed_for_memory() -> int:
    """How many processes the kernel has ended so far; 0 where it does not say."""
    for path in COUNTS:
        try:
            found = KILLED.search(path.read_text())
        except OSError:
            continue
        if found is not None:
            return int(found[1])
    return 0
