"""Frames over a pipe whose other end may do anything."""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection

import pytest

from service.worker.channel import LONGEST_FRAME, ONE_READ, Receiver, Sender
from service.worker.protocol import Broken, Done, NotAMessage, Reached, encode

Ends = tuple[Receiver, Connection]


@pytest.fixture
def ends() -> Iterator[Ends]:
    reading, writing = multiprocessing.Pipe(duplex=False)
    with reading, writing:
        yield Receiver(reading), writing


def write(to: Connection, content: bytes) -> None:
    os.write(to.fileno(), content)


def test_what_is_sent_is_received_in_order(ends: Ends) -> None:
    receiver, writing = ends
    said = [Reached("probe", 0.25), Broken("x" * 5000), Done()]
    for message in said:
        Sender(writing).send(message)
    assert receiver.receive() == said
    assert receiver.receive() == []


def test_a_frame_arrives_when_its_last_byte_does_and_nobody_waits(ends: Ends) -> None:
    receiver, writing = ends
    content = encode(Done())
    frame = len(content).to_bytes(4, "big") + content
    for byte in frame[:-1]:
        write(writing, bytes([byte]))
        assert receiver.receive() == []
    write(writing, frame[-1:] + frame)
    assert receiver.receive() == [Done(), Done()]


def test_an_end_is_heard_after_what_came_before_it(ends: Ends) -> None:
    receiver, writing = ends
    Sender(writing).send(Done())
    write(writing, b"\0\0\1\0half")
    writing.close()
    assert receiver.receive() == [Done()]
    with pytest.raises(EOFError):
        receiver.receive()


@pytest.mark.parametrize("length", [LONGEST_FRAME + 1, 2**32 - 1])
def test_a_frame_that_is_too_long_is_refused_by_its_header(ends: Ends, length: int) -> None:
    receiver, writing = ends
    write(writing, length.to_bytes(4, "big"))
    with pytest.raises(NotAMessage, match=str(length)):
        receiver.receive()


def test_of_a_child_that_talks_without_end_one_turn_is_heard(ends: Ends) -> None:
    receiver, writing = ends
    os.set_blocking(writing.fileno(), False)
    frame = len(encode(Reached("probe", 0.5))).to_bytes(4, "big") + encode(Reached("probe", 0.5))
    with suppress(BlockingIOError):
        while True:
            write(writing, frame)
    assert 0 < len(receiver.receive()) <= ONE_READ // len(encode(Reached("probe", 0.5)))
