"""The job table, in SQLAlchemy Core: SQLite by default, PostgreSQL by URL.

Submitting is durable when it returns (WAL with synchronous=FULL). A claim is one transaction (`BEGIN IMMEDIATE`, or
`FOR UPDATE SKIP LOCKED`) that raises the fence and sets a lease; progress and ends carry the fence and change nothing
when it is stale.
"""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    select,
    update,
)
from sqlalchemy.engine import Engine
from sqlalchemy.types import TypeDecorator

from service.jobs.job import DEFAULT_TENANT, Job, Request, State, after_loss

LEASE: Final = timedelta(seconds=30)
ALIVE: Final = timedelta(seconds=15)
"""A worker that has not been seen for so long is gone."""
BUSY_SECONDS: Final = 30
"""So long a SQLite connection waits for the others."""
CREATION_LOCK: Final = 0x67_68_6A_6F_62_73
"""Nodes that start together on a new PostgreSQL make the tables one after the other."""


class _Utc(TypeDecorator[datetime]):
    """Aware datetimes on every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ARG002
        """Store UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ARG002
        """Read UTC."""
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


METADATA: Final = MetaData()
JOBS: Final = Table(
    "jobs",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(100), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("owner", Text),  # host and folder: no bound
    Column("lease_until", _Utc),
    Column("created", _Utc, nullable=False),
    Column("started", _Utc),
    Column("finished", _Utc),
    Column("stage", String(100), nullable=False),
    Column("fraction", Float, nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("model_name", Text, nullable=False),
    Column("batch_sha256", String(64)),
    Column("options", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("idempotency_key", String(255)),
    Column("report_sha256", String(64)),
    Column("error", Text),
    Column("labels", Text, nullable=False),
    Index("jobs_to_claim", "state", "created"),
    Index("jobs_by_digest", "tenant", "digest"),
    Index("jobs_by_key", "tenant", "idempotency_key", unique=True),
)
WORKERS: Final = Table(
    "workers",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("seen", _Utc, nullable=False),
    Column("ready", Integer, nullable=False),
)


class Store:
    """The table behind one URL."""

    def __init__(self, url: str) -> None:
        """Connect, and make the tables where there are none."""
        self.engine = _engine(url)
        with self._writing() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(CREATION_LOCK)))
            METADATA.create_all(connection)

    # -------------------------------------------------------------- clients

    def submit(self, job: Job) -> None:
        """Insert a queued job; durable when this returns."""
        with self._writing() as connection:
            connection.execute(JOBS.insert().values(**_values(job)))

    def get(self, job_id: str, tenant: str = DEFAULT_TENANT) -> Job | None:
        """A job of this tenant."""
        if "\0" in job_id:  # PostgreSQL would refuse the question
            return None
        return self._find(JOBS.c.id == job_id, JOBS.c.tenant == tenant)

    def by_key(self, key: str, tenant: str = DEFAULT_TENANT) -> Job | None:
        """The job of an idempotency key."""
        return self._find(JOBS.c.idempotency_key == key, JOBS.c.tenant == tenant)

    def rejoinable(self, digest: str, tenant: str = DEFAULT_TENANT) -> Job | None:
        """The newest job for the same bytes and options that is under way or succeeded."""
        states = [State.QUEUED, State.RUNNING, State.SUCCEEDED]
        return self._find(JOBS.c.digest == digest, JOBS.c.tenant == tenant, JOBS.c.state.in_(states))

    # -------------------------------------------------------------- workers

    def claim(self, owner: str, now: datetime) -> Job | None:
        """Take the oldest queued job: fence and attempt raised, lease set."""
        oldest = select(JOBS).where(JOBS.c.state == State.QUEUED).order_by(JOBS.c.created, JOBS.c.id).limit(1)
        with self._writing() as connection:
            row = connection.execute(oldest.with_for_update(skip_locked=True)).first()
            if row is None:
                return None
            change = {
                "state": State.RUNNING,
                "owner": owner,
                "attempt": row.attempt + 1,
                "fence": row.fence + 1,
                "lease_until": now + LEASE,
                "started": row.started or now,
                "stage": "starting",
            }
            connection.execute(update(JOBS).where(JOBS.c.id == row.id).values(**change))
        return self.get(row.id, row.tenant)

    def keep(self, job: Job, now: datetime, stage: str, fraction: float) -> bool:
        """Renew the lease and note progress; False: the job is no longer this worker's."""
        return self._change(job, lease_until=now + LEASE, stage=stage, fraction=fraction)

    def finish(
        self, job: Job, state: State, now: datetime, *, report: str | None = None, error: dict[str, Any] | None = None
    ) -> bool:
        """End a running job; False: it is no longer this worker's, and nothing changed."""
        return self._change(
            job,
            state=state,
            finished=now,
            lease_until=None,
            report_sha256=report,
            error=None if error is None else json.dumps(error),
            stage=state.value,
            fraction=1.0,
        )

    def release(self, job: Job) -> bool:
        """Give a running job back, as if it had not been claimed; the fence stays raised."""
        return self._change(
            job, state=State.QUEUED, owner=None, lease_until=None, attempt=job.attempt - 1, stage="queued", fraction=0.0
        )

    def reap(self, now: datetime, lost: dict[str, Any], owner: str | None = None) -> int:
        """Requeue or fail running jobs whose lease is over (or whose owner was this one); how many."""
        gone = JOBS.c.lease_until < now if owner is None else JOBS.c.owner == owner
        with self._reading() as connection:
            rows = connection.execute(select(JOBS).where(JOBS.c.state == State.RUNNING, gone)).all()
        return sum(self._lose(_job(row), now, lost) for row in rows)

    def seen(self, owner: str, now: datetime, *, ready: bool) -> None:
        """Note that a worker lives."""
        with self._writing() as connection:
            connection.execute(WORKERS.delete().where(WORKERS.c.owner == owner))
            connection.execute(WORKERS.insert().values(owner=owner, seen=now, ready=int(ready)))

    def workers(self, now: datetime) -> dict[str, bool]:
        """Living workers, and whether each is ready to compute."""
        alive = select(WORKERS).where(WORKERS.c.seen > now - ALIVE)
        with self._reading() as connection:
            return {row.owner: bool(row.ready) for row in connection.execute(alive)}

    def ping(self) -> None:
        """Raises where the database does not answer."""
        with self._reading() as connection:
            connection.execute(select(1))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    # -------------------------------------------------------------- inside

    def _lose(self, job: Job, now: datetime, lost: dict[str, Any]) -> bool:
        state = after_loss(job)
        if state is State.FAILED:
            return self.finish(job, state, now, error=lost)
        return self._change(job, state=state, owner=None, lease_until=None, stage="queued", fraction=0.0)

    def _change(self, job: Job, **values: Any) -> bool:
        own = (JOBS.c.id == job.id, JOBS.c.fence == job.fence, JOBS.c.state == State.RUNNING)
        with self._writing() as connection:
            return bool(connection.execute(update(JOBS).where(*own).values(**values)).rowcount)

    def _find(self, *conditions: Any) -> Job | None:
        newest = select(JOBS).where(*conditions).order_by(JOBS.c.created.desc()).limit(1)
        with self._reading() as connection:
            row = connection.execute(newest).first()
        return None if row is None else _job(row)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self.engine.connect().execution_options(reading=True) as connection:
            yield connection


