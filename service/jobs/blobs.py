"""What tenants sent ahead of their analyses: a blob is named by its sha256, in as many analyses as one likes.

A tenant names what it sent itself, and nothing else that is stored: every question here is one about its own rows, so
that neither an answer nor the time that it takes says anything of what others have. A blob is kept for a while after it
was sent, and as long as an analysis of its tenant is about it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Select, exists, func, select, update

from service.database import reading, writing
from service.jobs.holding import HELD, QuotaError, SizeOf, alone_for, insert_into, sizes_held
from service.jobs.store import Store
from service.jobs.tables import BLOBS, JOBS

BLOCK: Final = 4096
"""Bytes that the smallest blob counts."""
AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Kept:
    """A blob of a tenant."""

    sha256: str
    size: int
    kept_until: datetime


def keep_blob(store: Store, tenant: str, sha256: str, size_of: SizeOf, seconds: float, most: int = 0) -> bool:
    """Keep a blob, or keep it for longer; whether it is new to its tenant. Raises VanishedError.

    Raises QuotaError where the tenant's blobs would take more than `most` bytes with a new one (0: they may take any),
    also if several come at the same time.
    """
    with writing(store.engine) as connection:
        size = sizes_held(connection, [sha256], size_of)[sha256]
        mine = (BLOBS.c.tenant == tenant, BLOBS.c.sha256 == sha256)
        is_new = connection.execute(select(BLOBS.c.size).where(*mine)).first() is None
        if is_new and most:
            alone_for(connection, tenant)
            if connection.execute(_taken(tenant)).scalar_one() + size > most:
                raise QuotaError
        until = store.time() + timedelta(seconds=seconds)
        row = insert_into(connection, BLOBS).values(tenant=tenant, sha256=sha256, size=size, kept_until=until)
        connection.execute(row.on_conflict_do_update(index_elements=["tenant", "sha256"], set_={"kept_until": until}))
        return is_new


def blobs_of(store: Store, tenant: str, names: Collection[str]) -> dict[str, Kept]:
    """Those of these blobs that the tenant has, by name."""
    mine = select(BLOBS).where(BLOBS.c.tenant == tenant, BLOBS.c.sha256.in_(names))
    with reading(store.engine) as connection:
        return {row.sha256: Kept(row.sha256, row.size, row.kept_until) for row in connection.execute(mine)}


def blob_bytes(store: Store, tenant: str) -> int:
    """What the blobs of a tenant take."""
    with reading(store.engine) as connection:
        return int(connection.execute(_taken(tenant)).scalar_one())


def drop_blobs(store: Store, seconds: float) -> int:
    """Forget blobs whose time is over, a few; those that analyses of their tenants are about have as much again."""
    over = select(BLOBS.c.tenant, BLOBS.c.sha256).where(BLOBS.c.kept_until < store.time()).limit(AT_ONCE)
    with reading(store.engine) as connection:  # most often there are none, and nobody is kept from writing
        rows = connection.execute(over).all()
    dropped = 0
    for tenant, sha256 in rows:
        row = (BLOBS.c.tenant == tenant, BLOBS.c.sha256 == sha256, BLOBS.c.kept_until < store.time())
        used = exists().where(HELD.c.sha256 == sha256, HELD.c.job_id == JOBS.c.id, JOBS.c.tenant == tenant)
        with writing(store.engine) as connection:
            dropped += connection.execute(BLOBS.delete().where(*row, ~used)).rowcount
            connection.execute(update(BLOBS).where(*row).values(kept_until=store.time() + timedelta(seconds=seconds)))
    return dropped


def _taken(tenant: str) -> Select[int]:
    return select(func.coalesce(func.sum(BLOBS.c.size), 0) + BLOCK * func.count()).where(BLOBS.c.tenant == tenant)
