"""A network with nothing in it, looked at from inside."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from service.worker.namespaces import leave_namespaces


def in_child(what: Callable[..., Any], *arguments: Any) -> Any:
    """What it answers in a process of its own, which it may not leave as it was."""
    receiver, sender = multiprocessing.get_context("forkserver").Pipe(duplex=False)
    process = multiprocessing.get_context("forkserver").Process(target=answer, args=(sender, what, arguments))
    process.start()
    sender.close()
    answered = receiver.recv()
    process.join()
    return answered


def answer(pipe: Connection, what: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    pipe.send(what(*arguments))


def surroundings(folder: Path) -> tuple[str, str, int, int]:
    state = leave_namespaces()
    (folder / "file").write_bytes(b"")
    return state, Path("/proc/self/net/dev").read_text(), os.geteuid(), (folder / "file").stat().st_uid


def test_there_is_no_network_and_the_user_is_the_same(tmp_path: Path) -> None:
    state, devices, user, owner = in_child(surroundings, tmp_path)
    if state.startswith("off"):
        pytest.skip(state)
    assert [line.split(":")[0].strip() for line in devices.splitlines()[2:]] == ["lo"]
    assert user == owner == os.geteuid()
