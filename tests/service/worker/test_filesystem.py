"""Which files are within reach, asked in a child, whose reach does not come back."""

import os
import sys
from pathlib import Path

import pytest

from service.worker.filesystem import restrict_files
from tests.service.worker.in_child import in_child, outcome


def reach(folder: Path, file: Path) -> tuple[str, dict[str, str]]:
    state = restrict_files(folder, [file])
    beside = file.with_name("beside")
    return state, {
        "read the file": outcome(file.read_bytes),
        "write the file": outcome(lambda: file.write_bytes(b"")),
        "read beside it": outcome(beside.read_bytes),
        "look around": outcome(lambda: list(file.parent.iterdir())),
        "read in the folder": outcome((folder / "own").read_bytes),
        "write in the folder": outcome(lambda: (folder / "new").write_bytes(b"new")),
        "rename there": outcome(lambda: (folder / "new").rename(folder / "newer")),
        "remove there": outcome((folder / "newer").unlink),
        "link there": outcome(lambda: (folder / "link").symlink_to(beside)),
        "make a pipe there": outcome(lambda: os.mkfifo(folder / "pipe")),
        "read the library": outcome(Path(os.__file__).read_bytes),
        "read of itself": outcome(Path("/proc/self/status").read_bytes),
        "read of another": outcome(Path(f"/proc/{os.getppid()}/status").read_bytes),
    }


def test_a_file_can_be_read_a_folder_written_and_nothing_else_is_there(tmp_path: Path) -> None:
    for name in ("objects", "work"):
        (tmp_path / name).mkdir()
    for name in ("objects/file", "objects/beside", "work/own"):
        (tmp_path / name).write_bytes(b"content")
    state, outcomes = in_child(reach, tmp_path / "work", tmp_path / "objects" / "file")
    if state.startswith("off"):
        pytest.skip(state)
    refused = {name for name, said in outcomes.items() if said == "PermissionError"}
    assert refused == {
        "write the file", "read beside it", "look around", "link there", "make a pipe there", "read of another",
    }  # fmt: skip
    assert set(outcomes.values()) == {"done", "PermissionError"}
    assert (tmp_path / "objects" / "file").read_bytes() == b"content"


def read_package(folder: Path, packages: Path) -> tuple[str, str, str]:
    sys.path.append(str(packages))
    state = restrict_files(folder, [])
    return state, outcome((packages / "module.py").read_bytes), outcome((packages.parent / "secret").read_bytes)


def test_packages_that_lie_elsewhere_can_be_read_too_and_what_is_beside_them_cannot(tmp_path: Path) -> None:
    packages = tmp_path / "elsewhere" / "site-packages"
    packages.mkdir(parents=True)
    for path in (packages / "module.py", packages.parent / "secret"):
        path.write_bytes(b"")
    (tmp_path / "work").mkdir()
    state, module, secret = in_child(read_package, tmp_path / "work", packages)
    if state.startswith("off"):
        pytest.skip(state)
    assert (module, secret) == ("done", "PermissionError")
