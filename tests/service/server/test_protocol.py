"""Connections that never ask a whole question, and those that do not end."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from service.server import protocol
from service.settings import Settings
from tests.service.server.live import Live, everything, live, problem_in

LIMIT = 4096
SECONDS = 0.5
LINE = b"GET /x HTTP/1.1\r\nHost: test\r\n"
CHUNKED = b"POST /body HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the size of the body; /early does not read it, /large answers with much."""
    if scope["type"] != "http":
        return
    size, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    body = bytes(1 << 26) if scope["path"] == "/large" else f"{size} bytes".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body[:1000], "more_body": True})
    await send({"type": "http.response.body", "body": body[1000:]})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Live]:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.5)
    monkeypatch.setattr(protocol, "STALL_SECONDS", 0.5)
    settings = Settings(data_dir=tmp_path, max_header_bytes=LIMIT, header_seconds=SECONDS)
    with live(application, settings) as running:
        yield running


def answer_to(server: Live, *pieces: bytes) -> bytes:
    with server.connect() as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except OSError:
            pass
        return everything(connection)


def sent_until_reset(connection: socket.socket, piece: bytes, pause: float = 0.0) -> int:
    sent, most = 0, 1 << 30
    with suppress(OSError):
        while sent < most:
            sent += connection.send(piece)
            time.sleep(pause)
    return sent


CLOSE = b"Connection: close\r\n\r\n"


def test_a_header_up_to_the_limit_is_read(server: Live) -> None:
    longest = LIMIT - len(b"/x" + b"host" + b"test" + b"connection" + b"close" + b"x-long")
    assert answer_to(server, LINE + b"X-Long: " + b"a" * longest + b"\r\n" + CLOSE).endswith(b"0 bytes")


@pytest.mark.parametrize(
    "request_line_and_headers",
    [
        LINE + b"X-Long: " + b"a" * LIMIT + b"\r\n" + CLOSE,
        LINE + b"X-Long: " + b"a" * 10 * LIMIT,
        b"GET /" + b"a" * LIMIT + b" HTTP/1.1\r\nHost: test\r\n" + CLOSE,
        b"GET /" + b"a" * 10 * LIMIT,
        LINE + b"".join(b"X-%d: a\r\n" % number for number in range(protocol.MOST_HEADERS)) + CLOSE,
        LINE + b"".join(b"X-%d: a\r\n" % number for number in range(1000)),
        LINE + b"a" * 10 * LIMIT,
    ],
    ids=["long", "endless", "long line", "endless line", "many", "ever more", "endless name"],
)
def test_a_header_beyond_the_limit_is_a_problem(server: Live, request_line_and_headers: bytes) -> None:
    problem = problem_in(answer_to(server, request_line_and_headers))
    assert (problem.status, problem.code) == (431, "header-too-large")


def test_of_an_endless_header_little_is_taken(server: Live) -> None:
    with server.connect() as connection:
        connection.sendall(LINE + b"X-Long: ")
        assert sent_until_reset(connection, b"a" * (1 << 16)) < 60_000_000


