"""A network with nothing in it, looked at from inside."""

import os
from pathlib import Path

import pytest

from service.worker.namespaces import leave_namespaces
from tests.service.worker.in_child import in_child


def surroundings(folder: Path) -> tuple[str, str, int, int]:
    state = leave_namespaces()
    (folder / "file").write_bytes(b"")
    return state, Path("/proc/self/net/dev").read_text(), os.geteuid(), (folder / "file").stat().st_uid


def test_there_is_no_network_and_the_user_is_the_same(tmp_path: Path) -> None:
    state, devices, user, owner = in_child(surroundings, tmp_path)
    if state.startswith("off"):
        pytest.skip(state)
    assert [line.split(":")[0].strip() for line in devices.splitlines()[2:]] == ["lo"]
    assert user == owner == os.geteuid()
