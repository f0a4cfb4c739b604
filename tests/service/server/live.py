"""A real server in a thread, asked over sockets of its own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from service.drain import Drain
from service.problems import Problem
from service.server.server import Server, make_server
from service.settings import Settings

PATIENCE = 20.0


@dataclass
class Live:
    """A server, its thread and its address."""

    server: Server
    thread: threading.Thread
    address: tuple[str, int]

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=PATIENCE)

    def stop(self) -> None:
        self.server.should_exit = True


@contextmanager
def live(app: Any, settings: Settings, drain: Drain | None = None) -> Iterator[Live]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = make_server(app, settings, drain or Drain(settings.drain_seconds))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    address = listener.getsockname()
    thread.start()
    try:
        yield Live(server, thread, address)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side ends."""
    received = bytearray()
    try:
        while piece := connection.recv(1 << 16):
            received += piece
    except ConnectionResetError:
        pass
    return bytes(received)


def problem_in(answer: bytes) -> Problem:
    head, _, body = answer.partition(b"\r\n\r\n")
    problem = Problem.model_validate_json(body)
    assert head.startswith(f"HTTP/1.1 {problem.status} ".encode())
    assert b"content-type: application/problem+json" in head.lower()
    assert f"content-length: {len(body)}".encode() in head.lower()
    return problem
