"""A job as clients see it."""

import dataclasses

from service.jobs.job import State
from service.schemas import JobView, job_path, view
from tests.service.jobs.small_jobs import NOW, small_job


def test_a_view_shows_the_job_and_where_to_go_on() -> None:
    job = dataclasses.replace(small_job(), state=State.RUNNING, started=NOW, stage="probe", fraction=0.34567)
    seen = view(job)
    assert (seen.id, seen.state, seen.created, seen.started) == (job.id, State.RUNNING, NOW, NOW)
    assert (seen.progress.stage, seen.progress.fraction) == ("probe", 0.346)
    assert seen.links == {"self": job_path(job.id), "report": f"{job_path(job.id)}/report"}


def test_what_a_first_attempt_died_of_is_no_error_of_a_job_under_way() -> None:
    job = dataclasses.replace(small_job(), error={"detail": "it died"})
    assert view(job).error is None
    assert view(dataclasses.replace(job, state=State.FAILED)).error == {"detail": "it died"}


def test_a_view_shows_nothing_of_tenants_owners_and_keys() -> None:
    job = dataclasses.replace(small_job(), tenant="secret", owner="secret", idempotency_key="secret")
    assert "secret" not in view(job).model_dump_json()


def test_what_the_service_says_is_what_a_client_reads() -> None:
    seen = view(small_job())
    assert JobView.model_validate_json(seen.model_dump_json()) == seen
