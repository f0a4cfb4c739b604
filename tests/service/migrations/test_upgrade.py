"""Databases become what the tables say, once, by one node at a time, or not at all."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Engine

from service.database import METADATA, open_engine, upgrade_tables, writing
from service.jobs.store import Store
from service.migrations import upgrade
from service.migrations.upgrade import HEAD, NewerDatabaseError

VERSIONS = Path(upgrade.__file__).parent


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    opened = open_engine(url)
    yield opened
    opened.dispose()


def test_an_empty_database_gets_the_tables_that_are_declared(engine: Engine) -> None:
    assert upgrade_tables(engine) == (None, HEAD)
    assert upgrade_tables(engine) == (HEAD, HEAD)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_database_of_every_earlier_version_becomes_the_same(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in versions():
        with monkeypatch.context() as earlier:
            earlier.setattr(upgrade, "HEAD", version)
            upgrade_tables(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def versions() -> list[str]:
    """Oldest first."""
    return [script.revision for script in ScriptDirectory(str(VERSIONS)).walk_revisions()][::-1]


def test_versions_are_numbers_in_one_line_and_the_last_is_known_without_alembic() -> None:
    assert versions() == [f"{number:04}" for number in range(1, len(versions()) + 1)]
    assert versions()[-1] == HEAD


def test_nodes_that_start_together_upgrade_once(url: str) -> None:
    def start(_: int) -> tuple[str | None, str | None]:
        with closing(Store(url)) as store:
            return upgrade_tables(store.engine)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(start, range(4))) == [(HEAD, HEAD)] * 4


def test_an_upgrade_that_fails_changes_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(MigrationContext, "stamp", broken)
    with pytest.raises(RuntimeError):
        upgrade_tables(engine)
    monkeypatch.undo()
    assert upgrade_tables(engine) == (None, HEAD)


def test_a_program_older_than_its_database_says_so_and_leaves_it_alone(engine: Engine) -> None:
    upgrade_tables(engine)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerDatabaseError, match=f"version 9999.*after {HEAD}"):
        upgrade_tables(engine)
