"""The service whose processes are killed and stopped: every job ends with one result, nothing is left half written."""

import hashlib
import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from analysis.report import Report, Verdict
from service.objects.part import PART
from tests.acceptance.asking import BATCH, HEALTHY, LONG, SICK, long_job, refused, thorough
from tests.acceptance.conftest import Service, kill, serving, wait_until
from tests.gallery import mlp, xavier

pytestmark = pytest.mark.server


# ------------------------------------------------------------------ kill -9 in mid-job


def assert_one_result(service: Service, job_id: str, attempt: int) -> None:
    """Succeeded, with one whole report, and nothing half written anywhere."""
    view = service.until_end(job_id)
    assert (view["state"], view["error"], view["progress"]["fraction"]) == ("succeeded", None, 1.0)
    row = service.row(job_id)
    assert row.attempt == attempt
    answer = service.get(f"/v1/analyses/{job_id}/report")
    assert Report.from_json(answer.content).verdict is Verdict.UNHEALTHY
    stored = service.objects()[row.report_sha256]
    assert hashlib.sha256(stored).hexdigest() == row.report_sha256
    assert answer.content == Report.from_json(stored).model_copy(update={"id": job_id}).to_json()
    assert service.get(f"/v1/analyses/{job_id}/report").content == answer.content
    assert_nothing_half_written(service)


def assert_nothing_half_written(service: Service) -> None:
    for name, content in service.objects().items():
        assert hashlib.sha256(content).hexdigest() == name
    wait_until(lambda: service.work() == [], "the working folders removed")


def test_kill_9_of_the_child_is_a_clear_problem_and_the_service_goes_on(service: Service) -> None:
    """It is tried once more, and what dies twice has failed."""
    job_id = long_job(service, seed=10)
    first = service.until_at_work(job_id)
    kill(first)
    wait_until(lambda: service.row(job_id).attempt == 2, "the job is tried once more")
    second = service.until_at_work(job_id)
    assert second != first
    kill(second)
    view = service.until_end(job_id)
    assert view["state"] == "failed"
    problem = refused(service.get(f"/v1/analyses/{job_id}/report"))
    assert (problem.code, problem.status) == ("worker-crashed", 422)
    assert "SIGKILL" in problem.detail
    assert (service.row(job_id).attempt, service.row(job_id).report_sha256) == (2, None)
    assert service.post(model=HEALTHY, batch=BATCH).status_code == HTTPStatus.OK
    assert_nothing_half_written(service)


def test_kill_9_of_the_supervisor_loses_nothing_and_another_takes_its_place(service: Service) -> None:
    job_id, supervisor = long_job(service, seed=11), service.supervisor()
    child = service.until_at_work(job_id)
    kill(supervisor)
    wait_until(lambda: child not in service.processes(), "the orphan has ended")
    assert_one_result(service, job_id, attempt=2)
    assert service.supervisor() != supervisor


def test_kill_9_of_the_api_loses_no_job_and_a_client_rejoins_its_own(service: Service) -> None:
    parts = LONG | {"options": thorough(seed=12)}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.post, key="mine", **parts)
        mine = service.submitted("mine")
        service.until_at_work(mine)
        others = [service.submit(model=SICK, batch=BATCH, options=json.dumps({"seed": seed})) for seed in (13, 14)]
        service.end(signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            waiting.result()
    assert service.row(mine).state == "queued"
    service.start()
    again = service.post(key="mine", **parts)
    assert (again.status_code, again.headers["location"]) == (HTTPStatus.OK, f"/v1/analyses/{mine}")
    for job_id in (mine, *others):
        assert_one_result(service, job_id, attempt=1)


def test_kill_9_of_everything_at_once_loses_nothing_and_leaves_no_half_of_an_upload(service: Service) -> None:
    job_id = long_job(service, seed=15)
    service.until_at_work(job_id)
    with half_an_upload(service):
        service.kill_everything()
    assert service.row(job_id).state == "running"
    assert any(name.endswith(PART) for name in service.objects())
    service.start()
    assert_one_result(service, job_id, attempt=2)


@contextmanager
def half_an_upload(service: Service) -> Iterator[None]:
    """A client that has sent half of its request, more than is kept in memory, and waits."""
    body = b'--x\r\nContent-Disposition: form-data; name="model"; filename="m"\r\n\r\n' + HEALTHY * 64
    head = "POST /v1/analyses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(f"{head}Content-Length: {2 * len(body)}\r\n\r\n".encode() + body)
        wait_until(lambda: any(name.endswith(PART) for name in service.objects()), "the upload has begun")
        yield


# ------------------------------------------------------------------ stop, deadline, slots


def test_sigterm_answers_who_waits_stops_the_job_and_leaves_no_process(service: Service) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.post, key="stopped", **LONG, options=thorough(seed=16))
        job_id = service.submitted("stopped")
        service.until_at_work(job_id)
        assert service.end(signal.SIGTERM) in {0, -signal.SIGTERM, 128 + signal.SIGTERM}
        answer = waiting.result()
    assert (answer.status_code, answer.headers["location"]) == (HTTPStatus.ACCEPTED, f"/v1/analyses/{job_id}")
    released = service.row(job_id)
    assert (released.state, released.attempt, released.owner) == ("queued", 0, None)
    assert service.work() == []
    service.start()
    assert_one_result(service, job_id, attempt=1)


def test_a_job_over_its_deadline_says_so_and_the_next_one_runs(tmp_path: Path) -> None:
    with serving(tmp_path, max_job_seconds=3) as service:
        endless = mlp(20, "Sigmoid", xavier(), width=256)
        job_id = service.submit(model=endless, batch=BATCH, options=thorough(seed=17))
        assert service.until_end(job_id)["state"] == "expired"
        problem = refused(service.get(f"/v1/analyses/{job_id}/report"))
        assert (problem.code, problem.status) == ("job-expired", 422)
        assert "longer than 3 s" in problem.detail
        wait_until(lambda: service.child(job_id) is None, "the child has ended")
        quick = service.post(model=HEALTHY, batch=BATCH, options='{"effort": "quick"}')
        assert quick.status_code == HTTPStatus.OK, quick.text
        assert_nothing_half_written(service)


def test_two_slots_run_two_jobs_side_by_side(service: Service) -> None:
    jobs = [long_job(service, seed) for seed in (18, 19)]
    children = {service.until_at_work(job_id) for job_id in jobs}
    assert [service.view(job_id)["state"] for job_id in jobs] == ["running", "running"]
    assert len(children) == 2
    for job_id in jobs:
        service.until_end(job_id)  # both, before the object store is looked at: one may write while the other is done
    for job_id in jobs:
        assert_one_result(service, job_id, attempt=1)
    started, finished = zip(*((row.started, row.finished) for row in map(service.row, jobs)), strict=True)
    assert max(started) < min(finished)
