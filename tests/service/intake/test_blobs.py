"""Files that are sent ahead, by name; `test_multipart` has the forms that name them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest
from anyio import CapacityLimiter

from service.intake import body
from service.intake.blobs import References, parse_references, receive_blob, resolve
from service.intake.body import Patience, UploadLimits
from service.objects.blob import Blob
from service.objects.folder import ObjectFolder
from service.problems import ProblemError

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GZIP = {"content-encoding": "gzip"}
PATIENCE = Patience(idle_seconds=0.2, bytes_per_second=1000.0)
LIMITS = UploadLimits(len(CONTENT), 100, PATIENCE, CapacityLimiter(2))


@pytest.fixture
def objects(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(tmp_path)


def files(objects: ObjectFolder) -> list[Path]:
    return [path for path in objects.folder.rglob("*") if path.is_file()]


async def chunked(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]


def receive(objects: ObjectFolder, body: AsyncIterator[bytes], headers: Mapping[str, str] | None = None) -> Blob:
    return asyncio.run(receive_blob(headers or {}, body, SHA256, objects, LIMITS))


def test_bytes_are_stored_under_the_name_that_they_have(objects: ObjectFolder) -> None:
    assert receive(objects, chunked(CONTENT)) == Blob(SHA256, len(CONTENT))
    assert objects.get(SHA256) == CONTENT
    assert files(objects) == [objects.path(SHA256)]


async def hangs() -> AsyncIterator[bytes]:
    yield CONTENT[:1000]
    await asyncio.sleep(30)


async def hangs_up() -> AsyncIterator[bytes]:
    yield CONTENT[:1000]
    raise ConnectionResetError


@pytest.mark.parametrize(
    ("sent", "headers", "status", "code"),
    [
        (chunked(CONTENT[:-1]), {}, HTTPStatus.BAD_REQUEST, "digest-mismatch"),
        (chunked(b""), {}, HTTPStatus.BAD_REQUEST, "digest-mismatch"),
        (chunked(CONTENT + b"x"), {}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "upload-too-large"),
        (chunked(CONTENT), {"content-length": "10241"}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "upload-too-large"),
        (chunked(CONTENT), GZIP, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-content-encoding"),
        (hangs(), {}, HTTPStatus.REQUEST_TIMEOUT, "upload-idle"),
    ],
    ids=["short", "empty", "long", "announced", "compressed", "hanging"],
)  # fmt: skip
def test_anything_else_is_refused_and_nothing_kept(
    objects: ObjectFolder, sent: AsyncIterator[bytes], headers: dict[str, str], status: HTTPStatus, code: str
) -> None:
    with pytest.raises(ProblemError) as refused:
        receive(objects, sent, headers)
    assert (refused.value.problem.status, refused.value.problem.code) == (status, code)
    assert files(objects) == []


def test_a_client_that_hangs_up_leaves_nothing(objects: ObjectFolder) -> None:
    with pytest.raises(ConnectionResetError):
        receive(objects, hangs_up())
    assert files(objects) == []


def test_a_disk_without_room_keeps_nothing(objects: ObjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "RESERVE_EVERY", 5000)
    limits = replace(LIMITS, has_reserve=lambda: False)
    with pytest.raises(ProblemError) as refused:
        asyncio.run(receive_blob({}, chunked(CONTENT), SHA256, objects, limits))
    assert refused.value.problem.status == HTTPStatus.INSUFFICIENT_STORAGE
    assert files(objects) == []


def test_references_say_where_each_is(objects: ObjectFolder) -> None:
    a, b, c = "a" * 64, "b" * 64, "c" * 64
    said = f'{{"model": "{a}", "batch": "{b}", "external_data": {{"w": "{c}"}}}}'
    references = parse_references(said.encode())
    assert references == References(model=a, batch=b, external_data={"w": c})
    assert references.named == {"blobs.model": a, "blobs.batch": b, "blobs.external_data.w": c}
    asked: list[set[str]] = []

    def sizes(names: object) -> dict[str, int]:
        asked.append(set(names))  # type: ignore[call-overload]
        return {a: 1, b: 2, c: 3}

    assert resolve(references, sizes) == {a: Blob(a, 1), b: Blob(b, 2), c: Blob(c, 3)}
    assert asked == [{a, b, c}]
