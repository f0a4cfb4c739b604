"""The tables as an operator brings them up to date before a service starts."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli import app
from service.migrations.upgrade import HEAD


@pytest.fixture(autouse=True)
def _own_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADIENT_HEALTH_DATABASE_URL", raising=False)


def upgrade(folder: Path) -> Result:
    return CliRunner().invoke(app, ["database", "upgrade", "--data-dir", str(folder)])


def test_what_was_done_is_said(tmp_path: Path) -> None:
    assert upgrade(tmp_path).stdout == f"version none became {HEAD}\n"
    assert upgrade(tmp_path).stdout == f"version {HEAD}, as before\n"


@pytest.mark.parametrize("command", ["upgrade", "serve", "keys"])
def test_a_database_of_a_newer_program_is_one_line_on_stderr(tmp_path: Path, command: str) -> None:
    upgrade(tmp_path)
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    words = {"upgrade": ["database", "upgrade"], "serve": ["serve", "--port", "0"], "keys": ["keys", "list"]}[command]
    outcome = CliRunner().invoke(app, [*words, "--data-dir", str(tmp_path)])
    assert isinstance(outcome.exception, SystemExit)
    assert outcome.exit_code == {"serve": 1}.get(command, 3)
    assert outcome.stderr.count("\n") == 1
    assert "version 9999" in outcome.stderr


def test_moved_objects_are_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIENT_HEALTH_OBJECTS_URL", f"file://{tmp_path}/moved")
    outcome = CliRunner().invoke(app, ["database", "adopt-objects", "--data-dir", str(tmp_path)])
    assert outcome.stdout == f"the objects of this database are in {tmp_path}/moved\n"
    (mark,) = (tmp_path / "moved" / "marks").iterdir()
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as database:
        assert database.execute("SELECT mark FROM object_place").fetchall() == [(mark.name,)]


def test_a_database_that_cannot_be_reached_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = upgrade(tmp_path / "file")
    assert (outcome.exit_code, outcome.stdout, outcome.stderr.count("\n")) == (3, "", 1)
