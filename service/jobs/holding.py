"""Which objects jobs are about, so that those nobody of any tenant holds can be removed.

A job holds its inputs from the moment it is in the table, and its report and models from before it succeeds; a tenant
holds the blobs that it sent ahead (`blobs`). Who deletes a job lets go of them in the same statement. To hold is to
find every object there, under a lock that whoever removes one has alone:

    hold, then remove      the object is held, and stays
    remove, then hold      the object is missed (VanishedError), and its bytes have to be stored again

So nothing that is held is ever removed, whatever clocks say and whoever stores the same content meanwhile.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    String,
    Table,
    exists,
    func,
    literal,
    select,
    union,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine

from service.database import METADATA, reading, writing
from service.jobs.job import Job
from service.jobs.tables import BLOBS, JOBS, job_of

HELD: Final = Table(
    "held_objects",
    METADATA,
    Column("sha256", String(64), primary_key=True),
    Column("job_id", String(36), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Index("held_by_job", "job_id"),
)
REMOVED: Final = Table(
    "removed",
    METADATA,
    Column("what", String(20), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)
"""How many jobs and objects were removed so far by age, number and bytes, and for want of a job."""
LOCKS: Final = 0x67_68_68_65_6C_64_00
"""The first of 256 of PostgreSQL, one for the objects whose names begin alike; the number means nothing but to
ourselves. A place that is slow to remove an object so holds up few others. Writers of SQLite are alone anyhow."""
TENANT_LOCKS: Final = 0x67_68_74_00
"""The first half of the number of a tenant's lock; numbers of two halves are others than those of one."""
AFTER_HEX: Final = "g"
SizeOf = Callable[[str], int | None]
"""Bytes of the object of a sha256; None: it is not there."""


class QuotaError(ValueError):
    """A tenant would take more than it may."""


class VanishedError(OSError):
    """An object that was removed between its storing and its holding: it has to be stored again."""


def inputs_of(job: Job) -> set[str]:
    """The objects that a job was submitted with."""
    question = job.question
    return {question.model_sha256, *filter(None, [question.batch_sha256]), *question.data_files.values()}


def hold(connection: Connection, job_id: str, names: Collection[str], size_of: SizeOf) -> None:
    """Keep these objects as long as there is the job. Raises VanishedError, IntegrityError where there is no job."""
    _insert(connection, job_id, sizes_held(connection, names, size_of))


def sizes_held(connection: Connection, names: Collection[str], size_of: SizeOf) -> dict[str, int]:
    """The objects, none of which is removed before the transaction ends. Raises VanishedError."""
    _lock(connection, "pg_advisory_xact_lock_shared", names)
    sizes = {name: size_of(name) for name in names}
    gone = [name for name, size in sizes.items() if size is None]
    if gone:
        raise VanishedError(f"{len(gone)} objects are gone")
    return {name: size or 0 for name, size in sizes.items()}


def alone_for(connection: Connection, tenant: str) -> None:
    """No other transaction passes here for the same tenant before this one ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(TENANT_LOCKS, func.hashtext(tenant))))


def hold_as(connection: Connection, job_id: str, other: str) -> None:
    """Keep what another job keeps, which is there until the transaction ends."""
    theirs = select(HELD.c.sha256, literal(job_id), HELD.c.size).where(HELD.c.job_id == other)
    connection.execute(HELD.insert().from_select(["sha256", "job_id", "size"], theirs))


def hold_what_is_left(engine: Engine, job_id: str, names: Collection[str], size_of: SizeOf) -> None:
    """The same for a job of before there were holds, whose objects may be gone."""
    with writing(engine) as connection:
        _lock(connection, "pg_advisory_xact_lock_shared", names)
        if connection.execute(select(JOBS.c.id).where(JOBS.c.id == job_id).with_for_update()).first() is not None:
            _insert(connection, job_id, {name: size_of(name) or 0 for name in names})


def holding_nothing(engine: Engine, limit: int) -> list[Job]:
    """Jobs, a few, that do not hold their report or, where they have none, their model."""
    last = func.coalesce(JOBS.c.report_sha256, JOBS.c.model_sha256)
    held = exists().where(HELD.c.sha256 == last, HELD.c.job_id == JOBS.c.id)
    with reading(engine) as connection:
        return [job_of(row) for row in connection.execute(select(JOBS).where(~held).limit(limit))]


def held_under(engine: Engine, prefix: str) -> set[str]:
    """Those of the objects whose names begin so that somebody holds."""
    named = [
        select(table.c.sha256).where(table.c.sha256 >= prefix, table.c.sha256 < prefix + AFTER_HEX)
        for table in (HELD, BLOBS)
    ]
    with reading(engine) as connection:
        return set(connection.execute(union(*named)).scalars())


@contextmanager
def let_go(engine: Engine, name: str) -> Iterator[bool]:
    """Whether nobody holds an object, and nobody will before the context ends."""
    with writing(engine) as connection:
        _lock(connection, "pg_advisory_xact_lock", [name])
        holders = [select(table.c.sha256).where(table.c.sha256 == name).limit(1) for table in (HELD, BLOBS)]
        yield not any(connection.execute(holder).first() for holder in holders)


def held_bytes(engine: Engine) -> int:
    """Of all jobs; what several hold counts once. Reads all of the table."""
    sizes = select(func.max(HELD.c.size).label("size")).group_by(HELD.c.sha256).subquery()
    with reading(engine) as connection:
        return int(connection.execute(select(func.sum(sizes.c.size))).scalar_one() or 0)


def own_bytes(engine: Engine, job: Job) -> int:
    """Of what nobody holds but this job."""
    other = HELD.alias()
    shared = exists().where(other.c.sha256 == HELD.c.sha256, other.c.job_id != job.id)
    own = select(func.sum(HELD.c.size)).where(HELD.c.job_id == job.id, ~shared)
    with reading(engine) as connection:
        return int(connection.execute(own).scalar_one() or 0)


def note_removed(engine: Engine, what: str, number: int, size: int = 0) -> None:
    """Add to what was removed."""
    with writing(engine) as connection:
        insert = insert_into(connection, REMOVED).values(what=what, number=number, bytes=size)
        added = {"number": REMOVED.c.number + number, "bytes": REMOVED.c.bytes + size}
        connection.execute(insert.on_conflict_do_update(index_elements=[REMOVED.c.what], set_=added))


def removed(engine: Engine) -> Mapping[str, tuple[int, int]]:
    """`jobs` and `objects`, as far as there were some -> number and bytes."""
    with reading(engine) as connection:
        return {row.what: (row.number, row.bytes) for row in connection.execute(select(REMOVED))}


def _lock(connection: Connection, how: str, names: Collection[str]) -> None:
    if connection.dialect.name == "postgresql":
        for first in sorted({name[:2] for name in names}):
            connection.execute(select(getattr(func, how)(LOCKS + int(first, 16))))


def _insert(connection: Connection, job_id: str, sizes: Mapping[str, int]) -> None:
    rows = [{"sha256": name, "job_id": job_id, "size": size} for name, size in sizes.items()]
    connection.execute(insert_into(connection, HELD).on_conflict_do_nothing(), rows)


def insert_into(connection: Connection, table: Table) -> Any:
    """An insert that says what to do with a row that is there; SQL has no word for it that both know."""
    return {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[connection.dialect.name](table)
