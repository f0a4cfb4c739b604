"""A bell that PostgreSQL rings at every node when a job is queued (LISTEN and NOTIFY).

Who misses it, or has no such database, looks at the table all the same: the bell saves time, and nothing depends on it.
"""

import logging
import time
from typing import Any, Final

from sqlalchemy import Connection, func, select
from sqlalchemy.engine import Engine

from service.database import AWAY

CHANNEL: Final = func.concat("gradient_health_", func.md5(func.current_schema()))
"""Channels are those of a database, which may have the tables of several installations; a name has 63 bytes at most."""
AGAIN_SECONDS: Final = 5.0
log = logging.getLogger(__name__)


def ring(connection: Connection) -> None:
    """Heard by everybody when the transaction is committed."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, "")))


class Bell:
    """One node that listens, on a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        """Not yet listening."""
        self._engine = engine
        self._driver: Any = None
        self._asked = -AGAIN_SECONDS

    def ears(self) -> list[Any]:
        """What becomes readable when it rings; nothing where there is no bell, or none at the moment."""
        if self._driver is None and self._engine.dialect.name == "postgresql":
            self._listen()
        return [] if self._driver is None else [self._driver]

    def hush(self) -> None:
        """Take note of what rang."""
        if self._driver is None:
            return
        try:
            list(self._driver.notifies(timeout=0))
        except self._engine.dialect.loaded_dbapi.Error as error:
            log.warning("the bell of the job table is gone: %s", error)
            self.close()

    def close(self) -> None:
        """Listen no longer."""
        if self._driver is not None:
            self._driver.close()
            self._driver = None

    def _listen(self) -> None:
        if time.monotonic() - self._asked < AGAIN_SECONDS:
            return
        self._asked = time.monotonic()
        dialect = self._engine.dialect
        arguments, named = dialect.create_connect_args(self._engine.url)
        try:
            self._driver = dialect.connect(*arguments, autocommit=True, **named)
            with self._engine.connect() as connection:
                channel = connection.execute(select(CHANNEL)).scalar_one()
            self._driver.execute(f"LISTEN {channel}")
        except (*AWAY, dialect.loaded_dbapi.Error) as error:
            log.warning("the job table rings no bell: %s", error)
            self.close()
