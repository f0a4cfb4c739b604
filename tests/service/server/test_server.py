"""How a server stops while bodies are under way."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.drain import Drain
from service.server.server import make_server
from service.settings import Settings
from tests.service.application import FILES
from tests.service.server.live import Live, everything, live, problem_in

PART = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + b"a" * (1 << 20)
"""As much as is not kept in memory until there is more of it."""
POST = (
    b"POST /v1/analyses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 9000000\r\n\r\n"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Live]:
    settings = Settings(data_dir=tmp_path, drain_seconds=0.5, default_wait_seconds=30.0)
    app = create_app(settings)
    with closing(app.state.parts.store), live(app, settings, app.state.parts.drain) as running:
        yield running


def until_it_is_written(folder: Path) -> None:
    deadline = time.monotonic() + 20.0
    while not list(folder.rglob("*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_body_that_does_not_come_holds_nothing_up(server: Live, tmp_path: Path) -> None:
    with server.connect() as connection:
        connection.sendall(POST + PART)
        until_it_is_written(tmp_path)
        server.stop()
        answer = everything(connection)
    problem = problem_in(answer)
    assert (problem.status, problem.code) == (503, "stopping")
    assert b"retry-after:" in answer.lower()
    server.thread.join(10.0)
    assert not server.thread.is_alive()


def test_a_body_that_comes_in_time_is_still_taken_and_not_waited_for(server: Live, tmp_path: Path) -> None:
    rest = b" model\r\n--b--\r\n"
    length = f"Content-Length: {len(PART) + len(rest)}".encode()
    with server.connect() as connection:
        connection.sendall(POST.replace(b"Content-Length: 9000000", length) + PART)
        until_it_is_written(tmp_path)
        server.stop()
        connection.sendall(rest)
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 202 ")


def test_a_request_that_waits_for_its_report_is_answered_with_the_job(server: Live) -> None:
    url = f"http://127.0.0.1:{server.address[1]}"
    with httpx.Client(base_url=url, timeout=20.0) as client:
        request = client.build_request("POST", "/v1/analyses", files=FILES)
        threading.Timer(0.5, server.stop).start()
        assert client.send(request).status_code == 202


def test_limits_come_from_the_settings(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, max_header_bytes=2000, header_seconds=3.0, drain_seconds=7.0)
    config = make_server(create_app(settings), settings, Drain(7.0)).config
    assert config.timeout_graceful_shutdown == 10
    config.load()
    assert (config.ws_protocol_class, config.http_protocol_class.args[0].size_bytes) == (None, 2000)
