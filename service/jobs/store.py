"""The job table: what clients and workers may do to a row.

Submitting is durable when it returns. A claim is one transaction that raises the fence and sets a lease; progress and
ends carry the fence and change nothing when it is stale. Times are those of the database where nobody says another one,
so that nodes whose clocks differ agree on leases; SQLite has the clock of its machine.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, DateTime, Select, bindparam, func, not_, or_, select, update
from sqlalchemy.exc import IntegrityError

from service.database import BUSY_SECONDS, open_engine, reading, upgrade_tables, writing
from service.jobs.bell import ring
from service.jobs.holding import QuotaError, SizeOf, alone_for, hold, hold_as, inputs_of
from service.jobs.job import DEFAULT_TENANT, Job, State, after_loss, now
from service.jobs.tables import DELETED, JOBS, WORKERS, job_of, row_of, uses_gpu

LEASE: Final = timedelta(seconds=30)
GOING_ON: Final = (State.QUEUED, State.RUNNING)
Device = Literal["any", "cpu", "gpu"]
ALIVE: Final = timedelta(seconds=15)
"""A worker that has not been seen for so long is gone."""
ITS_OWN: Final = select(JOBS).where(JOBS.c.id == bindparam("job_id"), JOBS.c.tenant == bindparam("tenant"))
"""Asked all the time, and built once: to build a statement takes longer than to run it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs a list has: any of the states (none: all of them), with all of the labels."""

    states: Collection[State] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """In SQL. Labels are JSON, in which a quoted name before a quoted value is a label and nothing else."""
        if self.states:
            yield JOBS.c.state.in_(list(self.states))
        for name, value in self.labels.items():
            label = json.dumps({name: value})[1:-1]
            yield func.replace(JOBS.c.labels, label, "") != JOBS.c.labels  # LIKE would ignore case


@dataclass(frozen=True, slots=True)
class Census:
    """How many jobs are in each state, and since when the one waits that has waited longest."""

    jobs: Mapping[State, int]
    oldest: datetime | None


class Store:
    """The table behind one URL."""

    def __init__(
        self, url: str, busy_seconds: float = BUSY_SECONDS, *, lease_seconds: float = LEASE.total_seconds()
    ) -> None:
        """Connect, and bring the tables up to date; a locked SQLite is waited for `busy_seconds`."""
        self.lease = timedelta(seconds=lease_seconds)
        self.engine = open_engine(url, busy_seconds)
        upgrade_tables(self.engine)

    def time(self) -> Any:
        """The moment at which a statement runs: an expression on PostgreSQL."""
        if self.engine.dialect.name == "sqlite":
            return now()
        return func.clock_timestamp(type_=DateTime(timezone=True))

    # -------------------------------------------------------------- clients

    def submit(self, job: Job, size_of: SizeOf | None = None, most: int = 0) -> None:
        """Insert a queued job, durable when this returns; with `size_of` it holds its inputs. Raises VanishedError.

        Raises QuotaError where more than `most` jobs of its tenant would wait (0: any number may), also if several come
        at the same time.
        """
        with writing(self.engine) as connection:
            connection.execute(JOBS.insert().values(**row_of(job)))
            if size_of is not None:
                hold(connection, job.id, inputs_of(job), size_of)
            if most:
                alone_for(connection, job.tenant)
                if connection.execute(_waiting(job.tenant)).scalar_one() > most:
                    raise QuotaError
            ring(connection)

    def get(self, job_id: str, tenant: str = DEFAULT_TENANT) -> Job | None:
        """A job of this tenant."""
        if "\0" in job_id:  # PostgreSQL would refuse the question
            return None
        with reading(self.engine) as connection:
            row = connection.execute(ITS_OWN, {"job_id": job_id, "tenant": tenant}).first()
        return None if row is None else job_of(row)

    def by_key(self, key: str, tenant: str = DEFAULT_TENANT) -> Job | None:
        """The job of an idempotency key."""
        return self._find(JOBS.c.idempotency_key == key, JOBS.c.tenant == tenant)

    def rejoinable(
        self, digest: str, tenant: str = DEFAULT_TENANT, ended_within: timedelta | None = None
    ) -> Job | None:
        """The newest job for the same bytes and options that is under way or succeeded, if so told not long ago."""
        there: ColumnElement[bool] = JOBS.c.state.in_([State.QUEUED, State.RUNNING, State.SUCCEEDED])
        if ended_within is not None:
            there &= or_(JOBS.c.finished.is_(None), JOBS.c.finished > self.time() - ended_within)
        return self._find(JOBS.c.digest == digest, JOBS.c.tenant == tenant, there)

    def answer(self, job: Job, not_older: timedelta, size_of: SizeOf | None = None) -> Job | None:
        """Insert a job that ends at once, with the newest report of its tenant for the same question.

        None: there is none that was computed within `not_older` and may answer again. The job holds what the earlier
        one holds, whatever becomes of that. Raises IntegrityError for a key that is taken.
        """
        same = (JOBS.c.digest == job.question.digest, JOBS.c.tenant == job.tenant)
        fresh = (JOBS.c.state == State.SUCCEEDED, JOBS.c.computed > self.time() - not_older)
        newest = select(JOBS).where(*same, *fresh).order_by(JOBS.c.computed.desc(), JOBS.c.id.desc()).limit(1)
        with reading(self.engine) as connection:  # most often there is none, and nobody is kept from writing
            if connection.execute(newest).first() is None:
                return None
        with writing(self.engine) as connection:
            earlier = connection.execute(newest.with_for_update(read=True)).first()  # it is not deleted meanwhile
            if earlier is None or (size_of is not None and size_of(earlier.report_sha256) is None):
                return None
            ended = {"state": State.SUCCEEDED, "stage": State.SUCCEEDED.value, "fraction": 1.0}
            found = {"report_sha256": earlier.report_sha256, "computed": earlier.computed}
            times = dict.fromkeys(("started", "finished"), self.time())
            row = connection.execute(JOBS.insert().values(**row_of(job) | ended | found | times).returning(JOBS)).one()
            hold_as(connection, job.id, earlier.id)
            return job_of(row)

    def page(self, tenant: str, wanted: Wanted, limit: int, before: str | None = None) -> list[Job]:
        """The newest jobs of a tenant that are wanted, newest first; with `before`, those older than that id."""
        conditions = [JOBS.c.tenant == tenant, *wanted.conditions()]
        if before is not None:
            conditions.append(JOBS.c.id < before)  # ids are in the order of time
        newest = select(JOBS).where(*conditions).order_by(JOBS.c.id.desc()).limit(limit)
        with reading(self.engine) as connection:
            return [job_of(row) for row in connection.execute(newest)]

    def delete(self, job: Job, at: datetime | None = None) -> bool:
        """Forget a job in any state but its id; False: somebody has already."""
        with writing(self.engine) as connection:
            if not connection.execute(JOBS.delete().where(JOBS.c.id == job.id)).rowcount:
                return False
            connection.execute(DELETED.insert().values(id=job.id, tenant=job.tenant, deleted=at or self.time()))
            return True

    def ended_first(self, limit: int, before: datetime | None = None, after_newest: int = 0) -> list[Job]:
        """Jobs of all tenants that have ended, those first that ended first.

        `before`: by then only; `after_newest`: but so many, which ended last.
        """
        ended: list[ColumnElement[bool]] = [JOBS.c.finished.is_not(None), JOBS.c.state.not_in(GOING_ON)]
        if before is not None:
            ended.append(JOBS.c.finished < before)
        order: Any = (JOBS.c.finished, JOBS.c.id)
        if after_newest:
            newest = select(JOBS.c.id).where(*ended).order_by(JOBS.c.finished.desc(), JOBS.c.id.desc())
            ended.append(JOBS.c.id.in_(newest.limit(limit).offset(after_newest)))
        with reading(self.engine) as connection:
            return [job_of(row) for row in connection.execute(select(JOBS).where(*ended).order_by(*order).limit(limit))]

    def going_on(self, job_ids: Collection[str]) -> set[str]:
        """Those of these jobs that have not ended."""
        wanted = select(JOBS.c.id).where(JOBS.c.id.in_(job_ids), JOBS.c.state.in_(GOING_ON))
        with reading(self.engine) as connection:
            return set(connection.execute(wanted).scalars())

    def standing(self, job_ids: Collection[str]) -> dict[str, Job]:
        """Those of these jobs that there are, of any tenant."""
        with reading(self.engine) as connection:
            found = connection.execute(select(JOBS).where(JOBS.c.id.in_(job_ids)))
            return {row.id: job_of(row) for row in found}

    def was_deleted(self, job_id: str, tenant: str = DEFAULT_TENANT) -> bool:
        """Whether there was a job of this id."""
        known = select(DELETED.c.id).where(DELETED.c.id == job_id, DELETED.c.tenant == tenant)
        with reading(self.engine) as connection:
            return connection.execute(known).first() is not None

    def census(self) -> Census:
        """Of all tenants."""
        counted = select(JOBS.c.state, func.count(), func.min(JOBS.c.id)).group_by(JOBS.c.state)
        with reading(self.engine) as connection:
            rows = {State(state): (count, first) for state, count, first in connection.execute(counted)}
            first = rows.get(State.QUEUED, (0, None))[1]
            oldest = select(JOBS.c.created).where(JOBS.c.id == first)
            since = None if first is None else connection.execute(oldest).scalar_one_or_none()
        return Census({state: count for state, (count, _) in rows.items()}, since)

    def queued(self, tenant: str | None = None) -> int:
        """How many jobs wait, of one tenant or of all."""
        with reading(self.engine) as connection:
            return connection.execute(_waiting(tenant)).scalar_one()

    def cancel(self, job: Job, at: datetime | None = None) -> bool:
        """End a job that has not ended; False: it has. Its worker, if it has one, sees that it is no longer its own."""
        ended = {"state": State.CANCELLED, "stage": State.CANCELLED.value, "lease_until": None}
        change = update(JOBS).where(JOBS.c.id == job.id, JOBS.c.state.in_(GOING_ON))
        change = change.values(**ended, finished=at or self.time())
        with writing(self.engine) as connection:
            return bool(connection.execute(change).rowcount)

    # -------------------------------------------------------------- workers

    def holds(self, job: Job) -> bool:
        """Whether a running job is still this worker's."""
        with reading(self.engine) as connection:
            return connection.execute(select(JOBS.c.id).where(*_own(job))).first() is not None

    def claim(
        self,
        owner: str,
        at: datetime | None = None,
        most_of_a_tenant: int = 0,
        *,
        device: Device = "any",
        job_id: str | None = None,
    ) -> Job | None:
        """Take the oldest queued job, or the one of this id: fence and attempt raised, lease set.

        Jobs of tenants of whom `most_of_a_tenant` are running are passed over (0: none are); on PostgreSQL nodes that
        claim at the same moment may take one more each. `device`: only jobs for it.
        """
        oldest = select(JOBS).where(JOBS.c.state == State.QUEUED).order_by(JOBS.c.created, JOBS.c.id).limit(1)
        if most_of_a_tenant:
            running = select(JOBS.c.tenant).where(JOBS.c.state == State.RUNNING).group_by(JOBS.c.tenant)
            oldest = oldest.where(JOBS.c.tenant.not_in(running.having(func.count() >= most_of_a_tenant)))
        if device != "any":
            oldest = oldest.where(uses_gpu() if device == "gpu" else not_(uses_gpu()))
        if job_id is not None:
            oldest = oldest.where(JOBS.c.id == job_id)
        moment = at or self.time()
        with reading(self.engine) as connection:  # most often there is none, and nobody is kept from writing
            if connection.execute(oldest).first() is None:
                return None
        with writing(self.engine) as connection:
            row = connection.execute(oldest.with_for_update(skip_locked=job_id is None)).first()
            if row is None:
                return None
            change = {
                "state": State.RUNNING,
                "owner": owner,
                "attempt": row.attempt + 1,
                "fence": row.fence + 1,
                "lease_until": moment + self.lease,
                "started": row.started or moment,
                "stage": "starting",
            }
            claimed = update(JOBS).where(JOBS.c.id == row.id).values(**change).returning(JOBS)
            return job_of(connection.execute(claimed).one())

    def keep(self, job: Job, at: datetime | None, stage: str, fraction: float) -> bool:
        """Renew the lease and note progress; False: the job is no longer this worker's."""
        return self._change(job, lease_until=(at or self.time()) + self.lease, stage=stage, fraction=fraction)

    def hold(self, job: Job, names: Collection[str], size_of: SizeOf) -> None:
        """Keep these objects as long as there is the job, where it is still this worker's. Raises VanishedError."""
        with suppress(IntegrityError), writing(self.engine) as connection:  # it may be deleted while a place is asked
            if connection.execute(select(JOBS.c.id).where(*_own(job))).first() is not None:
                hold(connection, job.id, names, size_of)

    def finish(
        self,
        job: Job,
        state: State,
        at: datetime | None = None,
        *,
        report: str | None = None,
        error: dict[str, Any] | None = None,
        answers_again: bool = False,
    ) -> bool:
        """End a running job; False: it is no longer this worker's, and nothing changed.

        `answers_again`: the report follows from the question alone, and may answer it again.
        """
        computed = (at or self.time()) if answers_again else None
        return self._end(job, state, at, report=report, error=error, computed=computed)

    def release(self, job: Job) -> bool:
        """Give a running job back, as if it had not been claimed; the fence stays raised."""
        return self._queue(job, attempt=job.attempt - 1)

    def retry(self, job: Job, error: dict[str, Any]) -> bool:
        """Queue a running job once more; the row keeps what its first attempt died of."""
        return self._queue(job, error=json.dumps(error))

    def reap(self, at: datetime | None, lost: dict[str, Any], owner: str | None = None) -> int:
        """Requeue or fail running jobs whose lease is over (or whose owner was this one); how many."""
        gone = JOBS.c.lease_until < (at or self.time()) if owner is None else JOBS.c.owner == owner
        with reading(self.engine) as connection:
            rows = connection.execute(select(JOBS).where(JOBS.c.state == State.RUNNING, gone)).all()
        return sum(self._lose(job_of(row), at, lost, gone) for row in rows)

    def seen(self, owner: str, at: datetime | None = None, *, ready: bool) -> None:
        """Note that a worker lives."""
        with writing(self.engine) as connection:
            connection.execute(WORKERS.delete().where(WORKERS.c.owner == owner))
            connection.execute(WORKERS.insert().values(owner=owner, seen=at or self.time(), ready=int(ready)))

    def workers(self, at: datetime | None = None) -> dict[str, bool]:
        """Living workers, and whether each is ready to compute."""
        alive = select(WORKERS).where(WORKERS.c.seen > (at or self.time()) - ALIVE)
        with reading(self.engine) as connection:
            return {row.owner: bool(row.ready) for row in connection.execute(alive)}

    def ping(self) -> None:
        """Raises where the database does not answer."""
        with reading(self.engine) as connection:
            connection.execute(select(1))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    # -------------------------------------------------------------- inside

    def _lose(self, job: Job, at: datetime | None, lost: dict[str, Any], gone: ColumnElement[bool]) -> bool:
        """False: its worker was only late."""
        if after_loss(job) is State.QUEUED:
            return self._queue(job, gone)
        return self._end(job, State.FAILED, at, gone, error=lost)

    def _queue(self, job: Job, *conditions: ColumnElement[bool], **values: Any) -> bool:
        waits: dict[str, Any] = {
            "state": State.QUEUED,
            "owner": None,
            "lease_until": None,
            "stage": "queued",
            "fraction": 0.0,
            "published": None,
        }
        return self._change(job, *conditions, **waits, **values)

    def _end(
        self,
        job: Job,
        state: State,
        at: datetime | None,
        *conditions: ColumnElement[bool],
        report: str | None = None,
        error: dict[str, Any] | None = None,
        computed: Any = None,
    ) -> bool:
        return self._change(
            job,
            *conditions,
            computed=computed,
            state=state,
            finished=at or self.time(),
            lease_until=None,
            report_sha256=report,
            error=None if error is None else json.dumps(error),
            stage=state.value,
            fraction=1.0,
        )

    def _change(self, job: Job, *conditions: ColumnElement[bool], **values: Any) -> bool:
        change = update(JOBS).where(*_own(job), *conditions).values(**values)
        with writing(self.engine) as connection:
            changed = bool(connection.execute(change).rowcount)
            if changed and values.get("state") is State.QUEUED:
                ring(connection)
            return changed

    def _find(self, *conditions: Any) -> Job | None:
        newest = select(JOBS).where(*conditions).order_by(JOBS.c.created.desc()).limit(1)
        with reading(self.engine) as connection:
            row = connection.execute(newest).first()
        return None if row is None else job_of(row)


def _own(job: Job) -> tuple[ColumnElement[bool], ...]:
    """Of a running job that nobody else has claimed since."""
    return JOBS.c.id == job.id, JOBS.c.fence == job.fence, JOBS.c.state == State.RUNNING


def _waiting(tenant: str | None) -> Select[int]:
    """How many jobs wait, of one tenant or of all."""
    waiting = select(func.count()).select_from(JOBS).where(JOBS.c.state == State.QUEUED)
    return waiting if tenant is None else waiting.where(JOBS.c.tenant == tenant)
