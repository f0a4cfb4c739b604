"""`python -m service.worker.checkup FOLDER`: what confines a job child on this machine, asked of a process that tries.

Prints the layers and their states as JSON. What is given up does not come back, so nobody asks in a process of his own.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.worker.sandbox import Confinement, confine

MEMORY_BYTES: Final = 1 << 30
SECONDS: Final = 30
NOTE: Final = "sandbox.json"
"""In the data folder."""


def sandbox_states(folder: Path) -> Mapping[str, str]:
    """Layer -> "on..." or "off: why", of a process that may write in this folder. Raises OSError where none starts."""
    command = [sys.executable, "-m", "service.worker.checkup", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603 - our own
    if done.returncode:
        raise OSError(done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}")
    states: dict[str, str] = json.loads(done.stdout)
    return states


def note_states(data_dir: Path) -> None:
    """Write them down for whoever asks the service."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            states = sandbox_states(Path(folder))
    except (OSError, subprocess.TimeoutExpired) as error:
        states = {"sandbox": f"off: {error}"}
    written = data_dir / f"{NOTE}.new"
    written.write_text(json.dumps(dict(states)))
    written.replace(data_dir / NOTE)


def noted_states(data_dir: Path) -> Mapping[str, str]:
    """What was written down; nothing where no supervisor has come so far."""
    try:
        noted: dict[str, str] = json.loads((data_dir / NOTE).read_text())
    except (OSError, ValueError):
        return {}
    return noted


def main() -> None:
    """Be confined, and say by what."""
    print(json.dumps(confine(Confinement(Path(sys.argv[1]), MEMORY_BYTES, SECONDS, file_bytes=0), ())))  # noqa: T201


if __name__ == "__main__":
    main()