def now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


def _engine(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS} if url.startswith("sqlite") else {})
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _tune_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _tune_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    _write_ahead(connection)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn WAL on. SQLite's busy timeout does not hold for this change (others that open the file may deadlock)."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    """Writers queue up at the start instead of failing in the middle."""
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _values(job: Job) -> dict[str, Any]:
    request = job.request
    return {
        "id": job.id,
        "tenant": job.tenant,
        "state": job.state,
        "attempt": job.attempt,
        "fence": job.fence,
        "created": job.created,
        "stage": job.stage,
        "fraction": job.fraction,
        "model_sha256": request.model_sha256,
        "model_name": request.model_name,
        "batch_sha256": request.batch_sha256,
        "options": request.options,
        "digest": request.digest,
        "idempotency_key": job.idempotency_key,
        "labels": json.dumps(dict(job.labels)),
    }


def _job(row: Row[Any]) -> Job:
    request = Request(row.model_sha256, row.model_name, row.batch_sha256, row.options, row.digest)
    return Job(
        id=row.id,
        request=request,
        created=row.created,
        state=State(row.state),
        tenant=row.tenant,
        attempt=row.attempt,
        fence=row.fence,
        owner=row.owner,
        lease_until=row.lease_until,
        started=row.started,
        finished=row.finished,
        stage=row.stage,
        fraction=row.fraction,
        idempotency_key=row.idempotency_key,
        report_sha256=row.report_sha256,
        error=None if row.error is None else json.loads(row.error),
        labels=json.loads(row.labels),
    )
