"""What confines a job child here, asked of a real process."""

from pathlib import Path

import pytest

from service.worker.checkup import sandbox_states


def test_every_layer_has_a_state_and_this_process_stays_as_it_is(tmp_path: Path) -> None:
    states = sandbox_states(tmp_path)
    assert set(states) == {"namespaces", "rlimits", "landlock", "seccomp", "orphan_guard"}
    assert all(state.startswith(("on", "off: ")) for state in states.values())
    (tmp_path / "file").write_bytes(b"x")  # a confined process could not: files of 0 bytes are its limit


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="FileNotFoundError"):
        sandbox_states(tmp_path / "nowhere")
