"""What confines a job child here, asked of a real process."""

from pathlib import Path

import pytest

from service.worker.checkup import NOTE, note_states, noted_states, sandbox_states


def test_every_layer_has_a_state_and_this_process_stays_as_it_is(tmp_path: Path) -> None:
    states = sandbox_states(tmp_path)
    assert set(states) == {"namespaces", "rlimits", "landlock", "seccomp", "orphan_guard"}
    assert all(state.startswith(("on", "off: ")) for state in states.values())
    (tmp_path / "file").write_bytes(b"x")  # a confined process could not: files of 0 bytes are its limit


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="FileNotFoundError"):
        sandbox_states(tmp_path / "nowhere")


def test_what_was_found_is_written_down_and_read_again(tmp_path: Path) -> None:
    assert noted_states(tmp_path) == {}
    note_states(tmp_path)
    assert noted_states(tmp_path) == sandbox_states(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [NOTE]
    (tmp_path / NOTE).write_text("half a not")
    assert noted_states(tmp_path) == {}
