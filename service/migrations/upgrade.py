"""A database brought to the tables of this program, in the transaction of whoever asks.

alembic keeps the versions and is loaded only where something is to be done: a database that is up to date costs one
question. There is no way back: a program that is older than its database says so and does not start.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from service.startup import CannotStartError

HEAD: Final = "0010"
"""The last of the versions."""
VERSION: Final = Table("alembic_version", MetaData(), Column("version_num", String(32)))
"""As alembic makes it."""


class NewerDatabaseError(CannotStartError):
    """A database that a newer program has upgraded."""

    def __init__(self, version: str) -> None:
        """`version` of the database."""
        super().__init__(
            f"the database has version {version}, this program knows none after {HEAD}: install a newer one"
        )


def version_of(connection: Connection) -> str | None:
    """Of the tables of a database; None: from before there were versions, or there are no tables."""
    if not inspect(connection).has_table(VERSION.name):
        return None
    return connection.execute(select(VERSION.c.version_num)).scalar_one_or_none()


def upgrade(connection: Connection) -> None:
    """Make the changes that are missing. Raises NewerDatabaseError."""
    version = version_of(connection)
    if version == HEAD:
        return
    if version is not None and version > HEAD:
        raise NewerDatabaseError(version)
    # .2 s of imports
    from alembic.migration import MigrationContext  # noqa: PLC0415
    from alembic.operations import Operations  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory(str(Path(__file__).parent))
    context = MigrationContext.configure(connection)
    with Operations.context(context):
        for script in reversed(list(scripts.iterate_revisions(HEAD, version or "base"))):
            script.module.upgrade()
    context.stamp(scripts, HEAD)
