"""The command that looks at a machine before a service is started on it."""

import importlib
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli import app
from tests.service.access.issuing import key_server

TOKENS = {"AUTH": "keys", "JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCE": "gradient-health"}
LAYERS = {"namespaces": "on", "landlock": "off: this kernel has no Landlock"}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments])


@pytest.fixture(autouse=True)
def _sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine without Landlock says."""
    monkeypatch.setattr(importlib.import_module("service.worker.checkup"), "sandbox_states", lambda _: LAYERS)


def lines(outcome: Result) -> dict[str, str]:
    """What was found, by what was looked at."""
    rows = [line.split("  ", 1) for line in outcome.stdout.splitlines()]
    return {what.strip(): " ".join(found.split()) for what, found in rows}


def test_a_machine_that_can_serve_is_told_with_what_it_has(tmp_path: Path) -> None:
    outcome = run("--data-dir", str(tmp_path / "data"))
    assert outcome.exit_code == 0
    found = lines(outcome)
    assert found["access"] == "ok 127.0.0.1, none"
    assert found["job table"] == "ok sqlite"
    assert found["sandbox: landlock"] == "ok off: this kernel has no Landlock"
    assert found["gradient-health"].startswith("ok ")


@pytest.mark.parametrize(
    ("settings", "what", "told"),
    [
        ({"HOST": "0.0.0.0"}, "access", "GRADIENT_HEALTH_AUTH is none"),
        ({"REQUIRE_SANDBOX": "1"}, "sandbox: landlock", "no Landlock"),
        ({"MIN_FREE_BYTES": str(1 << 60)}, "data folder", "MiB free"),
        ({"DATABASE_URL": "sqlite:////nowhere/jobs.sqlite"}, "job table", "OperationalError"),
        ({"AUTH": "keys", "JWT_ISSUER": "i"}, "tokens", "GRADIENT_HEALTH_JWT_AUDIENCE"),
        (TOKENS | {"JWT_KEYS_URL": "http://127.0.0.1:1/"}, "tokens", "127.0.0.1:1"),
    ],
)
def test_what_is_missing_is_named_and_ends_in_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], what: str, told: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"GRADIENT_HEALTH_{name}", value)
    outcome = run("--data-dir", str(tmp_path))
    assert outcome.exit_code == 3
    missing = {name: found for name, found in lines(outcome).items() if found.startswith("MISSING")}
    assert set(missing) == {what}
    assert told in missing[what]


def test_an_issuer_whose_keys_can_be_had_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with key_server() as server:
        for name, value in (TOKENS | {"JWT_KEYS_URL": server.url}).items():
            monkeypatch.setenv(f"GRADIENT_HEALTH_{name}", value)
        outcome = run("--data-dir", str(tmp_path))
    assert (outcome.exit_code, lines(outcome)["tokens"]) == (0, "ok https://issuer.example")


def test_a_folder_that_cannot_be_made_ends_the_look(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    outcome = run("--data-dir", str(tmp_path / "file" / "data"))
    assert outcome.exit_code == 3
    assert lines(outcome)["data folder"].startswith("MISSING")


def test_a_sandbox_that_does_not_start_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Path) -> dict[str, str]:
        raise OSError("no process")

    monkeypatch.setattr(importlib.import_module("service.worker.checkup"), "sandbox_states", fails)
    outcome = run("--data-dir", str(tmp_path))
    assert (outcome.exit_code, lines(outcome)["sandbox"]) == (3, "MISSING no process")
