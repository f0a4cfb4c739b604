"""The places for blobs keep what `Objects` promises; mypy holds their signatures against it."""

import dataclasses
import hashlib
from pathlib import Path

import pytest

from service.objects.blob import Blob, BlobWriter, Objects
from service.objects.folder import ObjectFolder


@pytest.fixture
def place(tmp_path: Path) -> Objects:
    return ObjectFolder(tmp_path)


def test_a_blob_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Blob("a" * 64, 1).size = 2  # type: ignore[misc]


def test_a_blob_is_the_same_however_it_came_and_however_it_is_read(place: Objects) -> None:
    with place.writer() as writer:
        writer.write(b"con")
        writer.write(b"tent")
        assert writer.sha256 == hashlib.sha256(b"content").hexdigest()
        written = writer.commit()
    assert place.put(b"content") == written == Blob(written.sha256, 7)
    assert place.get(written.sha256) == b"content"
    with place.local(written.sha256) as path:
        assert path.read_bytes() == b"content"


def test_every_promise_is_kept_by_name(place: Objects) -> None:
    with place.writer() as writer:
        for promise, kept in ((Objects, place), (BlobWriter, writer)):
            names = {name for name, value in vars(promise).items() if callable(value) and not name.startswith("_")}
            assert names
            assert names <= set(dir(kept))
