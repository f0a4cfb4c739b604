"""The body of a request as long as its client goes on sending, and the server on running.

A client that sends slowly is borne, one that holds a connection open is not: a body has `idle_seconds`, and one second
more for every `bytes_per_second` that arrived (the rule of Apache's RequestReadTimeout). What we ourselves take to
store a chunk is not counted.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync
from python_multipart.multipart import parse_options_header

from service.drain import Drain
from service.problems import ProblemError, problem, refusal

PLAIN: Final = {"Content-Encoding": ("", "identity"), "Transfer-Encoding": ("", "chunked")}
"""What a header may say of a body that is read as it stands."""
LOOK_SECONDS: Final = 0.5
"""How often a body that does not come is given up if the server stops."""
RETRY_SECONDS: Final = 5
BACKLOG: Final = 2 << 20
BATCH: Final = 1 << 19
"""Bytes for which it is worth while to wake a thread."""
RESERVE_EVERY: Final = 16 << 20
"""Bytes of a body after which the room on the disk is looked at again: others write there meanwhile."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a body is waited for."""

    idle_seconds: float
    bytes_per_second: float
    drain: Drain = field(default_factory=lambda: Drain(0.0))


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bytes, patience, and the threads that write."""

    total: int
    options: int
    patience: Patience
    threads: CapacityLimiter
    anew: bool = False
    """What is stored already is stored once more: how long that takes would tell a tenant what others have."""
    has_reserve: Callable[[], bool] = lambda: True
    """Whether the disk has room for more than what lies there."""


async def impatient(body: AsyncIterator[bytes], patience: Patience) -> AsyncIterator[bytes]:
    """The chunks of a body. Raises ProblemError: 408 too slow, 503 where the server stops before it is there."""
    waited, received = 0.0, 0
    while True:
        started = time.monotonic()
        left = patience.idle_seconds + received / patience.bytes_per_second - waited
        try:
            chunk = await _next(body, min(patience.idle_seconds, left), patience.drain)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            detail = f"{received} bytes arrived in {waited + time.monotonic() - started:.0f} s"
            raise _too_slow(detail, patience) from error
        waited, received = waited + time.monotonic() - started, received + len(chunk)
        yield chunk


async def _next(body: AsyncIterator[bytes], seconds: float, drain: Drain) -> bytes:
    """Raises StopAsyncIteration, TimeoutError, and ProblemError where the server stops meanwhile."""
    deadline = time.monotonic() + seconds
    coming = asyncio.ensure_future(anext(body))
    try:
        while not coming.done():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if drain.seconds_left() <= 0:
                raise _stopping()
            await asyncio.wait({coming}, timeout=min(left, LOOK_SECONDS))
        return coming.result()
    finally:
        coming.cancel()


def _too_slow(detail: str, patience: Patience) -> ProblemError:
    hint = f"send {patience.bytes_per_second:g} bytes a second or more, without a pause of {patience.idle_seconds:g} s"
    return refusal("upload-idle", HTTPStatus.REQUEST_TIMEOUT, detail, hint=hint)


def _stopping() -> ProblemError:
    detail = "the service stopped before the body had arrived"
    told = problem("stopping", HTTPStatus.SERVICE_UNAVAILABLE, detail, hint="send it again")
    return ProblemError(told, {"Retry-After": str(RETRY_SECONDS), "Connection": "close"})


async def pour(chunks: AsyncIterator[bytes], write: Callable[[bytes], object], threads: CapacityLimiter) -> None:
    """Hand chunks to `write`, in order and in a thread, while the next ones arrive; at most BACKLOG bytes wait.

    Whatever ends this, no thread writes any more when it has ended.
    """
    waiting, size = list[bytes](), 0
    writing: asyncio.Future[None] | None = None
    try:
        async for chunk in chunks:
            waiting.append(chunk)
            size += len(chunk)
            if size >= BATCH and (writing is None or writing.done() or size > BACKLOG):
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(run_sync(_write_all, write, waiting, limiter=threads))
                waiting, size = [], 0
        if writing is not None:
            await writing
        await run_sync(_write_all, write, waiting, limiter=threads)
    finally:
        if writing is not None:
            with CancelScope(shield=True):
                await asyncio.wait({writing})


def keeping_reserve(write: Callable[[bytes], object], has_reserve: Callable[[], bool]) -> Callable[[bytes], object]:
    """`write` as long as the disk keeps its reserve, however long a body said that it would be, or did not say.

    The result raises ProblemError: 507.
    """
    written = 0

    def write_on(chunk: bytes) -> None:
        nonlocal written
        before, written = written, written + len(chunk)
        if before // RESERVE_EVERY != written // RESERVE_EVERY and not has_reserve():
            raise disk_full()
        write(chunk)

    return write_on


def disk_full() -> ProblemError:
    """What is told where there is no room for a body."""
    hint = "send it again later; whoever runs this service has to make room"
    return refusal("disk-full", HTTPStatus.INSUFFICIENT_STORAGE, "the disk has no room for this", hint=hint)


def _write_all(write: Callable[[bytes], object], chunks: Sequence[bytes]) -> None:
    for chunk in chunks:
        write(chunk)


async def capped(body: AsyncIterator[bytes], allowed: int, told: int | None = None) -> AsyncIterator[bytes]:
    """No more than is allowed, which is told as `told`. Raises ProblemError: 413."""
    left = allowed
    async for chunk in body:
        left -= len(chunk)
        if left < 0:
            raise too_large(allowed if told is None else told)
        yield chunk


def refuse_encoding(headers: Mapping[str, str]) -> None:
    """Raises ProblemError: 415 for a body that was compressed, as what it would become has no known size."""
    for where, plain in PLAIN.items():
        encoding = headers.get(where.lower(), "").strip().lower()
        if encoding not in plain:
            told = problem(
                "unsupported-content-encoding",
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"the body is encoded as {encoding[:100]}, and is read as it stands only",
                where=where,
                hint="send the body uncompressed",
            )
            raise ProblemError(told, {"Accept-Encoding": "identity"})


def too_large(allowed: int) -> ProblemError:
    """What is raised as soon as a body is known to be."""
    return refusal(
        "upload-too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than the {allowed} bytes that are allowed"
    )


async def receive_json(
    headers: Mapping[str, str],
    body: AsyncIterator[bytes],
    write: Callable[[bytes], object],
    *,
    limit: int,
    patience: Patience,
    threads: CapacityLimiter,
) -> None:
    """Hand a JSON body to `write`, not parsed.

    Raises ProblemError: 408 too slow, 413 too large, 415 not JSON, 503 stopping.
    """
    refuse_encoding(headers)
    kind, _ = parse_options_header(headers.get("content-type", ""))
    if kind != b"application/json":
        raise refusal(
            "unsupported-media-type",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"expected application/json, given {kind.decode(errors='replace') or 'nothing'}",
            hint="curl --json @body.json",
        )
    if int(headers.get("content-length") or 0) > limit:
        raise too_large(limit)
    await pour(capped(impatient(body, patience), limit), write, threads)
