"""What the API says besides reports, and its clients read: a job and its links."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from service.jobs.job import Job, State


class ProgressView(BaseModel):
    """How far a job is."""

    stage: str
    fraction: float


class JobView(BaseModel):
    """A job as clients see it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "0193a1c2-7e60-7c3e-9d55-2f6b1f0c8a11",
                "state": "running",
                "progress": {"stage": "prove", "fraction": 0.71},
                "created": "2026-11-23T12:00:00Z",
                "started": "2026-11-23T12:00:00Z",
                "finished": None,
                "labels": {},
                "error": None,
                "links": {
                    "self": "/v1/analyses/0193a1c2-7e60-7c3e-9d55-2f6b1f0c8a11",
                    "report": "/v1/analyses/0193a1c2-7e60-7c3e-9d55-2f6b1f0c8a11/report",
                },
            }
        }
    )

    id: str
    state: State
    progress: ProgressView
    created: datetime
    started: datetime | None
    finished: datetime | None
    labels: Mapping[str, str]
    error: Mapping[str, Any] | None
    """The problem a failed job ended with."""
    links: Mapping[str, str]


class JobList(BaseModel):
    """Jobs, newest first."""

    analyses: list[JobView]
    next: str | None
    """`cursor` of the next page; null: there is none."""


class Limits(BaseModel):
    """What an installation allows."""

    max_upload_bytes: int
    """Model and batch together."""
    max_blob_bytes_per_tenant: int
    """What blobs that were sent ahead may take together; 0: no limit of its own."""
    max_options_bytes: int
    max_comparison_bytes: int
    max_header_bytes: int
    min_upload_bytes_per_second: float
    idle_upload_seconds: float
    max_wait_seconds: float
    max_queued_jobs: int
    max_queued_jobs_per_tenant: int
    """0: no limit of its own."""
    max_submissions_per_minute_per_tenant: int
    """0: no limit."""
    max_bytes_per_day_per_tenant: int
    """0: no limit."""
    max_running_jobs_per_tenant: int
    """0: no limit of its own."""
    max_job_seconds: float
    """Wall clock of one analysis."""
    max_job_memory_bytes: int
    max_models_bytes: int
    """What the repaired models of one analysis may take together."""


def job_path(job_id: str) -> str:
    """Where a job is."""
    return f"/v1/analyses/{job_id}"


def view(job: Job) -> JobView:
    """A job as clients see it."""
    path = job_path(job.id)
    return JobView(
        id=job.id,
        state=job.state,
        progress=ProgressView(stage=job.stage, fraction=round(job.fraction, 3)),
        created=job.created,
        started=job.started,
        finished=job.finished,
        labels=job.labels,
        error=job.error if job.state.is_end else None,
        links={"self": path, "report": f"{path}/report"},
    )
