"""Jobs whose end somebody has still to be told, out of the job table: nothing is forgotten, and it may be told twice.

submitted with a callback -> due, as soon as it has ended -> told, or given up
                              ^ due again, later and later: not told |
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import select, update

from service.database import reading, writing
from service.jobs.job import Job
from service.jobs.store import GOING_ON, Store
from service.jobs.tables import JOBS, job_of

PAUSES: Final = tuple(timedelta(seconds=each) for each in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400))
"""After each attempt that failed, as Standard Webhooks recommends; after the last one no more."""
TELLING: Final = timedelta(seconds=60)
"""An attempt that a killed process has begun is made again after so long."""


@dataclass(frozen=True, slots=True)
class Callback:
    """Who is to be told what."""

    job: Job
    url: str
    attempt: int
    """From 1."""


class Outcome(StrEnum):
    """What became of an attempt."""

    TOLD = "told"
    FAILED = "failed"
    """There will be another one."""
    GIVEN_UP = "given_up"


def take_due(store: Store, most: int, busy: Collection[str] = ()) -> list[Callback]:
    """Those that are to be told now, by whoever asks, and by nobody else for a while; none of these tenants."""
    due = (JOBS.c.callback_due <= store.time(), JOBS.c.state.not_in(GOING_ON), JOBS.c.tenant.not_in(busy))
    oldest = select(JOBS.c.id).where(*due).order_by(JOBS.c.callback_due).limit(most)
    with reading(store.engine) as connection:  # most often there are none, and nobody is kept from writing
        if connection.execute(oldest).first() is None:
            return []
    taken = update(JOBS).where(JOBS.c.id.in_(oldest.with_for_update(skip_locked=True).scalar_subquery()))
    later = {"callback_due": store.time() + TELLING, "callback_attempts": JOBS.c.callback_attempts + 1}
    with writing(store.engine) as connection:
        rows = connection.execute(taken.values(later).returning(JOBS)).all()
    return [Callback(job_of(row), row.callback, row.callback_attempts) for row in rows]


def settle(store: Store, callback: Callback, *, told: bool) -> bool:
    """Note what became of an attempt; whether there will be another one."""
    again = not told and callback.attempt <= len(PAUSES)
    due = store.time() + PAUSES[callback.attempt - 1] if again else None
    with writing(store.engine) as connection:
        connection.execute(update(JOBS).where(JOBS.c.id == callback.job.id).values(callback_due=due))
    return again
