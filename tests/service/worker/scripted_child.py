"""A job child that does what its job's options say instead of an analysis; light, as every such child imports it."""

import mmap
import os
import pickle
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from analysis.errors import UnsupportedOp
from service.worker.channel import Sender
from service.worker.protocol import Assignment, Broken, Done, NoRoom, Reached, Refused
from service.worker.sandbox import Confinement, confine

GO = "go"
"""The file that tells a waiting child to go on; it lies in its folder, where the child is."""
REFUSAL = UnsupportedOp("Det has no conversion", where="node 'det'", hint="simplify the graph")


def run_child(assignment: Assignment | None, pipe: Connection) -> None:
    """In the place of `service.worker.launch.run_child`."""
    if assignment is None:
        Sender(pipe).send(Reached("ready", 1.0))
        return
    kept = [pipe.fileno(), *(file.descriptor for file in assignment.inputs)]
    confine(assignment.confinement, kept, [file.path for file in assignment.inputs])
    Sender(pipe).send(Reached("probe", 0.25))
    SCRIPTS[assignment.options](pipe)


def busy(limits: Confinement) -> None:
    """Computes and never looks around."""
    confine(limits, [])
    Path("pid").write_text(str(os.getpid()))
    while True:
        sum(range(1000))


def report(pipe: Connection, content: bytes = b"report") -> None:
    Path("report.json").write_bytes(content)
    Sender(pipe).send(Done())


def report_when_told(pipe: Connection) -> None:
    while not Path(GO).exists():
        time.sleep(0.01)
    report(pipe, f"report of {Path.cwd().name}".encode())


def report_and_go_on(pipe: Connection) -> None:
    report(pipe)
    Sender(pipe).send(Broken("AfterTheEnd"))
    hang(pipe)


def refuse(pipe: Connection) -> None:
    Sender(pipe).send(Refused(REFUSAL))


def hit_a_bug(pipe: Connection) -> None:
    Sender(pipe).send(Broken("ZeroDivisionError"))


def hang(_: Connection) -> NoReturn:
    while True:
        signal.pause()


def hang_for_good(pipe: Connection) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Sender(pipe).send(Reached("deaf", 0.5))
    hang(pipe)


def die_in_mid_message(pipe: Connection) -> None:
    os.write(pipe.fileno(), b"\0\0\1\0the first of 256 bytes")
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(pipe: Connection) -> None:
    """The folder of a first attempt ends in the fence 1."""
    if Path.cwd().suffix == ".1":
        os.kill(os.getpid(), signal.SIGBUS)
    report(pipe)


def find_no_room_once(pipe: Connection) -> None:
    if Path.cwd().suffix == ".1":
        find_no_room(pipe)
    else:
        report(pipe)


def find_no_room(pipe: Connection) -> None:
    Sender(pipe).send(NoRoom())


def send_half_a_frame(pipe: Connection) -> None:
    os.write(pipe.fileno(), b"\0\0\1\0half")
    hang(pipe)


def send_a_huge_frame(pipe: Connection) -> None:
    os.write(pipe.fileno(), b"\xff\xff\xff\xff")
    hang(pipe)


def send_a_pickle(pipe: Connection) -> None:
    content = pickle.dumps(Touches())
    os.write(pipe.fileno(), len(content).to_bytes(4, "big") + content)
    hang(pipe)


class Touches:
    """Whoever unpickles it makes a file."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("../../objects/pwned",)


def talk_without_end(pipe: Connection) -> None:
    sender = Sender(pipe)
    while True:
        sender.send(Reached("probe", random.random()))


def many_stages(pipe: Connection) -> None:
    sender = Sender(pipe)
    for number in range(200):
        sender.send(Reached(f"stage {number}", 0.5, 1000.0 + number))
        sender.send(Reached(f"stage {number}", 0.6, 5000.0 + number))
    sender.send(Done())


def hold_shared_memory(pipe: Connection) -> None:
    with mmap.mmap(-1, 512 << 20) as memory:
        memory.write(bytes(512 << 20))
        hang(pipe)


def close_and_live_on(pipe: Connection) -> None:
    pipe.close()
    hang(pipe)


def leave_a_link(pipe: Connection) -> None:
    Path("report.json").symlink_to("../../objects")
    Sender(pipe).send(Done())


def leave_a_pipe(pipe: Connection) -> None:
    os.mkfifo("report.json")
    Sender(pipe).send(Done())


def leave_nothing(pipe: Connection) -> None:
    Sender(pipe).send(Done())


def exit_silently(_: Connection) -> None:
    os._exit(3)


def die_of(number: signal.Signals) -> Callable[[Connection], None]:
    return lambda _: os.kill(os.getpid(), number)


SCRIPTS: dict[str, Callable[[Connection], None]] = (
    {
        script.__name__: script
        for script in (
            report,
            report_when_told,
            report_and_go_on,
            refuse,
            hit_a_bug,
            hang,
            hang_for_good,
            die_once,
            find_no_room_once,
            find_no_room,
        )
    }
    | {
        script.__name__: script  # of a child that belongs to somebody else
        for script in (
            send_half_a_frame,
            send_a_huge_frame,
            send_a_pickle,
            talk_without_end,
            many_stages,
            hold_shared_memory,
            close_and_live_on,
            leave_a_link,
            leave_a_pipe,
            leave_nothing,
        )
    }
    | {
        die_in_mid_message.__name__: die_in_mid_message,
        exit_silently.__name__: exit_silently,
        "SIGKILL": die_of(signal.SIGKILL),
        "SIGSEGV": die_of(signal.SIGSEGV),
        "SIGXCPU": die_of(signal.SIGXCPU),
    }
)
