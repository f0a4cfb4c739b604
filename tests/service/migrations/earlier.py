"""Databases of earlier versions, and the jobs that lie in them."""

from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import Engine

from service.database import upgrade_tables, writing
from service.jobs.tables import row_of
from service.migrations import upgrade
from tests.service.jobs.small_jobs import small_job

CREATED = "2026-11-23 12:00:00.000000"


def insert_job(connection: Connection, **values: Any) -> str:
    """A job as a node of that version would have it; its id."""
    there = {each["name"] for each in inspect(connection).get_columns("jobs")}
    row = row_of(small_job()) | {"created": CREATED} | values
    row = {name: value for name, value in row.items() if name in there}
    names = ", ".join(row)
    connection.execute(text(f"INSERT INTO jobs ({names}) VALUES ({', '.join(f':{name}' for name in row)})"), row)
    return str(row["id"])


def database_of(engine: Engine, version: str, monkeypatch: pytest.MonkeyPatch, **values: Any) -> str:
    """Its tables, with one job; the id of that."""
    with monkeypatch.context() as before:
        before.setattr(upgrade, "HEAD", version)
        upgrade_tables(engine)
        with writing(engine) as connection:
            return insert_job(connection, **values)
