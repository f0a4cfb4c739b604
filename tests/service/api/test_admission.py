"""No room on the disk, in the queue, or in a job table that somebody else holds."""

import errno
import shutil
import sqlite3
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from analysis.report import Report
from service import app as application
from service.app import create_app
from service.intake import body
from service.jobs.job import now
from service.notify.targets import NotConfiguredError
from service.objects.part import PartWriter
from service.settings import Settings
from tests.service.application import Service, job_of, problem_in, stored_files


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, free))


def service_of(tmp_path: Path, **settings: Any) -> Service:
    return Service(create_app(Settings(data_dir=tmp_path, default_wait_seconds=0.0, **settings)))


def test_a_body_that_would_leave_less_than_the_reserve_is_refused_unread(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = service.parts.settings.min_free_bytes
    with_free(monkeypatch, reserve + 100)  # the form alone is longer
    problem_in(service.submit(), HTTPStatus.INSUFFICIENT_STORAGE, "disk-full")
    assert stored_files(service) == 0
    with_free(monkeypatch, reserve + 10_000)
    assert service.submit().status_code == HTTPStatus.ACCEPTED


def test_below_its_reserve_a_service_is_not_ready(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.parts.store.seen("worker", now(), ready=True)
    assert service.get("/readyz").status_code == HTTPStatus.OK
    with_free(monkeypatch, service.parts.settings.min_free_bytes - 1)
    response = service.get("/readyz")
    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "room" in response.json()["checks"]["storage"]


def test_a_disk_that_becomes_full_on_the_way_keeps_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_writer: PartWriter, _chunk: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PartWriter, "write", full)
    problem_in(service.submit(), HTTPStatus.INSUFFICIENT_STORAGE, "disk-full")
    assert stored_files(service) == 0
    assert service.parts.store.claim("worker", now()) is None


def test_a_disk_that_others_fill_meanwhile_keeps_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room when the form begins, and none when its first bytes have come."""
    reserve = service.parts.settings.min_free_bytes
    monkeypatch.setattr(body, "RESERVE_EVERY", 64)
    free = iter([reserve + (1 << 20)] * 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, next(free, reserve - 1)))
    problem_in(service.submit(), HTTPStatus.INSUFFICIENT_STORAGE, "disk-full")
    assert stored_files(service) == 0
    assert service.parts.store.claim("worker", now()) is None


def test_a_full_queue_takes_no_new_job_and_lets_its_own_be_rejoined(tmp_path: Path, healthy: Report) -> None:
    service = service_of(tmp_path, max_queued_jobs=1)
    first = job_of(service.submit(headers={"Idempotency-Key": "a"}))
    response = service.submit()
    problem_in(response, HTTPStatus.SERVICE_UNAVAILABLE, "busy")
    assert int(response.headers["retry-after"]) > 0
    assert job_of(service.submit(headers={"Idempotency-Key": "a"})) == first
    service.succeed(healthy)
    assert service.submit().status_code == HTTPStatus.ACCEPTED
    service.parts.store.close()


def test_a_job_table_that_somebody_holds_is_503_and_not_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "BUSY_SECONDS", 0.05)
    service = service_of(tmp_path)
    holder = sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    response = service.submit()
    problem_in(response, HTTPStatus.SERVICE_UNAVAILABLE, "database-unavailable")
    assert int(response.headers["retry-after"]) > 0
    holder.execute("ROLLBACK")
    holder.close()
    assert service.submit().status_code == HTTPStatus.ACCEPTED
    service.parts.store.close()


def test_a_callback_is_kept_with_its_job_where_its_host_is_named_and_refused_elsewhere(tmp_path: Path) -> None:
    service = service_of(tmp_path, webhook_hosts="ci.example.org", webhook_secret="s" * 32)
    assert service.submit("?callback=https://ci.example.org/hook").status_code == HTTPStatus.ACCEPTED
    assert service.claim().callback == "https://ci.example.org/hook"
    refused = service.submit("?callback=https://127.0.0.1/")
    assert problem_in(refused, HTTPStatus.BAD_REQUEST, "callback-refused").where == "callback"
    service.parts.store.close()


def test_by_default_nobody_is_told(service: Service) -> None:
    refused = service.submit("?callback=https://ci.example.org/hook")
    told = problem_in(refused, HTTPStatus.BAD_REQUEST, "callback-refused")
    assert "GRADIENT_HEALTH_WEBHOOK_HOSTS" in told.hint
    assert stored_files(service) == 0


def test_webhooks_without_a_secret_do_not_start(tmp_path: Path) -> None:
    with pytest.raises(NotConfiguredError, match="GRADIENT_HEALTH_WEBHOOK_SECRET"):
        service_of(tmp_path, webhook_hosts="ci.example.org")
