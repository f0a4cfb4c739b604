"""Jobs as a client manages them: pages, labels, an early end, and none at all."""

from http import HTTPStatus

import pytest

from analysis.report import Report
from service.jobs.job import State
from tests.service.application import Service, job_of, problem_in


def submitted(service: Service, count: int, query: str = "") -> list[str]:
    return [job_of(service.submit(query)) for _ in range(count)]


def listed(service: Service, query: str = "") -> list[str]:
    return [job["id"] for job in service.get(f"/v1/analyses{query}").json()["analyses"]]


# ------------------------------------------------------------------ list


def test_pages_have_every_job_once_newest_first_whatever_comes_meanwhile(service: Service) -> None:
    jobs = submitted(service, 5)
    seen, query = list[str](), "?limit=2"
    while True:
        page = service.get(f"/v1/analyses{query}").json()
        seen += [job["id"] for job in page["analyses"]]
        submitted(service, 1)
        if page["next"] is None:
            break
        query = f"?limit=2&cursor={page['next']}"
    assert seen == sorted(jobs, reverse=True)


def test_a_list_of_nothing_is_empty(service: Service) -> None:
    assert service.get("/v1/analyses").json() == {"analyses": [], "next": None}


def test_states_are_chosen(service: Service, healthy: Report) -> None:
    done, waiting = submitted(service, 1), list[str]()
    service.succeed(healthy)
    waiting = submitted(service, 2)
    assert set(listed(service, "?state=queued")) == set(waiting)
    assert listed(service, "?state=succeeded") == done
    assert set(listed(service, "?state=succeeded&state=queued")) == {*done, *waiting}


def test_labels_are_kept_told_and_chosen_exactly(service: Service) -> None:
    (job,) = submitted(service, 1, "?project=Net&commit=abc&model_version=2.1")
    (other,) = submitted(service, 1, "?project=net&commit=abcd")
    (tricky,) = submitted(service, 1, '?project="commit": "abc"&model_version=100%25_')
    assert service.get(f"/v1/analyses/{job}").json()["labels"] == {
        "project": "Net",
        "commit": "abc",
        "model_version": "2.1",
    }
    assert listed(service, "?project=Net") == listed(service, "?commit=abc") == [job]
    assert listed(service, "?project=net") == [other]
    assert listed(service, "?model_version=100%25_") == [tricky]
    assert listed(service, "?project=Net&commit=abcd") == listed(service, "?model_version=100%25x") == []


def test_jobs_of_another_tenant_are_not_listed(service: Service) -> None:
    submitted(service, 1)
    with service.parts.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET tenant = 'other'")
    assert listed(service) == []


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "state=done", "cursor=%00", "cursor=x", "project="])
def test_a_bad_query_names_its_parameter(service: Service, query: str) -> None:
    problem = problem_in(service.get(f"/v1/analyses?{query}"), HTTPStatus.BAD_REQUEST, "bad-request")
    assert query.partition("=")[0] in problem.where


# ------------------------------------------------------------------ cancel


@pytest.mark.parametrize("running", [True, False])
def test_a_job_that_has_not_ended_is_cancelled_at_once_and_its_result_refused(service: Service, running: bool) -> None:
    (job_id,) = submitted(service, 1)
    job = service.claim() if running else None
    for _ in range(2):
        response = service.ask("POST", f"/v1/analyses/{job_id}/cancel")
        assert (response.status_code, response.json()["state"]) == (HTTPStatus.OK, "cancelled")
    assert job is None or not service.parts.store.holds(job)
    problem_in(service.get(f"/v1/analyses/{job_id}/report"), HTTPStatus.GONE, "job-cancelled")


def test_what_has_ended_by_itself_cannot_be_cancelled(service: Service, healthy: Report) -> None:
    (job_id,) = submitted(service, 1)
    service.succeed(healthy)
    response = service.ask("POST", f"/v1/analyses/{job_id}/cancel")
    assert "succeeded" in problem_in(response, HTTPStatus.CONFLICT, "already-ended").detail
    assert service.get(f"/v1/analyses/{job_id}/report").status_code == HTTPStatus.OK


# ------------------------------------------------------------------ delete


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.FAILED])
def test_what_was_deleted_is_gone_from_everywhere(service: Service, state: State) -> None:
    (job_id,) = submitted(service, 1)
    if state is State.FAILED:
        service.fail()
    job = service.claim() if state is State.RUNNING else None
    path = f"/v1/analyses/{job_id}"
    assert service.ask("DELETE", path).status_code == HTTPStatus.NO_CONTENT
    for method, where in (("GET", path), ("GET", f"{path}/report"), ("DELETE", path), ("POST", f"{path}/cancel")):
        problem_in(service.ask(method, where), HTTPStatus.GONE, "deleted")
    assert listed(service) == []
    assert job is None or not service.parts.store.holds(job)


def test_a_key_of_a_deleted_job_may_be_used_again(service: Service) -> None:
    first = job_of(service.submit(headers={"Idempotency-Key": "a"}))
    service.ask("DELETE", f"/v1/analyses/{first}")
    assert job_of(service.submit(headers={"Idempotency-Key": "a", "Prefer": "respond-async"})) != first


@pytest.mark.parametrize(("method", "what"), [("DELETE", ""), ("POST", "/cancel")])
def test_what_nobody_submitted_is_not_found(service: Service, method: str, what: str) -> None:
    problem_in(service.ask(method, f"/v1/analyses/nothing{what}"), HTTPStatus.NOT_FOUND, "not-found")


def test_a_deleted_job_of_another_tenant_was_never_there(service: Service) -> None:
    (job_id,) = submitted(service, 1)
    service.ask("DELETE", f"/v1/analyses/{job_id}")
    with service.parts.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE deleted_jobs SET tenant = 'other'")
    problem_in(service.get(f"/v1/analyses/{job_id}"), HTTPStatus.NOT_FOUND, "not-found")
