"""What is printed and wired before the server runs, and how a real one starts and stops."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from click.testing import Result
from typer.testing import CliRunner

from service.cli import app

SECONDS_TO_STOP = 20.0


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(os.environ):
        if name.startswith("GRADIENT_HEALTH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(logging.root, "handlers", [])  # what serves says everything to the stderr of its own test


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What would have been served: settings and the address bound."""
    seen: list[Any] = []

    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        parts = server.config.app.state.parts
        seen.extend((parts.settings, sockets[0].getsockname()))
        sockets[0].close()
        parts.store.close()

    monkeypatch.setattr(uvicorn.Server, "run", run)
    return seen


def serve(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["serve", *arguments])


def test_a_free_port_is_taken_and_printed(served: list[Any], tmp_path: Path) -> None:
    outcome = serve("--port", "0", "--data-dir", str(tmp_path))
    settings, (host, port) = served
    assert outcome.stdout == f"listening on http://127.0.0.1:{port}\n"
    assert (host, settings.data_dir) == ("127.0.0.1", tmp_path)
    assert port > 0


def test_an_address_of_version_6_is_printed_as_a_url(served: list[Any], tmp_path: Path) -> None:
    outcome = serve("--host", "::1", "--port", "0", "--data-dir", str(tmp_path))
    if "error: cannot serve on ::1" in outcome.stderr:
        pytest.skip("no IPv6 on this machine")
    url = httpx.URL(outcome.stdout.removeprefix("listening on ").strip())
    assert (url.host, url.port) == ("::1", served[1][1])


def test_options_win_over_the_environment_and_the_rest_comes_from_there(
    served: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIENT_HEALTH_PORT", "1")
    monkeypatch.setenv("GRADIENT_HEALTH_DATA_DIR", str(tmp_path / "there"))
    monkeypatch.setenv("GRADIENT_HEALTH_JOB_SLOTS", "3")
    serve("--port", "0")
    assert (served[0].port, served[0].job_slots, served[0].data_dir) == (0, 3, tmp_path / "there")
    assert (tmp_path / "there" / "jobs.sqlite").exists()


@pytest.mark.parametrize(
    ("arguments", "environment", "word"),
    [
        (["--port", "70000"], {}, "port"),
        (["--port", "-1"], {}, "port"),
        (["--port", "http"], {}, "--port"),
        ([], {"GRADIENT_HEALTH_PORT": "http"}, "port"),
        ([], {"GRADIENT_HEALTH_JOB_SLOTS": "0"}, "job_slots"),
        (["--nonsense"], {}, "--nonsense"),
    ],
    ids=str,
)
def test_wrong_settings_exit_with_2_and_are_named(
    served: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    word: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    outcome = serve("--data-dir", str(tmp_path), *arguments)
    assert isinstance(outcome.exception, SystemExit)
    assert (outcome.exit_code, outcome.stdout, served) == (2, "", [])
    assert word in outcome.stderr


def test_a_port_in_use_is_one_line_on_stderr(served: list[Any], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = serve("--port", str(port), "--data-dir", str(tmp_path))
    assert isinstance(outcome.exception, SystemExit)
    assert (outcome.exit_code, outcome.stdout, served) == (1, "", [])
    assert outcome.stderr.count("\n") == 1
    assert f"127.0.0.1 port {port}" in outcome.stderr
    assert "in use" in outcome.stderr


def test_a_data_folder_that_is_a_file_is_one_line_on_stderr(served: list[Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = serve("--port", "0", "--data-dir", str(tmp_path / "file"))
    assert isinstance(outcome.exception, SystemExit)
    assert (outcome.exit_code, outcome.stdout, served) == (1, "", [])
    assert outcome.stderr.count("\n") == 1
    assert str(tmp_path / "file") in outcome.stderr


def test_help_names_every_option() -> None:
    outcome = serve("--help")
    assert outcome.exit_code == 0
    for name in ("--host", "--port", "--data-dir"):
        assert name in outcome.stdout


# ------------------------------------------------------------------ a real one


@contextmanager
def started(folder: Path) -> Iterator["tuple[subprocess.Popen[str], str]"]:
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().removeprefix("listening on ").strip()
        finally:
            process.kill()


@pytest.mark.server
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("whole_group", [True, False], ids=["as from a terminal", "as from a process manager"])
def test_a_server_starts_answers_and_stops_on_a_signal_without_complaint(
    tmp_path: Path, number: int, whole_group: bool
) -> None:
    with started(tmp_path) as (process, url):
        with httpx.Client(base_url=url, transport=httpx.HTTPTransport(retries=5)) as client:
            assert client.get("/healthz").json()["status"] == "ok"
            while not client.get("/readyz").is_success:
                time.sleep(0.05)
        (os.killpg if whole_group else os.kill)(process.pid, number)
        _, said = process.communicate(timeout=SECONDS_TO_STOP)
    assert process.returncode in {0, -number, 128 + number}, said
    for word in ("Traceback", "Fatal", "Aborted", "ERROR"):
        assert word not in said, said
