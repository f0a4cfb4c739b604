"""Files that are sent ahead, to the real application."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.client import AsyncClient, Client
from service.client.errors import Refused, Unauthenticated
from tests.service.application import BATCH, MODEL, Bridge, Service, client_of
from tests.service.server.live import live

WEIGHTS = bytes(range(256)) * 4096
"""More than one chunk of a body."""


class Watched(httpx.BaseTransport):
    """Keeps what was asked; may lose the first answer to a PUT."""

    def __init__(self, service: Service, losing: int = 0) -> None:
        self.bridge, self.asked, self.losing = Bridge(service.app), [], losing

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        length = request.headers.get("content-length", "0")
        response = self.bridge.handle_request(request)
        self.asked.append((request.method, request.url.path, int(length), response.status_code))
        if request.method == "PUT" and self.losing:
            self.losing -= 1
            raise httpx.ReadError("lost")
        return response


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    for name, content in (("net.onnx", MODEL), ("x.npz", BATCH), ("weights.bin", WEIGHTS)):
        (tmp_path / name).write_bytes(content)
    return {
        "model": tmp_path / "net.onnx",
        "batch": tmp_path / "x.npz",
        "data_files": [tmp_path / "weights.bin"],
        "blobs": True,
    }


def sent(watched: Watched) -> list[tuple[str, int]]:
    return [(method, status) for method, _, _, status in watched.asked]


def arrived(service: Service) -> None:
    question = service.claim().question
    get = service.parts.objects.get
    assert (get(question.model_sha256), get(question.batch_sha256 or "")) == (MODEL, BATCH)
    assert {name: get(sha256) for name, sha256 in question.data_files.items()} == {"weights.bin": WEIGHTS}
    assert question.model_name == "net.onnx"


def test_files_go_over_the_line_once_and_are_named_from_then_on(service: Service, files: dict[str, Any]) -> None:
    watched = Watched(service)
    client = client_of(watched)
    client.submit(**files)
    arrived(service)
    assert sent(watched) == [("GET", 404), ("PUT", 201)] * 3 + [("POST", 202)]
    watched.asked.clear()
    client.submit(**files)
    arrived(service)
    assert sent(watched) == [("GET", 200)] * 3 + [("POST", 202)]
    assert max(length for _, _, length, _ in watched.asked) < 2000


def test_a_lost_answer_sends_the_file_again_from_its_beginning(service: Service, files: dict[str, Any]) -> None:
    watched = Watched(service, losing=2)
    Client("http://localhost/", transport=watched, retries=2).submit(**files)
    arrived(service)
    assert [call for call in sent(watched) if call[0] == "PUT"] == [("PUT", 201), ("PUT", 200), ("PUT", 200)] + [
        ("PUT", 201)
    ] * 2


def test_a_file_that_went_after_it_was_asked_for_is_sent_once_more(service: Service, files: dict[str, Any]) -> None:
    """The service says that it has them, and has not."""

    class Forgetful(Watched):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET":
                return httpx.Response(200, json={"sha256": "", "size": 1, "kept_until": "2026-01-01T00:00:00Z"})
            return super().handle_request(request)

    watched = Forgetful(service)
    client_of(watched).submit(**files)
    arrived(service)
    assert sent(watched) == [("POST", 422), *[("PUT", 201)] * 3, ("POST", 202)]


def test_what_is_refused_for_another_reason_is_sent_once(service: Service, files: dict[str, Any]) -> None:
    watched = Watched(service)
    with pytest.raises(Refused, match="may be told"):
        client_of(watched).submit(**files, callback="https://example.org/x")
    assert sent(watched)[-1] == ("POST", 400)
    assert len(watched.asked) == 7


def test_a_blob_is_put_alone_too(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(WEIGHTS)
    client = client_of(Bridge(service.app))
    expected = hashlib.sha256(WEIGHTS).hexdigest()
    assert client.put_blob(path) == client.put_blob(WEIGHTS) == expected
    assert service.parts.objects.get(expected) == WEIGHTS


def test_no_key_is_said_as_such() -> None:
    told = {"type": "t", "title": "t", "status": 401, "detail": "no key", "code": "unauthenticated"}
    transport = httpx.MockTransport(lambda _: httpx.Response(401, content=json.dumps(told)))
    with pytest.raises(Unauthenticated):
        client_of(transport).submit(b"model", blobs=True)


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    with live(service.app, service.parts.settings, service.parts.drain) as server:
        yield f"http://127.0.0.1:{server.address[1]}"


def test_the_other_client_does_the_same(service: Service, url: str, files: dict[str, Any]) -> None:
    async def ask() -> str:
        async with AsyncClient(url) as client:
            await client.submit(**files)
            return await client.put_blob(WEIGHTS)

    assert asyncio.run(ask()) == hashlib.sha256(WEIGHTS).hexdigest()
    arrived(service)
