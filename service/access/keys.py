"""The table of API keys. A key that was revoked keeps its row, so that a list still says whose it was."""

import json
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Column, Row, String, Table, Text, select, update
from sqlalchemy.engine import Engine

from service.access.key import Key, Scope, Standing, issue, opens, split_token
from service.database import METADATA, Utc, reading, writing

KEYS: Final = Table(
    "api_keys",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("tenant", String(100), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created", Utc, nullable=False),
    Column("expires", Utc),
    Column("revoked", Utc),
)


class KeyTable:
    """The keys of a database whose tables have been made."""

    def __init__(self, engine: Engine) -> None:
        """Shares its connections with the job table."""
        self._engine = engine

    def add(self, key: Key) -> None:
        """Durable when this returns."""
        with writing(self._engine) as connection:
            connection.execute(KEYS.insert().values(**_row_of(key)))

    def find(self, token: str) -> Key | None:
        """The key of a token, whatever its standing; None: it is not one, or its secret is wrong."""
        parts = split_token(token)
        if parts is None:
            return None
        key_id, secret = parts
        key = self.get(key_id)
        return key if opens(secret, key) else None

    def get(self, key_id: str) -> Key | None:
        """The key of an id."""
        with reading(self._engine) as connection:
            row = connection.execute(select(KEYS).where(KEYS.c.id == key_id)).first()
        return None if row is None else _key_of(row)

    def all(self) -> list[Key]:
        """Oldest first."""
        with reading(self._engine) as connection:
            return [_key_of(row) for row in connection.execute(select(KEYS).order_by(KEYS.c.created, KEYS.c.id))]

    def revoke(self, key_id: str, now: datetime) -> bool:
        """End a key for good; False: there is none, or it has been revoked before."""
        own = (KEYS.c.id == key_id, KEYS.c.revoked.is_(None))
        with writing(self._engine) as connection:
            return bool(connection.execute(update(KEYS).where(*own).values(revoked=now)).rowcount)

    def rotate(self, key_id: str, now: datetime, overlap: timedelta) -> tuple[Key, str] | None:
        """A successor of a valid key, with its token: same tenant, scopes and lifetime.

        The old one goes on for the overlap, at most until its own expiry.

        None: there is no valid key of that id.
        """
        old = self.get(key_id)
        if old is None or old.standing(now) is not Standing.VALID:
            return None
        lifetime = None if old.expires is None else old.expires - old.created
        key, token = issue(old.tenant, old.scopes, now, lifetime)
        end = now + overlap if old.expires is None else min(old.expires, now + overlap)
        with writing(self._engine) as connection:
            connection.execute(KEYS.insert().values(**_row_of(key)))
            connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(expires=end))
        return key, token


def _row_of(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "sha256": key.sha256,
        "tenant": key.tenant,
        "scopes": json.dumps(sorted(key.scopes)),
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
    }


def _key_of(row: Row[Any]) -> Key:
    scopes = frozenset(map(Scope, json.loads(row.scopes)))
    return Key(row.id, row.sha256, row.tenant, scopes, row.created, row.expires, row.revoked)
