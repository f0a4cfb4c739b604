"""The tables of jobs, of those deleted, of workers and of blobs sent ahead: their columns, and a row as a job."""

import json
from typing import Any, Final

from sqlalchemy import BigInteger, Column, ColumnElement, Float, Index, Integer, Row, String, Table, Text

from service.database import METADATA, Utc
from service.jobs.job import Job, Question, State

JOBS: Final = Table(
    "jobs",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(100), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("owner", Text),  # host and folder: no bound
    Column("lease_until", Utc),
    Column("created", Utc, nullable=False),
    Column("started", Utc),
    Column("finished", Utc),
    Column("stage", String(100), nullable=False),
    Column("fraction", Float, nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("model_name", Text, nullable=False),
    Column("batch_sha256", String(64)),
    Column("options", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("data_files", Text, nullable=False),
    Column("idempotency_key", String(255)),
    Column("report_sha256", String(64)),
    Column("error", Text),
    Column("labels", Text, nullable=False),
    Column("published", Utc),  # to a broker, where there is one
    Column("computed", Utc),  # when its report was, if that answers the same question again
    Column("callback", Text),  # a URL
    Column("callback_due", Utc),  # once it has ended; null: nobody is to be told any more
    Column("callback_attempts", Integer, nullable=False, server_default="0"),
    Column("trace_id", String(32)),
    Column("traceparent", String(55)),
    Index("jobs_to_claim", "state", "created"),
    Index("jobs_by_digest", "tenant", "digest"),
    Index("jobs_by_key", "tenant", "idempotency_key", unique=True),
    Index("jobs_by_end", "finished"),
    Index("jobs_by_callback", "callback_due"),
)
WORKERS: Final = Table(
    "workers",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("seen", Utc, nullable=False),
    Column("ready", Integer, nullable=False),
)
DELETED: Final = Table(
    "deleted_jobs",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(100), nullable=False),
    Column("deleted", Utc, nullable=False),
)
"""What remains of a job that was deleted, so that its id can be answered for."""


BLOBS: Final = Table(
    "blobs",
    METADATA,
    Column("tenant", String(100), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("kept_until", Utc, nullable=False),
    Index("blobs_by_name", "sha256"),
    Index("blobs_by_time", "kept_until"),
)
"""What a tenant sent ahead of its analyses, and may name in them."""


def uses_gpu() -> ColumnElement[bool]:
    """In SQL. Options are JSON, in which a quoted name before a quoted value is a choice and nothing else."""
    return JOBS.c.options.contains('"device":"cuda"', autoescape=True)


def row_of(job: Job) -> dict[str, Any]:
    """The columns of a job that waits, or that ended with an earlier report as soon as it came."""
    question = job.question
    return {
        "id": job.id,
        "tenant": job.tenant,
        "state": job.state,
        "attempt": job.attempt,
        "fence": job.fence,
        "created": job.created,
        "stage": job.stage,
        "fraction": job.fraction,
        "model_sha256": question.model_sha256,
        "model_name": question.model_name,
        "batch_sha256": question.batch_sha256,
        "options": question.options,
        "digest": question.digest,
        "data_files": json.dumps(dict(question.data_files)),
        "idempotency_key": job.idempotency_key,
        "labels": json.dumps(dict(job.labels)),
        "trace_id": job.trace_id,
        "traceparent": job.traceparent,
        "callback": job.callback,
        "callback_due": None if job.callback is None else job.created,
    }


def job_of(row: Row[Any]) -> Job:
    """The job in a row."""
    question = Question(
        row.model_sha256, row.model_name, row.batch_sha256, row.options, row.digest, json.loads(row.data_files)
    )
    return Job(
        id=row.id,
        question=question,
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
        callback=row.callback,
        trace_id=row.trace_id,
        traceparent=row.traceparent,
    )
