"""What a call to the service consists of, without saying how it waits.

A call is a generator: it yields steps, is sent what became of them (errors are thrown in), and returns what was asked
for. Whoever carries it out, blocking or in an event loop, needs to know these steps alone.
"""

from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, Generic, TypeVar

import httpx

T = TypeVar("T")
CHUNK: Final = 1 << 18
"""Bytes of a body at a time."""


@dataclass(frozen=True, slots=True)
class Send:
    """A request; becomes its response with the body read, or written to `file` where it is a success."""

    method: str
    path: str
    how: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of `httpx.Client.build_request`."""
    file: BinaryIO | None = None
    body: BinaryIO | None = None
    """What is sent, from its beginning, each time that it is."""


@dataclass(frozen=True, slots=True)
class Listen:
    """A request whose body goes on; becomes a Stream."""

    path: str
    how: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stream:
    """An open response and its lines; not a success: the body is read."""

    response: httpx.Response
    lines: Iterator[str] | AsyncIterator[str]


@dataclass(frozen=True, slots=True)
class NextLine:
    """Becomes the next line of a stream, None at its end."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Close:
    """Ends a stream."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Pause:
    """Becomes nothing, later."""

    seconds: float


Step = Send | Listen | NextLine | Close | Pause
Call = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What a call came to."""

    value: T


def chunks(body: BinaryIO) -> Iterator[bytes]:
    """A body as it is sent."""
    body.seek(0)
    while chunk := body.read(CHUNK):
        yield chunk


def next_of(call: Call[T], answer: object = None, error: BaseException | None = None) -> Step | Done[T]:
    """The next step of a call that was told what became of the one before; or its end."""
    try:
        return call.send(answer) if error is None else call.throw(error)
    except StopIteration as ended:
        return Done(ended.value)
