"""Who dies with its parent, tried on a grandchild."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.service.worker.bench import lives, wait_until

BUSY = (
    "from service.worker.leash import die_with_parent\ndie_with_parent()\nprint('tied', flush=True)\nwhile True: pass"
)
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {BUSY!r}], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(1000)
"""


def test_who_never_looks_around_dies_with_its_parent_all_the_same() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        assert lives(grandchild)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not lives(grandchild))
