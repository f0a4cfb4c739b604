"""The first function of a child."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from service.worker import child
from service.worker.channel import Receiver, Sender
from service.worker.launch import run_child
from service.worker.protocol import Assignment, OpenFile, Reached
from service.worker.sandbox import Confinement


@pytest.fixture
def pipe() -> Iterator[tuple[Connection, Connection]]:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        yield receiver, sender


def test_without_an_assignment_it_gives_a_sign_of_life(pipe: tuple[Connection, Connection]) -> None:
    receiver, sender = pipe
    run_child(None, sender)
    assert Receiver(receiver).receive() == [Reached("ready", 1.0)]


def test_an_assignment_is_handed_to_the_child(
    pipe: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Assignment, Sender]] = []
    monkeypatch.setattr(child, "run", lambda assignment, to: given.append((assignment, to)))
    assignment = Assignment(OpenFile(0), "model.onnx", None, {}, "{}", 0, 1, Confinement(Path("work"), 1, 2, 3))
    run_child(assignment, pipe[1])
    (told, sender) = given[0]
    sender.send(Reached("probe", 0.5))
    assert told == assignment
    assert Receiver(pipe[0]).receive() == [Reached("probe", 0.5)]
