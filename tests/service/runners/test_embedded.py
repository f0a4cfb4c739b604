"""The supervisor that a service keeps: started, replaced and stopped; here a program of a few lines."""

import json
import sys
from pathlib import Path

import pytest

from service.runners import embedded
from service.runners.embedded import embedded_supervisor
from service.settings import Settings
from tests.service.worker.bench import wait_until

PROGRAM = """
import json, os, sys
from pathlib import Path
folder = Path(os.environ["GRADIENT_HEALTH_DATA_DIR"])
number = len(list(folder.glob("*.started")))
(folder / f"{number}.environment").write_text(json.dumps(dict(os.environ)))
(folder / f"{number}.started").touch()
if number == 0 and (folder / "fail").exists():
    sys.exit(3)
sys.stdin.read()
(folder / f"{number}.stopped").touch()
"""


@pytest.fixture(autouse=True)
def _program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of `python -m service.worker`."""
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\n{PROGRAM}")
    program.chmod(0o700)
    monkeypatch.setattr(embedded.sys, "executable", str(program))
    monkeypatch.setattr(embedded, "RESTART_SECONDS", 0.05)


def test_it_lives_as_long_as_the_service_and_is_told_the_settings(tmp_path: Path) -> None:
    with embedded_supervisor(Settings(data_dir=tmp_path, job_slots=3)):
        wait_until((tmp_path / "0.started").exists)
        assert not (tmp_path / "0.stopped").exists()
    assert (tmp_path / "0.stopped").exists()
    environment = json.loads((tmp_path / "0.environment").read_text())
    assert (environment["GRADIENT_HEALTH_JOB_SLOTS"], environment["OMP_NUM_THREADS"]) == ("3", "1")


def test_one_that_ends_by_itself_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "fail").touch()
    with embedded_supervisor(Settings(data_dir=tmp_path)):
        wait_until((tmp_path / "1.started").exists)
    assert "the supervisor ended with 3; another one starts" in caplog.messages
    assert (tmp_path / "1.stopped").exists()


def test_one_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.1)
    program = tmp_path / "program"
    program.write_text(program.read_text().replace("sys.stdin.read()", "__import__('time').sleep(60)"))
    with embedded_supervisor(Settings(data_dir=tmp_path)):
        wait_until((tmp_path / "0.started").exists)
    assert not (tmp_path / "0.stopped").exists()


def test_what_is_run_is_the_worker(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(program.read_text() + '\n(folder / "arguments").write_text(" ".join(sys.argv[1:]))\n')
    with embedded_supervisor(Settings(data_dir=tmp_path)):
        wait_until((tmp_path / "0.started").exists)
    assert (tmp_path / "arguments").read_text() == "-m service.worker"
