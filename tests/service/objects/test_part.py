"""Half-written blobs of this machine and of others that share the folder."""

import os
import socket
import time
from pathlib import Path

import pytest

from service.objects.blob import Blob
from service.objects.part import FORGOTTEN_SECONDS, PART, PartWriter, sweep_parts


def test_what_is_kept_is_flushed_and_named_by_whoever_keeps_it(tmp_path: Path) -> None:
    kept: list[tuple[bytes, str]] = []
    with PartWriter(tmp_path, lambda path, sha256: kept.append((path.read_bytes(), sha256))) as writer:
        writer.write(b"con")
        writer.write(b"tent")
        blob = writer.commit()
    assert kept == [(b"content", blob.sha256)]
    assert blob == Blob("ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73", 7)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "seconds", "stays"),
    [
        (socket.gethostname(), 0, False),
        (socket.gethostname(), FORGOTTEN_SECONDS + 60, False),
        ("another", 0, True),
        ("another", FORGOTTEN_SECONDS - 60, True),
        ("another", FORGOTTEN_SECONDS + 60, False),
    ],
)
def test_the_half_of_another_machine_is_swept_when_it_is_forgotten(
    tmp_path: Path, host: str, seconds: float, stays: bool
) -> None:
    """Its lock may not be seen here."""
    part = tmp_path / f"{host}-half{PART}"
    part.touch()
    os.utime(part, (time.time() - seconds,) * 2)
    sweep_parts(tmp_path)
    assert part.exists() is stays
