"""What can be asked of the kernel, asked in a child, which can never ask again."""

import json
import os
import resource
import socket
import threading
from pathlib import Path

import pytest

from service.worker import syscalls
from service.worker.syscalls import filter_calls
from tests.service.worker.in_child import in_child, outcome


def calls() -> tuple[str, dict[str, str]]:
    state = filter_calls()
    return state, {
        "socket": outcome(socket.socket),
        "a pair of sockets": outcome(socket.socketpair),
        "fork": outcome(os.fork),
        "exec": outcome(lambda: os.execv("/bin/true", ["true"])),
        "signal another": outcome(lambda: os.kill(os.getppid(), 0)),
        "limit another": outcome(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE)),
        "signal itself": outcome(lambda: os.kill(os.getpid(), 0)),
        "limit itself": outcome(lambda: resource.prlimit(0, resource.RLIMIT_CORE)),
        "a pipe": outcome(os.pipe),
        "a thread": outcome(lambda: threading.Thread(target=int).start()),
        "read": outcome(Path(os.__file__).read_bytes),
    }


def test_nobody_else_is_reached_and_work_goes_on() -> None:
    state, outcomes = in_child(calls)
    if state.startswith("off"):
        pytest.skip(state)
    refused = {name for name, said in outcomes.items() if said == "PermissionError"}
    assert refused == {"socket", "a pair of sockets", "fork", "exec", "signal another", "limit another"}
    assert set(outcomes.values()) == {"done", "PermissionError"}


def signals_of_a_copy() -> list[dict[str, str]]:
    """What is made for all processes once, and then in force in two of them."""
    if not syscalls.seccomp:
        return []
    syscalls.program()
    found = []
    for _ in range(2):
        heard, said = os.pipe()
        if not os.fork():
            filter_calls()
            signals = {str(pid == os.getpid()): outcome(lambda pid=pid: os.kill(pid, 0)) for pid in (os.getpid(), 1)}
            os.write(said, json.dumps(signals).encode())
            os._exit(0)
        os.wait()
        found.append(json.loads(os.read(heard, 1000)))
    return found


def test_a_filter_that_was_made_before_is_one_of_the_process_that_loads_it() -> None:
    for signals in in_child(signals_of_a_copy):
        assert signals == {"True": "done", "False": "PermissionError"}


def without_library() -> str:
    syscalls.seccomp = None
    return filter_calls()


def test_where_there_is_no_library_that_is_said() -> None:
    assert in_child(without_library) == "off: there is no libseccomp"
