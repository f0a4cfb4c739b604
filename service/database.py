"""The engine of SQLite or PostgreSQL, in SQLAlchemy Core, and how transactions begin.

SQLite by default: WAL with synchronous=FULL, so that what is committed is durable, and `BEGIN IMMEDIATE`, so that
writers wait for each other at the start of a transaction.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, DateTime, MetaData, create_engine, event, func, select
from sqlalchemy.engine import Engine
from sqlalchemy.types import TypeDecorator

BUSY_SECONDS: Final = 30
"""So long a SQLite connection waits for the others."""
CREATION_LOCK: Final = 0x67_68_6A_6F_62_73
"""Nodes that start together on a new PostgreSQL make the tables one after the other."""
METADATA: Final = MetaData()
"""All tables; each is declared in the room it belongs to."""


class Utc(TypeDecorator[datetime]):
    """Aware datetimes on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ARG002
        """Store UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ARG002
        """Read UTC."""
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def open_engine(url: str, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """An engine for a URL; a SQLite connection waits `busy_seconds` for the others."""
    engine = create_engine(url, connect_args={"timeout": busy_seconds} if url.startswith("sqlite") else {})
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _tune_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def create_tables(engine: Engine) -> None:
    """Make the tables that are declared and not there."""
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(CREATION_LOCK)))
        METADATA.create_all(connection)


def writing(engine: Engine) -> AbstractContextManager[Connection]:
    """A transaction that may change something, committed at the end."""
    return engine.begin()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that waits for no writer."""
    with engine.connect().execution_options(reading=True) as connection:
        yield connection


def _tune_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    _write_ahead(connection)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn WAL on. SQLite's busy timeout does not hold for this change (others that open the file may deadlock)."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    """Writers queue up at the start instead of failing in the middle."""
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
