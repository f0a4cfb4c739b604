"""The pipe from a child to its supervisor: frames of four bytes of length and JSON.

The supervisor never waits for the rest of a frame, never holds more than the longest one, and hears a child that talks
without end no longer than the others: whatever a child writes costs itself its job and nobody else anything.
"""

import os
import struct
from multiprocessing.connection import Connection
from typing import Final

from service.worker.protocol import Message, NotAMessage, decode, encode

HEADER: Final = struct.Struct("!I")
LONGEST_FRAME: Final = 1 << 20
ONE_READ: Final = 1 << 16
"""Bytes of one child that are read before others have their turn."""


class Sender:
    """The child's end."""

    def __init__(self, pipe: Connection) -> None:
        """Over this pipe."""
        self._pipe = pipe

    @property
    def descriptor(self) -> int:
        """Of the pipe."""
        return self._pipe.fileno()

    def send(self, message: Message) -> None:
        """Say it; waits until there is room."""
        content = encode(message)
        rest = memoryview(HEADER.pack(len(content)) + content)
        while rest:
            rest = rest[os.write(self._pipe.fileno(), rest) :]


class Receiver:
    """The supervisor's end."""

    def __init__(self, pipe: Connection) -> None:
        """Over this pipe, which no reading waits at from now on."""
        self.pipe = pipe
        self._received = bytearray()
        os.set_blocking(pipe.fileno(), False)

    def receive(self) -> list[Message]:
        """What has arrived whole, of one turn.

        Raises EOFError where nothing more will come, NotAMessage.
        """
        try:
            chunk = os.read(self.pipe.fileno(), ONE_READ)
        except BlockingIOError:
            return []
        if not chunk:
            raise EOFError
        self._received += chunk
        return list(iter(self._next, None))

    def _next(self) -> Message | None:
        if len(self._received) < HEADER.size:
            return None
        (length,) = HEADER.unpack_from(self._received)
        if length > LONGEST_FRAME:
            raise NotAMessage(f"a frame of {length} bytes")
        end = HEADER.size + length
        if len(self._received) < end:
            return None
        content = bytes(self._received[HEADER.size : end])
        del self._received[:end]
        return decode(content)
