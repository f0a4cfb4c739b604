"""Blobs in a bucket of moto, a server that behaves like S3."""

import dataclasses
import hashlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from service.jobs.store import Store
from service.objects import s3
from service.objects.blob import Blob, BlobWriter, Objects, UnavailableError
from service.objects.place import OtherPlaceError, agree, objects_of, open_objects
from service.objects.s3 import ObjectBucket
from service.settings import Settings

CONTENT = b"weights" * 1000
ACCESS = {"region": "us-east-1", "access_key_id": "key", "secret_access_key": "secret"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path) -> ObjectBucket:
    httpx.put(f"{endpoint}/{tmp_path.name.lower().replace('_', '-')}").raise_for_status()
    return opened(endpoint, tmp_path, "some/prefix")


def opened(endpoint: str, tmp_path: Path, prefix: str) -> ObjectBucket:
    name = tmp_path.name.lower().replace("_", "-")
    return ObjectBucket(f"s3://{name}/{prefix}", tmp_path, {**ACCESS, "endpoint": endpoint})


@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
def test_content_is_found_under_its_sha256(bucket: ObjectBucket, content: bytes) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    assert bucket.put(content) == bucket.put(content) == Blob(sha256, len(content))
    assert bucket.get(sha256) == content
    with bucket.local(sha256) as path:
        assert path.read_bytes() == content
    assert list(bucket.spool.iterdir()) == []


def test_a_blob_of_many_pieces_is_whole(bucket: ObjectBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PIECE", 5 << 20)  # the least that S3 takes
    content = bytes(range(256)) * (12 << 12)
    with bucket.writer() as writer:
        for start in range(0, len(content), 1 << 20):
            writer.write(content[start : start + (1 << 20)])
        blob = writer.commit()
    assert bucket.get(blob.sha256) == content


def test_who_asks_for_it_has_what_is_there_sent_once_more(
    bucket: ObjectBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    put = s3.obstore.put
    monkeypatch.setattr(
        s3.obstore, "put", lambda store, key, *how, **named: (sent.append(key), put(store, key, *how, **named))
    )
    for anew in (False, False, True):
        with bucket.writer(anew=anew) as writer:
            writer.write(CONTENT)
            writer.commit()
    assert sent == 2 * [bucket.key(writer.sha256[:2], writer.sha256)]


def test_what_is_not_committed_is_not_kept(bucket: ObjectBucket) -> None:
    with bucket.writer() as writer:
        writer.write(CONTENT)
    with pytest.raises(FileNotFoundError):
        bucket.get(writer.sha256)
    assert list(bucket.spool.iterdir()) == []


def test_what_was_never_stored_is_not_found(bucket: ObjectBucket) -> None:
    with pytest.raises(FileNotFoundError), bucket.local("0" * 64):
        pass


def test_a_bucket_that_hands_out_another_content_is_not_believed(bucket: ObjectBucket) -> None:
    import obstore  # noqa: PLC0415

    wrong = "0" * 64
    obstore.put(bucket._bucket, bucket.key("00", wrong), b"another")
    with pytest.raises(UnavailableError, match="another content"), bucket.local(wrong):
        pass


def test_concurrent_writers_agree(bucket: ObjectBucket) -> None:
    with ThreadPoolExecutor(4) as pool:
        blobs = set(pool.map(bucket.put, [CONTENT] * 8))
    assert bucket.get(blobs.pop().sha256) == CONTENT
    assert not blobs


def test_every_promise_is_kept_by_name(bucket: ObjectBucket) -> None:
    with bucket.writer() as writer:
        for promise, kept in ((Objects, bucket), (BlobWriter, writer)):
            names = {name for name, value in vars(promise).items() if callable(value) and not name.startswith("_")}
            assert names <= set(dir(kept))


def test_nodes_of_one_database_agree_on_a_bucket(
    bucket: ObjectBucket, endpoint: str, tmp_path: Path, sqlite: Store
) -> None:
    agree(bucket, sqlite.engine, private=False)
    agree(opened(endpoint, tmp_path, "some/prefix"), sqlite.engine, private=False)
    with pytest.raises(OtherPlaceError):
        agree(opened(endpoint, tmp_path, "another"), sqlite.engine, private=False)
    bucket.check()


def test_a_bucket_that_is_away_is_an_error_of_the_moment(tmp_path: Path) -> None:
    away = opened("http://127.0.0.1:9", tmp_path, "")
    for act in (away.check, lambda: away.put(b"x"), lambda: away.get("0" * 64), lambda: away.has_mark("x")):
        with pytest.raises(UnavailableError):
            act()
    assert list(tmp_path.iterdir()) == []


def test_settings_open_it(endpoint: str, bucket: ObjectBucket, tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "data",
        objects_url=str(bucket),
        s3_endpoint=endpoint,
        s3_region="us-east-1",
        s3_access_key_id="key",
        s3_secret_access_key="secret",
    ).prepare()
    blob = bucket.put(CONTENT)
    assert open_objects(settings).get(blob.sha256) == CONTENT
    assert "'secret'" not in repr(settings)
    with closing(Store(settings.database)) as store:
        assert objects_of(store.engine, settings).get(blob.sha256) == CONTENT


def test_blobs_are_found_by_prefix_and_removed_as_they_were_found(bucket: ObjectBucket) -> None:
    one = bucket.put(CONTENT)
    (found,) = bucket.found(one.sha256[:2])
    assert (found.sha256, found.size, bucket.size(one.sha256)) == (one.sha256, one.size, one.size)
    assert list(bucket.found("00" if one.sha256[:2] != "00" else "11")) == []
    assert not bucket.remove(dataclasses.replace(found, version="stored anew"))
    assert bucket.size(one.sha256) == one.size
    assert bucket.remove(found)
    assert not bucket.remove(found)
    assert bucket.size(one.sha256) is None
