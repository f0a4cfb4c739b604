"""What a job child has given up, looked at from inside a child of a fork server, as in production."""

import contextlib
import dataclasses
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import landlockpy
import pytest

from service.worker import sandbox
from service.worker.filesystem import restrict_files
from service.worker.sandbox import KEPT_ENVIRONMENT, Confinement, NotConfinedError, confine
from service.worker.syscalls import filter_calls
from tests.service.worker.bench import lives, wait_until
from tests.service.worker.in_child import in_child

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
    in_force = confine(limits, [pipe.fileno()])
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


def test_every_layer_is_told_of_and_says_so_where_it_is_not_in_force(
    limits: Confinement, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, in_force = inside(limits, os.getpid)
    assert set(in_force) == {"namespaces", "rlimits", "landlock", "seccomp", "orphan_guard"}
    assert all(state.startswith(("on", "off: ")) for state in in_force.values())
    if landlockpy.abi_version():
        assert in_force["landlock"] == f"on: ABI {landlockpy.abi_version()}"


def confined_without_seccomp(limits: Confinement, pipe: Connection) -> None:
    sandbox.filter_calls = lambda: "off: there is no libseccomp"  # type: ignore[assignment]
    try:
        pipe.send(dict(confine(limits, [pipe.fileno()])))
    except NotConfinedError as error:
        pipe.send(str(error))


@pytest.mark.parametrize("required", [False, True])
def test_a_missing_layer_is_fatal_where_all_are_required(limits: Confinement, required: bool) -> None:
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    wanted = dataclasses.replace(limits, required=required)
    process = context.Process(target=confined_without_seccomp, args=(wanted, sender))
    process.start()
    told = receiver.recv()
    process.join()
    if required:
        assert "seccomp off: there is no libseccomp" in told
    else:
        assert told["seccomp"] == "off: there is no libseccomp"


def escapes() -> dict[str, str]:
    """What a child that belongs to somebody else would try, and what became of it."""
    outside = Path.cwd().parent
    tries: dict[str, Callable[[], object]] = {
        "read an object": (outside / "secret").read_bytes,
        "list a folder": lambda: list(outside.iterdir()),
        "read a password file": lambda: Path("/etc/passwd").read_bytes(),
        "read the environment of its parent": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "write outside": lambda: (outside / "written").write_bytes(b""),
        "write beside": lambda: Path("/tmp/written").write_bytes(b""),
        "link": lambda: os.link(outside / "secret", "secret"),
        "follow": lambda: Path("link").symlink_to(outside / "secret"),
        "connect": lambda: socket.create_connection(("127.0.0.1", 1)),
        "make a socket": lambda: socket.socket(socket.AF_UNIX),
        "run a program": lambda: os.execv("/bin/true", ["true"]),
        "start a program": lambda: subprocess.run(["/bin/true"], check=True),
        "fork": os.fork,
        "signal its parent": lambda: os.kill(os.getppid(), 0),
        "limit its parent": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0)),
        "share memory": lambda: Path("/dev/shm/written").write_bytes(b""),
        "look into its parent": lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY),
    }
    outcomes = {}
    for name, attempt in tries.items():
        try:
            attempt()
        except OSError as error:
            outcomes[name] = type(error).__name__
        else:
            outcomes[name] = "done"
    return outcomes


def test_a_child_that_belongs_to_somebody_else_gets_nowhere(limits: Confinement) -> None:
    (limits.folder.parent / "secret").write_bytes(b"of somebody else")
    outcomes, in_force = inside(limits, escapes)
    missing = [name for name in ("landlock", "seccomp") if in_force[name].startswith("off")]
    if missing:
        pytest.skip(f"not in force on this machine: {missing}")
    assert [name for name, outcome in outcomes.items() if outcome == "done"] == []
    assert not (limits.folder.parent / "written").exists()


def work() -> list[object]:
    """What an honest child does."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(Path("own").write_bytes(b"12345")))
    thread.start()
    thread.join()
    Path("own").rename("renamed")
    with tempfile.TemporaryDirectory() as folder:
        results.append(Path(folder).parent == Path.cwd())
    os.kill(os.getpid(), 0)
    return [*results, Path(os.__file__).read_bytes() != b""]


def test_a_child_can_do_its_work(limits: Confinement) -> None:
    assert inside(limits, work)[0] == [5, True, True]


def own_descriptors() -> list[str]:
    return sorted(str(Path(f"/proc/self/fd/{number}").readlink()) for number in range(3, 100) if _is_open(number))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_of_what_the_fork_server_has_open_a_child_has_two_pipes(limits: Confinement) -> None:
    leads_to = [where for where in inside(limits, own_descriptors)[0] if where != os.devnull]
    assert len(leads_to) == 2
    assert all(where.startswith("pipe:") for where in leads_to)


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


def programs_run(folder: Path) -> int:
    sandbox.prepare()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
    restrict_files(folder, [])
    filter_calls()
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt - before


def test_what_was_prepared_needs_no_program_to_be_run(tmp_path: Path) -> None:
    """Each job had paid for one that looks for libc."""
    assert in_child(programs_run, tmp_path) == 0
