"""Bodies that come slowly, in the wrong form, or not at all; and how they reach a thread."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus

import pytest
from anyio import CapacityLimiter

from service.drain import Drain
from service.intake.body import (
    BACKLOG,
    BATCH,
    RESERVE_EVERY,
    Patience,
    impatient,
    keeping_reserve,
    pour,
    receive_json,
    refuse_encoding,
)
from service.problems import ProblemError

JSON = {"content-type": "application/json"}
PATIENCE = Patience(idle_seconds=5.0, bytes_per_second=100.0)


async def sent(*chunks: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(pause)
        yield chunk


async def silent() -> AsyncIterator[bytes]:
    yield b"a"
    await asyncio.sleep(3600)


async def gathered(body: AsyncIterator[bytes], patience: Patience) -> list[bytes]:
    return [chunk async for chunk in impatient(body, patience)]


def refusal(body: AsyncIterator[bytes], patience: Patience) -> ProblemError:
    with pytest.raises(ProblemError) as refused:
        asyncio.run(gathered(body, patience))
    return refused.value


def test_chunks_come_as_they_were_sent() -> None:
    assert asyncio.run(gathered(sent(b"a", b"", b"bc"), PATIENCE)) == [b"a", b"", b"bc"]


def test_a_pause_that_is_too_long_is_refused() -> None:
    refused = refusal(silent(), Patience(0.05, 1e-6))
    assert (refused.problem.status, refused.problem.code) == (408, "upload-idle")
    assert "1 bytes" in refused.problem.detail
    assert "0.05 s" in refused.problem.hint


def test_a_body_without_a_pause_that_is_too_slow_on_the_whole_is_refused() -> None:
    trickle = sent(*[b"a"] * 1000, pause=0.02)
    assert refusal(trickle, Patience(0.2, bytes_per_second=1000.0)).problem.code == "upload-idle"


def test_a_body_above_the_rate_may_take_longer_than_the_idle_seconds() -> None:
    steady = sent(*[b"a" * 100] * 15, pause=0.02)
    assert len(asyncio.run(gathered(steady, Patience(0.2, bytes_per_second=1000.0)))) == 15


def test_what_we_take_ourselves_is_not_counted() -> None:
    async def slowly_read() -> int:
        count = 0
        async for _ in impatient(sent(*[b"a"] * 10), Patience(0.2, 1e9)):
            await asyncio.sleep(0.05)
            count += 1
        return count

    assert asyncio.run(slowly_read()) == 10


def test_a_server_that_stops_gives_up_on_a_body_after_its_drain() -> None:
    drain = Drain(0.1)
    drain.begin()
    refused = refusal(silent(), Patience(3600.0, 1.0, drain))
    assert (refused.problem.status, refused.problem.code) == (503, "stopping")
    assert int(refused.headers["Retry-After"]) > 0


# ------------------------------------------------------------------ into a thread


def poured(body: AsyncIterator[bytes], write: Callable[[bytes], object]) -> None:
    asyncio.run(pour(body, write, CapacityLimiter(1)))


def test_everything_is_written_once_in_order_and_not_by_the_event_loop() -> None:
    chunks = [bytes([number % 256]) * 1000 for number in range(5000)]
    written, threads = list[bytes](), set[int]()

    def write(chunk: bytes) -> None:
        written.append(chunk)
        threads.add(threading.get_ident())

    poured(sent(*chunks), write)
    assert written == chunks
    assert threading.get_ident() not in threads


def test_no_more_than_the_backlog_waits_for_a_slow_disk() -> None:
    read, written, most = 0, 0, 0
    piece = 1 << 16

    async def body() -> AsyncIterator[bytes]:
        nonlocal read, most
        for _ in range(200):
            read += piece
            most = max(most, read - written)
            await asyncio.sleep(0)
            yield bytes(piece)

    def write(chunk: bytes) -> None:
        nonlocal written
        threading.Event().wait(0.001)
        written += len(chunk)

    poured(body(), write)
    assert written == 200 * piece
    assert BACKLOG <= most <= 2 * BACKLOG + 3 * piece


def test_a_thread_is_woken_for_more_than_a_few_bytes() -> None:
    written: list[tuple[int, int]] = []
    pieces = [bytes(BATCH // 4)] * 9

    async def body() -> AsyncIterator[bytes]:
        for number, piece in enumerate(pieces):
            await asyncio.sleep(0.01)
            written.append((number, sum(map(len, received))))
            yield piece

    received: list[bytes] = []
    poured(body(), received.append)
    assert received == pieces
    assert all(size == 0 for number, size in written if number < 4)
    assert written[-1][1] >= BATCH


def test_what_a_write_raises_is_raised() -> None:
    def write(chunk: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        poured(sent(*[b"a"] * 100), write)


def test_nobody_writes_any_more_once_it_has_failed() -> None:
    writing, done = threading.Event(), list[bool]()

    async def body() -> AsyncIterator[bytes]:
        yield bytes(BATCH)
        await asyncio.to_thread(writing.wait)
        raise ProblemError(PROBLEM)

    def write(chunk: bytes) -> None:
        writing.set()
        threading.Event().wait(0.2)
        done.append(True)

    with pytest.raises(ProblemError):
        poured(body(), write)
    assert done == [True]


PROBLEM = refusal(silent(), Patience(0.01, 1.0)).problem


# ------------------------------------------------------------------ JSON


def json_body(
    body: bytes | AsyncIterator[bytes],
    *,
    size: int = 7,
    headers: Mapping[str, str] = JSON,
    limit: int = 1000,
    patience: Patience = PATIENCE,
) -> bytes:
    if isinstance(body, bytes):
        body = sent(*(body[start : start + size] for start in range(0, len(body), size)))
    received, threads = bytearray(), CapacityLimiter(1)
    asyncio.run(receive_json(headers, body, received.extend, limit=limit, patience=patience, threads=threads))
    return bytes(received)


def json_refused(body: bytes | AsyncIterator[bytes], status: HTTPStatus, **how: object) -> str:
    with pytest.raises(ProblemError) as refusal:
        json_body(body, **how)
    problem = refusal.value.problem
    assert problem.status == status, problem
    return f"{problem.code}: {problem.detail} ({problem.hint})"


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_json_body_arrives_as_it_was_sent_whatever_it_says(size: int, kind: str) -> None:
    body = b'{"not": parsed \xff}' * 20
    assert json_body(body, size=size, headers={"content-type": kind}) == body
    assert json_body(b"") == b""


@pytest.mark.parametrize(
    ("headers", "given"),
    [
        ({"content-type": "text/plain"}, "given text/plain"),
        ({"content-type": "multipart/form-data; boundary=x"}, "given multipart/form-data"),
        ({"content-type": "text/\xff"}, "given text/"),
        ({}, "given nothing"),
    ],
)
def test_anything_but_json_is_refused_with_the_command_that_works(headers: dict[str, str], given: str) -> None:
    message = json_refused(b"{}", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, headers=headers)
    assert message.startswith(f"unsupported-media-type: expected application/json, {given}")
    assert message.endswith("(curl --json @body.json)")


@pytest.mark.parametrize("length", [None, "1000", "10"])
def test_exactly_the_limit_of_json_is_accepted_and_one_byte_more_is_not(length: str | None) -> None:
    headers = JSON if length is None else JSON | {"content-length": length}
    assert json_body(b"x" * 1000, headers=headers) == b"x" * 1000
    message = json_refused(b"x" * 1001, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, headers=headers)
    assert message.startswith("upload-too-large: more than the 1000 bytes")


def test_a_length_of_json_over_the_limit_is_refused_before_a_byte_is_read() -> None:
    async def untouched() -> AsyncIterator[bytes]:
        pytest.fail("read")
        yield b""

    headers = JSON | {"content-length": "1001"}
    message = json_refused(untouched(), HTTPStatus.REQUEST_ENTITY_TOO_LARGE, headers=headers)
    assert "1000 bytes" in message


def test_a_client_that_falls_silent_within_json_is_refused() -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    message = json_refused(silent(), HTTPStatus.REQUEST_TIMEOUT, patience=Patience(0.05, 1e-3))
    assert message.startswith("upload-idle: 1 bytes arrived")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "deflate, gzip", "x" * 500])
@pytest.mark.parametrize("header", ["Content-Encoding", "Transfer-Encoding"])
def test_a_compressed_body_is_refused_by_name(encoding: str, header: str) -> None:
    with pytest.raises(ProblemError) as refused:
        refuse_encoding({header.lower(): encoding})
    problem = refused.value.problem
    assert (problem.status, problem.code, problem.where) == (415, "unsupported-content-encoding", header)
    assert encoding.lower()[:100] in problem.detail
    assert refused.value.headers == {"Accept-Encoding": "identity"}
    message = json_refused(b"{}", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, headers=JSON | {header.lower(): encoding})
    assert message.startswith("unsupported-content-encoding")


@pytest.mark.parametrize(
    "headers",
    [{}, {"content-encoding": "identity"}, {"content-encoding": ""}, {"transfer-encoding": "chunked"}],
    ids=str,
)
def test_a_body_as_it_stands_is_not(headers: dict[str, str]) -> None:
    refuse_encoding(headers)


@pytest.mark.parametrize("chunk", [RESERVE_EVERY // 4, RESERVE_EVERY // 4 + 1, 3 * RESERVE_EVERY])
def test_a_body_ends_where_others_have_filled_the_disk_meanwhile(chunk: int) -> None:
    """No more is written past the point at which it is looked for."""
    room, written = [True, False], list[int]()
    write = keeping_reserve(lambda part: written.append(len(part)), lambda: room.pop(0))

    def write_on() -> None:
        for _ in range(100):
            write(bytes(chunk))

    with pytest.raises(ProblemError) as refused:
        write_on()
    assert (refused.value.problem.status, refused.value.problem.code) == (507, "disk-full")
    assert room == []
    assert sum(written) <= max(2 * RESERVE_EVERY, chunk)


def test_what_is_small_asks_nothing_of_the_disk() -> None:
    written = list[bytes]()
    keeping_reserve(written.append, lambda: False)(b"x" * (RESERVE_EVERY - 1))
    assert len(written) == 1
