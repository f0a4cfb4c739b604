"""Blobs in a folder: whole, durable, once."""

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.objects.blob import Blob
from service.objects.folder import ObjectFolder

CONTENT = b"weights" * 1000


@pytest.fixture
def objects(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(tmp_path)


def files(objects: ObjectFolder) -> list[Path]:
    return [path for path in objects.folder.rglob("*") if path.is_file()]


class BrokenError(Exception):
    pass


@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
def test_content_is_found_under_its_sha256(objects: ObjectFolder, content: bytes) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    assert objects.put(content) == Blob(sha256, len(content))
    assert objects.get(sha256) == content
    assert files(objects) == [objects.path(sha256)]
    assert objects.path(sha256) == objects.folder / sha256[:2] / sha256


def test_a_blob_can_be_read_as_a_file(objects: ObjectFolder) -> None:
    with objects.local(objects.put(CONTENT).sha256) as path:
        assert path.read_bytes() == CONTENT


def test_a_stream_is_the_sum_of_its_chunks(objects: ObjectFolder) -> None:
    with objects.writer() as writer:
        for start in range(0, len(CONTENT), 13):
            writer.write(CONTENT[start : start + 13])
        assert writer.size == len(CONTENT)
        blob = writer.commit()
    assert blob == Blob(hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    assert objects.get(blob.sha256) == CONTENT


def test_who_asks_for_it_has_what_is_there_stored_once_more(objects: ObjectFolder) -> None:
    name = objects.put(CONTENT).sha256
    (before,) = objects.found(name[:2])
    with objects.writer(anew=True) as writer:
        writer.write(CONTENT)
        assert writer.commit() == Blob(name, len(CONTENT))
    assert (objects.get(name), files(objects)) == (CONTENT, [objects.path(name)])
    assert not objects.remove(before)  # it is not the one that was found


def write_and_break(objects: ObjectFolder) -> None:
    with objects.writer() as writer:
        writer.write(CONTENT)
        raise BrokenError


def test_the_same_content_is_stored_once(objects: ObjectFolder) -> None:
    assert objects.put(CONTENT) == objects.put(CONTENT)
    assert len(files(objects)) == 1


def test_an_aborted_write_leaves_nothing(objects: ObjectFolder) -> None:
    with pytest.raises(BrokenError):
        write_and_break(objects)
    assert files(objects) == []


def test_what_is_not_committed_is_not_kept(objects: ObjectFolder) -> None:
    with objects.writer() as writer:
        writer.write(CONTENT)
    assert files(objects) == []


def test_an_aborted_write_does_not_touch_the_same_content_stored_before(objects: ObjectFolder) -> None:
    blob = objects.put(CONTENT)
    with pytest.raises(BrokenError):
        write_and_break(objects)
    assert objects.get(blob.sha256) == CONTENT
    assert len(files(objects)) == 1


def test_a_disk_that_fails_to_flush_leaves_nothing(objects: ObjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        objects.put(CONTENT)
    assert files(objects) == []


def test_a_blob_is_on_disk_before_it_has_its_name_and_its_name_before_put_returns(
    objects: ObjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    flushed: list[tuple[str, bool]] = []

    def record(descriptor: int) -> None:
        flushed.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), objects.path(sha256).exists()))

    monkeypatch.setattr(os, "fsync", record)
    objects.put(CONTENT)
    (part, named), *folders = flushed
    assert part.endswith(".part")
    assert not named
    assert folders == [(str(objects.path(sha256).parent), True), (str(objects.folder), True)]


def test_content_that_is_there_is_not_written_again_and_is_as_new(
    objects: ObjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = objects.put(CONTENT)
    (before,) = objects.found(blob.sha256[:2])
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(str(Path(f"/proc/self/fd/{number}").readlink())))
    assert objects.put(CONTENT) == blob
    assert flushed == [str(objects.path(blob.sha256).parent)], "who gave it its name may not have flushed that yet"
    (after,) = objects.found(blob.sha256[:2])
    assert after.version != before.version
    assert not objects.remove(before), "somebody has sent it since"
    assert files(objects) == [objects.path(blob.sha256)]


def test_what_is_there_under_the_name_but_of_another_size_is_written_again(objects: ObjectFolder) -> None:
    blob = objects.put(CONTENT)
    objects.path(blob.sha256).write_bytes(CONTENT[:10])
    objects.put(CONTENT)
    assert objects.get(blob.sha256) == CONTENT


def test_concurrent_writers_of_the_same_content_agree(objects: ObjectFolder) -> None:
    together = threading.Barrier(8)

    def write(_: int) -> Blob:
        with objects.writer() as writer:
            writer.write(CONTENT)
            together.wait(10)
            return writer.commit()

    with ThreadPoolExecutor(8) as pool:
        blobs = set(pool.map(write, range(8)))
    assert len(blobs) == 1
    assert objects.get(blobs.pop().sha256) == CONTENT
    assert len(files(objects)) == 1


def test_concurrent_writers_of_different_contents_do_not_mix(objects: ObjectFolder) -> None:
    contents = [bytes([number]) * 5000 for number in range(32)]
    with ThreadPoolExecutor(8) as pool:
        blobs = list(pool.map(objects.put, contents))
    assert [objects.get(blob.sha256) for blob in blobs] == contents
    assert len(files(objects)) == len(contents)


def test_a_reader_never_sees_half_a_blob(objects: ObjectFolder) -> None:
    sha256 = objects.put(CONTENT).sha256
    with ThreadPoolExecutor(1) as pool:
        rewriting = [pool.submit(objects.put, CONTENT) for _ in range(50)]
        while not all(write.done() for write in rewriting):
            assert objects.get(sha256) == CONTENT
    assert {write.result().sha256 for write in rewriting} == {sha256}


def test_what_was_never_stored_is_not_found(objects: ObjectFolder) -> None:
    with pytest.raises(FileNotFoundError):
        objects.get("0" * 64)


def test_what_a_killed_process_left_is_swept_away_and_nothing_else(objects: ObjectFolder) -> None:
    kept = objects.put(CONTENT)
    script = (
        "import os, sys, pathlib; from service.objects.folder import ObjectFolder;"
        "ObjectFolder(pathlib.Path(sys.argv[1])).writer().write(b'half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, objects.folder], check=False)
    assert len(files(objects)) == 2
    with objects.writer() as writer:
        writer.write(b"somebody still writes")
        objects.sweep()
        blob = writer.commit()
    assert set(files(objects)) == {objects.path(kept.sha256), objects.path(blob.sha256)}


def test_a_file_that_is_swept_before_it_is_locked_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects, make, made = ObjectFolder(tmp_path), tempfile.mkstemp, []

    def make_and_sweep(**how: object) -> tuple[int, str]:
        made.append(make(**how))
        if len(made) == 1:
            objects.sweep()
        return made[-1]

    monkeypatch.setattr(tempfile, "mkstemp", make_and_sweep)
    blob = objects.put(b"content")
    assert objects.get(blob.sha256) == b"content"
    assert len(made) == 2


def test_blobs_are_found_by_prefix_and_removed_unless_stored_anew(objects: ObjectFolder) -> None:
    one = objects.put(CONTENT)
    (found,) = objects.found(one.sha256[:2])
    assert (found.sha256, found.size, objects.size(one.sha256)) == (one.sha256, one.size, one.size)
    assert list(objects.found("00" if one.sha256[:2] != "00" else "11")) == []
    objects.put(CONTENT)
    assert not objects.remove(found)
    (found,) = objects.found(one.sha256[:2])
    assert objects.remove(found)
    assert not objects.remove(found)
    assert objects.size(one.sha256) is None
