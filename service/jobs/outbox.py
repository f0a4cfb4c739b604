"""Jobs whose ids a broker has still to be told.

A row is queued before its id is published, so that a broker that is away loses nothing and refuses nobody. Which ids
were published is noted in the row when they were: whoever dies between the two tells them twice, which does no harm, as
a job is claimed once. Whatever puts a job back into the queue takes the note away. A message that the broker lost is
sent again once nothing waits there while the row still does.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, func, or_, select, tuple_, update

from service.database import reading, writing
from service.jobs.job import State
from service.jobs.store import Store
from service.jobs.tables import JOBS, uses_gpu

AT_ONCE: Final = 100
LOST_AFTER: Final = timedelta(seconds=60)
LOCK: Final = 0x67_68_6F_75_74
"""Of PostgreSQL; its number means nothing but to ourselves, and it counts with that of the schema."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that a broker is to be told of."""

    job_id: str
    fence: int
    """As the row had it: who claimed the job since then has raised it."""
    gpu: bool


@contextmanager
def unpublished(store: Store, *, lost_too: bool) -> Iterator[Sequence[Waiting]]:
    """The oldest jobs that are to be published; none where another node is at it.

    On PostgreSQL no other node has any as long as the context lasts. `lost_too`: also those that were published long
    ago.
    """
    never = JOBS.c.published.is_(None)
    wanted = or_(never, JOBS.c.published < store.time() - LOST_AFTER) if lost_too else never
    oldest = select(JOBS.c.id, JOBS.c.fence, uses_gpu()).where(JOBS.c.state == State.QUEUED, wanted)
    oldest = oldest.order_by(JOBS.c.created).limit(AT_ONCE)
    with reading(store.engine) as connection:
        found = connection.execute(oldest).all() if _is_alone(connection) else []
        yield [Waiting(job_id, fence, bool(gpu)) for job_id, fence, gpu in found]


def note_published(store: Store, jobs: Sequence[Waiting]) -> None:
    """They were, but for those that somebody has claimed since: these may wait again, and are published again then."""
    if not jobs:
        return
    same = tuple_(JOBS.c.id, JOBS.c.fence).in_([(job.job_id, job.fence) for job in jobs])
    with writing(store.engine) as connection:
        connection.execute(update(JOBS).where(JOBS.c.state == State.QUEUED, same).values(published=store.time()))


def _is_alone(connection: Connection) -> bool:
    """Nodes that publish together would tell everything as often as there are nodes, where nothing keeps them apart."""
    if connection.dialect.name != "postgresql":
        return True
    lock = func.pg_try_advisory_xact_lock(LOCK + func.hashtext(func.current_schema()))
    return bool(connection.execute(select(lock)).scalar_one())