@pytest.mark.parametrize("nonsense", [b"\x16\x03\x01\x02\x00\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_not_http_is_a_problem(server: Live, nonsense: bytes) -> None:
    problem = problem_in(answer_to(server, nonsense))
    assert (problem.status, problem.code) == (400, "bad-request")


def test_a_header_that_does_not_come_to_its_end_is_a_problem(server: Live) -> None:
    assert problem_in(answer_to(server, LINE)).code == "header-timeout"


def test_a_header_that_trickles_has_no_more_time(server: Live) -> None:
    with server.connect() as connection:
        connection.sendall(LINE)
        connection.settimeout(0.05)
        for _ in range(1000):
            try:
                connection.sendall(b"X-A: b\r\n")
                answer = connection.recv(1000)
            except TimeoutError:
                continue
            break
    assert b" 408 " in answer


def test_a_connection_on_which_nothing_is_said_is_closed_without_a_word(server: Live) -> None:
    assert answer_to(server) == b""


def test_the_header_of_a_later_request_has_its_time_too(server: Live) -> None:
    with server.connect() as connection:
        connection.sendall(LINE + b"\r\n")
        assert connection.recv(1000).endswith(b"0 bytes")
        connection.sendall(LINE)
        assert problem_in(everything(connection)).code == "header-timeout"


def test_requests_may_follow_each_other_at_once(server: Live) -> None:
    answer = answer_to(server, LINE + b"\r\n" + LINE + b"\r\n" + LINE + CLOSE)
    assert answer.count(b"0 bytes") == 3


def test_requests_without_end_ahead_of_an_answer_are_a_problem(server: Live) -> None:
    following = (LINE + b"\r\n") * (protocol.MOST_AHEAD - 1)
    assert answer_to(server, LINE + b"\r\n" + following + LINE + CLOSE).count(b"0 bytes") == protocol.MOST_AHEAD + 1
    problem = problem_in(answer_to(server, LINE + b"\r\n" + 2 * following))
    assert (problem.status, problem.code) == (400, "bad-request")


def test_whoever_is_answered_is_told_that_a_client_is_gone_that_had_asked_more(tmp_path: Path) -> None:
    told = threading.Event()

    async def until_nobody_listens(scope: Any, receive: Any, send: Any) -> None:
        while scope["type"] == "http" and (await receive())["type"] != "http.disconnect":
            pass
        told.set()

    with live(until_nobody_listens, Settings(data_dir=tmp_path)) as server:
        with server.connect() as connection:
            connection.sendall(LINE + b"\r\n" + LINE + b"\r\n")
            time.sleep(0.1)
            told.clear()  # the application was asked for its life span
        assert told.wait(5)


def test_a_chunked_body_is_read_whatever_its_size(server: Live) -> None:
    pieces = [b"%x\r\n" % LIMIT + b"a" * LIMIT + b"\r\n"] * 20 + [b"1\r\na\r\n"] * 5000
    answer = answer_to(server, CHUNKED, *pieces, b"0\r\n\r\n" + LINE + CLOSE)
    assert b"%d bytes" % (20 * LIMIT + 5000) in answer


@pytest.mark.parametrize(
    "framing", [b"1;" + b"a" * 1000 * LIMIT, b"0\r\nX-Trailer: " + b"a" * 1000 * LIMIT, b"0\r\n" + b"X-A: b\r\n" * 1000]
)  # fmt: skip
def test_the_framing_of_a_body_has_the_limit_of_a_header(server: Live, framing: bytes) -> None:
    assert problem_in(answer_to(server, CHUNKED + b"1\r\na\r\n", framing)).code == "header-too-large"


def test_a_body_that_nobody_reads_does_not_go_on_for_ever(server: Live) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000000\r\n\r\n")
        assert connection.recv(1000).endswith(b"0 bytes")
        assert sent_until_reset(connection, b"a", pause=0.01) < 1_000_000


def test_a_body_that_comes_to_its_end_after_the_answer_leaves_the_connection_usable(server: Live) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nab")
        assert connection.recv(1000).endswith(b"0 bytes")
        connection.sendall(b"cd" + LINE + CLOSE)
        assert everything(connection).endswith(b"0 bytes")


def test_a_client_that_takes_nothing_is_hung_up_on(server: Live) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n")
        time.sleep(1.5)
        assert len(everything(connection)) < 1 << 26


def test_answers_that_nobody_takes_fill_no_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Room for two of 64 MB: the first one to wait is hung up on when the third comes, and only that."""
    monkeypatch.setattr(protocol, "MOST_WAITING", 140 << 20)
    with live(application, Settings(data_dir=tmp_path)) as running, ExitStack() as connections:
        idle = list[socket.socket]()
        for _ in range(3):
            idle.append(connections.enter_context(running.connect()))
            idle[-1].sendall(b"GET /large HTTP/1.1\r\nHost: test\r\n" + CLOSE)
            idle[-1].recv(1)
        assert [len(everything(each)) > 1 << 26 for each in idle] == [False, True, True]
