"""Files that commands write: whole, all or none; mistakes are told with the name of the file."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from analysis.errors import BadOptions, BadReport
from service.cli._files import read_report, write_all, write_whole
from tests.analysis.comparison.small_reports import small_report


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"older and longer")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_where_one_file_cannot_be_written_none_is(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "missing" / "bad.json"
    good.write_bytes(b"older")
    with pytest.raises(BadOptions, match="No such file") as refused:
        write_all({good: b"new", bad: b"new"})
    assert refused.value.where == str(bad)
    assert good.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [good]


def test_a_pipe_and_a_link_stay_what_they_are(tmp_path: Path) -> None:
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    link.symlink_to(file)
    file.write_bytes(b"older and longer")
    with ThreadPoolExecutor() as threads:
        read = threads.submit(pipe.read_bytes)
        write_all({pipe: b"piped", link: b"linked"})
        assert read.result() == b"piped"
    assert (pipe.is_fifo(), link.readlink(), file.read_bytes()) == (True, file, b"linked")
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "link", "file"}


def test_a_device_that_takes_nothing_is_named_and_stays() -> None:
    full = Path("/dev/full")
    if not full.is_char_device():
        pytest.skip("there is no such device here")
    with pytest.raises(BadOptions, match="No space left") as refused:
        write_whole(full, b"report")
    assert refused.value.where == "/dev/full"
    assert full.is_char_device()


def test_a_report_is_read_and_what_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(small_report()))
    assert read_report(path).verdict == "healthy"
    path.write_text("{}")
    with pytest.raises(BadReport) as refused:
        read_report(path)
    assert str(path) in refused.value.where
    with pytest.raises(BadOptions, match="cannot be read") as missing:
        read_report(tmp_path / "missing.json")
    assert missing.value.where == str(tmp_path / "missing.json")
