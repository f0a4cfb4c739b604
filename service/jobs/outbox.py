"""Jobs whose ids a broker has still to be told.

A row is queued before its id is published, so that a broker that is away loses nothing and refuses nobody. Which ids
were published is noted in the row; whatever puts a job back into the queue takes the note away. A message that was lost
is sent again once nothing waits at the broker while the row still does: twice does no harm, as a job is claimed once.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import or_, select, update

from service.database import writing
from service.jobs.job import State
from service.jobs.store import Store
from service.jobs.tables import JOBS, uses_gpu

AT_ONCE: Final = 100
LOST_AFTER: Final = timedelta(seconds=60)


def take_unpublished(store: Store, *, lost_too: bool) -> Sequence[tuple[str, bool]]:
    """The oldest ids that are to be published, and whether each needs a GPU; noted as published from now on.

    `lost_too`: also those that were published long ago.
    """
    never = JOBS.c.published.is_(None)
    wanted = or_(never, JOBS.c.published < store.time() - LOST_AFTER) if lost_too else never
    oldest = select(JOBS.c.id).where(JOBS.c.state == State.QUEUED, wanted).order_by(JOBS.c.created).limit(AT_ONCE)
    noted = update(JOBS).where(JOBS.c.id.in_(oldest.with_for_update(skip_locked=True).scalar_subquery()))
    with writing(store.engine) as connection:
        taken = connection.execute(noted.values(published=store.time()).returning(JOBS.c.id, uses_gpu()))
        return [(job_id, bool(gpu)) for job_id, gpu in taken]


def put_back(store: Store, ids: Sequence[str]) -> None:
    """They were not published."""
    with writing(store.engine) as connection:
        connection.execute(update(JOBS).where(JOBS.c.id.in_(ids)).values(published=None))
