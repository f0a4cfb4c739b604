"""Earlier reports over HTTP: when they answer, and what is said of it."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from analysis.report import Report
from service.api.caching import age_of
from service.app import create_app
from service.jobs.job import State, now
from service.settings import Settings
from tests.service.application import WITHOUT_WAITING, Service, as_told, job_of


def answered(service: Service, report: Report) -> str:
    """The id of an analysis whose report may answer again."""
    job_id = job_of(service.submit())
    job, blob = service.claim(), service.parts.objects.put(report.to_json())
    assert service.parts.store.finish(job, State.SUCCEEDED, report=blob.sha256, answers_again=True)
    return job_id


def test_the_same_again_is_answered_with_the_earlier_report_at_once(service: Service, healthy: Report) -> None:
    first = answered(service, healthy)
    again = service.submit("?commit=c", headers={})
    assert (again.status_code, again.content) == (HTTPStatus.OK, as_told(healthy, again))
    assert again.headers["cache-status"] == "gradient-health; hit"
    assert again.json()["id"] == job_of(again) != first
    job = service.get(again.headers["location"]).json()
    assert (job["state"], job["labels"], job["progress"]["fraction"]) == ("succeeded", {"commit": "c"}, 1.0)
    assert service.get(again.headers["location"] + "/report").content == again.content
    assert service.parts.store.claim("worker", now()) is None


def test_who_asks_for_the_job_gets_the_job_that_has_ended(service: Service, healthy: Report) -> None:
    answered(service, healthy)
    again = service.submit()
    assert (again.status_code, again.json()["state"]) == (HTTPStatus.ACCEPTED, "succeeded")
    assert again.headers["preference-applied"] == "respond-async"


def test_a_gate_is_answered_with_a_verdict_at_once(service: Service, sick: Report) -> None:
    answered(service, sick)
    gated = service.submit("?fail_on=error&wait=0")
    assert (gated.status_code, gated.content) == (HTTPStatus.UNPROCESSABLE_ENTITY, as_told(sick, gated))


@pytest.mark.parametrize("said", ["no-cache", "max-age=0", "public, No-Cache", "no-store"])
def test_a_request_may_want_its_report_computed_anew(service: Service, healthy: Report, said: str) -> None:
    answered(service, healthy)
    again = service.submit(headers=WITHOUT_WAITING | {"Cache-Control": said})
    assert (again.status_code, again.json()["state"]) == (HTTPStatus.ACCEPTED, "queued")
    assert again.headers["cache-status"] == "gradient-health; fwd=request"


def test_what_was_never_asked_before_is_a_miss_and_what_is_under_way_is_joined(service: Service) -> None:
    assert service.submit("?fail_on=error").headers["cache-status"] == "gradient-health; fwd=miss"
    assert service.submit("?fail_on=error").headers["cache-status"] == "gradient-health; fwd=miss; collapsed"


def test_an_operator_may_turn_it_off(tmp_path: Path, healthy: Report) -> None:
    service = Service(create_app(Settings(data_dir=tmp_path, default_wait_seconds=0.0, cache_seconds=0.0)))
    answered(service, healthy)
    again = service.submit()
    assert (again.json()["state"], again.headers["cache-status"]) == ("queued", "gradient-health; fwd=bypass")
    service.parts.store.close()


def test_looks_are_counted(service: Service, healthy: Report) -> None:
    answered(service, healthy)
    service.submit()
    figures = service.get("/metrics").text
    for result, number in (("hit", 1.0), ("miss", 1.0), ("off", 0.0)):
        assert f'gradient_health_cache_looks_total{{result="{result}"}} {number}' in figures


class Asked:
    """As far as Cache-Control goes."""

    def __init__(self, *said: str) -> None:
        self.said, self.headers = said, self

    def getlist(self, name: str) -> tuple[str, ...]:
        assert name == "cache-control"
        return self.said


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ([], 100.0), (["max-age=7"], 7.0), (['max-age="7"'], 7.0), (["max-age=1000"], 100.0), (["no-transform"], 100.0),
        (["max-age=7, max-age=5"], 5.0), (["max-age=7", "no-cache"], 0.0), (["max-age=-1"], 100.0), (["", ","], 100.0),
        (["x-no-cache"], 100.0), (["max-age=" + "9" * 400], 100.0),
    ],
)  # fmt: skip
def test_directives_are_read_as_they_are_defined_and_strange_ones_ignored(said: list[str], seconds: float) -> None:
    request: Any = Asked(*said)
    assert age_of(request, Settings(cache_seconds=100.0)).seconds == seconds
