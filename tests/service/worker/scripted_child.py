"""A job child that does what its job's options say instead of an analysis; light, as every such child imports it."""

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from analysis.errors import UnsupportedOp
from service.worker.protocol import Assignment, Broken, Done, Reached, Refused
from service.worker.sandbox import Confinement, confine

GO = "go"
"""The file that tells a waiting child to go on; it lies in its folder, where the child is."""
REFUSAL = UnsupportedOp("Det has no conversion", where="node 'det'", hint="simplify the graph")


def run_child(assignment: Assignment | None, pipe: Connection) -> None:
    """In the place of `service.worker.launch.run_child`."""
    if assignment is None:
        pipe.send(Reached("ready", 1.0))
        return
    confine(assignment.confinement)
    pipe.send(Reached("probe", 0.25))
    SCRIPTS[assignment.options](pipe)


def busy(limits: Confinement) -> None:
    """Computes and never looks around."""
    confine(limits)
    Path("pid").write_text(str(os.getpid()))
    while True:
        sum(range(1000))


def report(pipe: Connection, content: bytes = b"report") -> None:
    path = Path("report.json").resolve()
    path.write_bytes(content)
    pipe.send(Done(path, path.parent / "models"))


def report_when_told(pipe: Connection) -> None:
    while not Path(GO).exists():
        time.sleep(0.01)
    report(pipe, f"report of {Path.cwd().name}".encode())


def report_and_go_on(pipe: Connection) -> None:
    report(pipe)
    pipe.send(Broken("AfterTheEnd"))
    hang(pipe)


def refuse(pipe: Connection) -> None:
    pipe.send(Refused(REFUSAL))


def hit_a_bug(pipe: Connection) -> None:
    pipe.send(Broken("ZeroDivisionError"))


def hang(_: Connection) -> NoReturn:
    while True:
        signal.pause()


def hang_for_good(pipe: Connection) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pipe.send(Reached("deaf", 0.5))
    hang(pipe)


def die_in_mid_message(pipe: Connection) -> None:
    os.write(pipe.fileno(), b"\0\0\1\0the first of 256 bytes")
    os.kill(os.getpid(), signal.SIGKILL)


def exit_silently(_: Connection) -> None:
    os._exit(3)


def die_of(number: signal.Signals) -> Callable[[Connection], None]:
    return lambda _: os.kill(os.getpid(), number)


SCRIPTS: dict[str, Callable[[Connection], None]] = {
    script.__name__: script
    for script in (report, report_when_told, report_and_go_on, refuse, hit_a_bug, hang, hang_for_good)
} | {
    die_in_mid_message.__name__: die_in_mid_message,
    exit_silently.__name__: exit_silently,
    "SIGKILL": die_of(signal.SIGKILL),
    "SIGSEGV": die_of(signal.SIGSEGV),
    "SIGXCPU": die_of(signal.SIGXCPU),
}
