"""What a connection may do before, between and after requests: uvicorn's protocol with limits.

The application sees a request once its header is complete. Until then, and while it is not asked, this stands guard:

    header      at most `header_bytes` and MOST_HEADERS headers, whole within `header_seconds`
    ahead       at most MOST_AHEAD requests that come before an earlier one is answered
    framing     chunk sizes, extensions and trailers count as a header of the body they are in
    after the answer   a body that nobody reads may come to its end for LINGER_SECONDS
    answer      a client that takes nothing of it for STALL_SECONDS is hung up on; of those that do not take theirs, as
                many as together keep MOST_WAITING bytes in memory, whoever has waited longest first

What is refused here is refused with a problem, too, and the connection stays open for reading a little longer: closed
at once, it would be reset, and the client would not see why.
"""

import asyncio
from asyncio.events import TimerHandle
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.problems import MEDIA_TYPE, Problem, problem

MOST_HEADERS: Final = 100
MOST_AHEAD: Final = 16
"""uvicorn reads whatever has arrived after each answer: without an end thousands of requests at a time, while nobody
else is answered."""
LINGER_SECONDS: Final = 5.0
LINGER_BYTES: Final = 1 << 20
STALL_SECONDS: Final = 60.0
MOST_WAITING: Final = 128 << 20
"""Bytes of answers to clients that take none at the moment, of all connections; buffers of the system come besides."""
MALFORMED: Final = problem("bad-request", HTTPStatus.BAD_REQUEST, "this is not HTTP/1.1")
TOO_LATE: Final = problem("header-timeout", HTTPStatus.REQUEST_TIMEOUT, "the header did not come to its end in time")

TOO_MANY: Final = problem(
    "bad-request", HTTPStatus.BAD_REQUEST, f"more than {MOST_AHEAD} requests came ahead of the answer to an earlier one"
)


@dataclass(frozen=True, slots=True)
class HeaderLimits:
    """Of one request."""

    size_bytes: int
    seconds: float


class Untaken:
    """Answers that wait for their clients, of all connections of a server."""

    def __init__(self) -> None:
        self._waiting = dict[asyncio.Transport, None]()

    def add(self, transport: asyncio.Transport) -> None:
        """One more; hangs up on those that have waited longest as long as all of them are too much together."""
        self._waiting[transport] = None
        sizes = [each.get_write_buffer_size() for each in self._waiting]
        left = sum(sizes)
        for longest, size in zip(list(self._waiting)[:-1], sizes, strict=False):
            if left <= MOST_WAITING:
                break
            left -= size
            self.remove(longest)
            longest.abort()

    def remove(self, transport: asyncio.Transport) -> None:
        """It is taken, or its client is gone."""
        self._waiting.pop(transport, None)


class TooMuchError(Exception):
    """Raised inside the parser, to stop it."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        limits: HeaderLimits,
        untaken: Untaken,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._untaken = untaken
        self._refusal = MALFORMED
        self._refused = False
        self._answering: RequestResponseCycle | None = None
        """The request whose answer it is now; `cycle` is the one that came last."""
        self._heard = False
        self._receiving = False
        """Whether a request has begun to arrive that has not ended."""
        self._unaccounted = 0
        """Bytes since the parser last had something whole: a header, a piece of body, a request."""
        self._header_bytes = 0
        self._timers: dict[Callable[[], None], TimerHandle] = {}

    # -------------------------------------------------------------- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there."""
        super().connection_made(transport)
        self._start(self._header_overdue, self._limits.seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        for callback in list(self._timers):
            self._stop(callback)
        self._untaken.remove(self.transport)
        self._disconnect()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes for the parser."""
        if self._refused:
            self._unaccounted += len(data)
            if self._unaccounted > LINGER_BYTES:
                self._close()
            return
        self._heard = True
        self._unaccounted += len(data)
        super().data_received(data)
        if self._unaccounted > self._limits.size_bytes and not self._refused:
            self._refusal = self._too_long()
            self.send_400_response(self._refusal.detail)

    def pause_writing(self) -> None:
        """The client takes nothing for now."""
        super().pause_writing()
        self._start(self._hang_up, STALL_SECONDS)
        self._untaken.add(self.transport)

    def resume_writing(self) -> None:
        """It does again."""
        self._stop(self._hang_up)
        self._untaken.remove(self.transport)
        super().resume_writing()

    # -------------------------------------------------------------- the parser

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        if len(self.pipeline) >= MOST_AHEAD:
            self._refusal = TOO_MANY
            raise TooMuchError
        self._header_bytes, self._receiving = 0, True
        self._start(self._header_overdue, self._limits.seconds)

    def on_url(self, url: bytes) -> None:
        """A piece of the request line."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header, or a trailer."""
        self._count(name + value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The application is asked."""
        self._stop(self._header_overdue)
        self._unaccounted = 0
        waits = self.cycle is not None and not self.cycle.response_complete
        super().on_headers_complete()
        if not waits:
            self._answering = self.cycle

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._unaccounted = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unaccounted, self._receiving = 0, False
        self._stop(self._close)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The application has answered."""
        if self._receiving and self.cycle.response_complete:
            self._start(self._close, LINGER_SECONDS)
        if self.pipeline:
            self._answering = self.pipeline[-1][0]
        super().on_response_complete()

    def _count(self, piece: bytes) -> None:
        self._header_bytes += len(piece)
        if self._header_bytes > self._limits.size_bytes or len(self.headers) >= MOST_HEADERS:
            self._refusal = self._too_long()
            raise TooMuchError

    # -------------------------------------------------------------- refusals

    def _too_long(self) -> Problem:
        detail = f"the header is longer than {self._limits.size_bytes} bytes or {MOST_HEADERS} lines"
        return problem("header-too-large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn says little
        """Called by uvicorn for what cannot be parsed; the problem says what was wrong."""
        self._refused = True
        current = self._answering
        answering = current is not None and current.response_started and not current.response_complete
        if not answering:  # in the middle of an answer another one would be taken for its body
            self.transport.write(_response(self._refusal))
        self._disconnect()
        if answering or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self.transport.write_eof()
            self._start(self._close, LINGER_SECONDS)

    def _disconnect(self) -> None:
        """Whoever answers hears that nobody listens; uvicorn tells only the request that came last."""
        for cycle in (self._answering, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def _header_overdue(self) -> None:
        if self.transport.is_closing() or self._refused:
            return
        if not self._heard:  # a browser that connected ahead of time takes no answer
            self.transport.close()
            return
        if self.cycle is not None and not self.cycle.response_complete:  # reading is paused for an answer before
            self._start(self._header_overdue, self._limits.seconds)
            return
        self._refusal = TOO_LATE
        self.send_400_response(TOO_LATE.detail)

    def _close(self) -> None:
        self.transport.close()

    def _hang_up(self) -> None:
        self.transport.abort()

    # -------------------------------------------------------------- timers

    def _start(self, callback: Callable[[], None], seconds: float) -> None:
        self._stop(callback)
        self._timers[callback] = self.loop.call_later(seconds, callback)

    def _stop(self, callback: Callable[[], None]) -> None:
        timer = self._timers.pop(callback, None)
        if timer is not None:
            timer.cancel()


def _response(refusal: Problem) -> bytes:
    body = refusal.model_dump_json(exclude_none=True).encode()
    head = (
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
