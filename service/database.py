"""The engine of SQLite or PostgreSQL, in SQLAlchemy Core, and how transactions begin.

SQLite by default: WAL with synchronous=FULL, so that what is committed is durable, and `BEGIN IMMEDIATE`, so that
writers wait for each other at the start of a transaction.
"""

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import URL, Connection, DateTime, MetaData, create_engine, event, exc, func, make_url, select
from sqlalchemy.engine import Engine
from sqlalchemy.types import TypeDecorator

from service.migrations.upgrade import upgrade, version_of

BUSY_SECONDS: Final = 30
"""So long a SQLite connection waits for the others."""
START_LOCK: Final = 0x67_68_6A_6F_62_73
"""Of PostgreSQL; its number means nothing but to ourselves."""
PATIENCE: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
"""Of a connection to PostgreSQL: a machine that vanished is noticed in seconds, not after TCP's quarter of an hour."""
AWAY: Final = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
"""What is raised where a database is away, locked or full, or has no connection left: later it may answer."""
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
    if not url.startswith("sqlite"):
        return create_engine(_patient(make_url(url)), pool_pre_ping=True)  # a server that restarts closes what was open
    engine = create_engine(url, connect_args={"timeout": busy_seconds})
    event.listen(engine, "connect", _tune_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def brief(error: Exception) -> str:
    """What a database said, without the statement that it was asked."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]


def tell_of(log: logging.Logger, what: str, error: Exception) -> None:
    """Of a thread that goes on all the same: a line where a database or a place is away, the trace of anything else."""
    if isinstance(error, (*AWAY, OSError)):
        log.warning("%s: %s", what, brief(error))
    else:
        log.error("%s, and goes on", what, exc_info=error)


def _patient(url: URL) -> URL:
    """A URL of libpq's with all of PATIENCE that it does not state itself."""
    if url.get_driver_name() not in {"psycopg", "psycopg2"}:
        return url
    return url.update_query_dict({name: value for name, value in PATIENCE.items() if name not in url.query})


def upgrade_tables(engine: Engine) -> tuple[str | None, str | None]:
    """Make or change the tables as this program needs them: all of it, or nothing; the versions before and after.

    Raises NewerDatabaseError.
    """
    with alone(engine) as connection:
        before = version_of(connection)
        upgrade(connection)
        return before, version_of(connection)


@contextmanager
def alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that waits for all others of this kind: what nodes that start together do one after the other."""
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(START_LOCK)))
        yield connection


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
