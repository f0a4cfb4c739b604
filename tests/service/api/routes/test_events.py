"""Progress over HTTP; what the stream says is in test_events of the API."""

from http import HTTPStatus

from analysis.report import Report
from service.api.events import event_id
from tests.service.application import Service, problem_in


def test_an_analysis_that_has_ended_is_told_at_once_and_not_again(service: Service, healthy: Report) -> None:
    job_id = service.submit().json()["id"]
    service.succeed(healthy)
    path = f"/v1/analyses/{job_id}/events"
    response = service.get(path)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache"
    job = service.parts.store.get(job_id)
    assert job is not None
    assert f"id: {event_id(job)}\nevent: end\n" in response.text
    again = service.ask("GET", path, headers={"Last-Event-ID": event_id(job)})
    assert (again.status_code, again.content) == (HTTPStatus.NO_CONTENT, b"")
    assert service.ask("GET", path, headers={"Last-Event-ID": "another"}).status_code == HTTPStatus.OK


def test_what_nobody_submitted_is_not_found(service: Service) -> None:
    problem_in(service.get("/v1/analyses/nothing/events"), HTTPStatus.NOT_FOUND, "not-found")
