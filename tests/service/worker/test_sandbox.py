"""What a job child has given up, looked at from inside a child of a fork server, as in production."""

import contextlib
import dataclasses
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from service.worker.sandbox import KEPT_ENVIRONMENT, Confinement, confine
from tests.service.worker.bench import lives, wait_until

GIB = 1 << 30
SECRET = "GRADIENT_HEALTH_DATABASE_URL"


@pytest.fixture
def limits(tmp_path: Path) -> Confinement:
    folder = tmp_path / "work"
    folder.mkdir()
    return Confinement(folder, memory_bytes=GIB, cpu_seconds=1000, file_bytes=1 << 20)


def inside(limits: Confinement, question: Callable[[], Any]) -> Any:
    """What a confined child answers."""
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=answer, args=(limits, question, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()
        receiver.close()


def answer(limits: Confinement, question: Callable[[], Any], pipe: Connection) -> None:
    os.environ[SECRET] = "postgresql://user:password@host/db"
    os.environ["LANG"] = "C.UTF-8"
    in_force = confine(limits)
    pipe.send((question(), dict(in_force)))


def soft_and_hard_limits() -> dict[str, tuple[int, int]]:
    names = ("DATA", "CPU", "FSIZE", "NOFILE", "CORE")
    return {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in names}


def surroundings() -> tuple[Path, dict[str, str], int, int, bool]:
    before = os.umask(0)
    os.umask(before)
    return Path.cwd(), dict(os.environ), before, os.getpid(), os.getsid(0) == os.getpid()


def allocate() -> list[bool]:
    """Whether 64 MiB and 2 GiB can be had, and 64 MiB again."""
    outcomes = []
    for size in (GIB // 16, 2 * GIB, GIB // 16):
        with contextlib.suppress(MemoryError):
            outcomes.append(len(bytearray(size)) == size)
            continue
        outcomes.append(False)
    return outcomes


def allocate_in_torch() -> str:
    import torch  # noqa: PLC0415 - loading it is part of the question

    try:
        torch.zeros(2 * GIB, dtype=torch.uint8).fill_(1)
    except RuntimeError as error:
        return str(error)
    return "allocated"


def write_too_much() -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does at its start
    try:
        Path("large").write_bytes(bytes(2 << 20))
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "written"


def open_too_many() -> int:
    opened = []
    with contextlib.suppress(OSError):
        while True:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    return len(opened)


def raise_limits() -> str:
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError) as error:
        return type(error).__name__
    return "raised"


def test_every_limit_is_set_softly_and_hard(limits: Confinement) -> None:
    seen, in_force = inside(limits, soft_and_hard_limits)
    assert seen == {
        "DATA": (GIB, GIB),
        "CPU": (1000, 1000),
        "FSIZE": (1 << 20, 1 << 20),
        "NOFILE": (256, 256),
        "CORE": (0, 0),
    }
    assert in_force["rlimits"] == "on"
    assert in_force["orphan_guard"] == "on"


def test_what_is_not_in_force_is_not_claimed(limits: Confinement) -> None:
    _, in_force = inside(limits, os.getpid)
    assert {name for name, state in in_force.items() if not state.startswith("off")} == {"rlimits", "orphan_guard"}


def test_a_limit_already_lower_is_not_raised(limits: Confinement) -> None:
    seen, _ = inside(dataclasses.replace(limits, cpu_seconds=1 << 40), soft_and_hard_limits)
    before = resource.getrlimit(resource.RLIMIT_CPU)[1]
    assert seen["CPU"][1] == (1 << 40 if before == resource.RLIM_INFINITY else before)


def test_the_environment_and_the_folder_are_the_jobs_own(limits: Confinement) -> None:
    (folder, environment, umask, pid, leads_session), _ = inside(limits, surroundings)
    assert folder == limits.folder
    assert set(environment) <= KEPT_ENVIRONMENT
    assert environment["LANG"] == "C.UTF-8"
    assert SECRET not in environment
    assert umask == 0o077
    assert leads_session
    assert pid != os.getpid()


def test_an_allocation_above_the_limit_fails_and_the_child_lives_on(limits: Confinement) -> None:
    assert inside(limits, allocate)[0] == [True, False, True]


@pytest.mark.server
def test_an_allocation_in_torch_above_the_limit_fails_cleanly(limits: Confinement) -> None:
    """Measured in service.md, 2.2: mapped weights count against RLIMIT_AS, so the limit is RLIMIT_DATA."""
    assert "allocate memory" in inside(limits, allocate_in_torch)[0]


def test_a_file_above_the_limit_is_cut_off(limits: Confinement) -> None:
    assert inside(limits, write_too_much)[0] == "File too large"
    assert (limits.folder / "large").stat().st_size <= limits.file_bytes


def test_the_number_of_open_files_is_bounded(limits: Confinement) -> None:
    assert inside(limits, open_too_many)[0] < 256


@pytest.mark.skipif(os.geteuid() == 0, reason="root may raise its own limits; the container drops that right")
def test_limits_cannot_be_raised_again(limits: Confinement) -> None:
    assert inside(limits, raise_limits)[0] in {"ValueError", "PermissionError"}


# ------------------------------------------------------------------ orphans


SUPERVISOR = """
import multiprocessing, sys, time
from pathlib import Path
from service.worker.sandbox import Confinement
from tests.service.worker.scripted_child import busy
if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    limits = Confinement(Path(sys.argv[1]), 1 << 30, 100, 1 << 20)
    context.Process(target=busy, args=(limits,), daemon=True).start()
    time.sleep(60)
"""


@pytest.mark.server
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_does_not_outlive_its_supervisor(limits: Confinement, tmp_path: Path, number: int) -> None:
    script = tmp_path / "supervisor.py"
    script.write_text(SUPERVISOR)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen([sys.executable, script, limits.folder], env=environment) as supervisor:
        pid = limits.folder / "pid"
        wait_until(lambda: pid.exists() and pid.read_text() != "")
        child = int(pid.read_text())
        assert lives(child)
        supervisor.send_signal(number)
    wait_until(lambda: not lives(child), seconds=2)
