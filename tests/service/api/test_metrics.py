"""What a scrape says, read by Prometheus' own parser."""

import json
import re
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.exc import OperationalError

from analysis.report import Report
from service.jobs.job import State, now
from service.jobs.store import Store
from tests.service.application import Service

DEPLOY = Path(__file__).parents[3] / "deploy"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(service: Service) -> Samples:
    response = service.get("/metrics")
    assert (response.status_code, response.headers["content-type"].split(";")[0]) == (HTTPStatus.OK, "text/plain")
    families = text_string_to_metric_families(response.text)
    return {
        (each.name.removeprefix("gradient_health_"), tuple(sorted(each.labels.items()))): each.value
        for family in families
        for each in family.samples
    }


def jobs(samples: Samples) -> dict[str, float]:
    return {labels[0][1]: value for (name, labels), value in samples.items() if name == "jobs" and value}


def test_jobs_are_counted_by_state_and_the_oldest_that_waits_has_its_age(service: Service, healthy: Report) -> None:
    empty = scraped(service)
    assert (jobs(empty), empty["queue_oldest_seconds", ()], empty["database_up", ()]) == ({}, 0.0, 1.0)
    for _ in range(4):
        service.submit()
    service.succeed(healthy)
    service.fail()
    with service.parts.store.engine.begin() as connection:
        old = (now() - timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S.%f")
        connection.exec_driver_sql("UPDATE jobs SET created = ? WHERE state = 'queued'", (old,))
    told = scraped(service)
    assert jobs(told) == {"queued": 2.0, "succeeded": 1.0, "failed": 1.0}
    assert 3600 <= told["queue_oldest_seconds", ()] < 3700


def test_workers_and_the_disk_are_told(service: Service) -> None:
    service.parts.store.seen("a", now(), ready=True)
    service.parts.store.seen("b", now(), ready=False)
    told = scraped(service)
    assert told["workers_ready", ()] == 1.0
    assert told["disk_free_bytes", ()] > 0


def test_requests_are_counted_by_route_and_never_by_what_a_stranger_asked_for(service: Service) -> None:
    for path in ("/v1/analyses/a", "/v1/analyses/b", "/nothing", "/wp-login.php"):
        service.get(path)
    service.ask("HEAD", "/healthz")
    service.ask("BREW", "/healthz")
    told = scraped(service)

    def count(method: str, route: str, status: str) -> float:
        return told["http_requests_total", (("method", method), ("route", route), ("status", status))]

    assert count("GET", "/v1/analyses/{job_id}", "404") == 2
    assert count("GET", "none", "404") == 2
    assert count("HEAD", "/healthz", "200") == 1
    assert count("other", "/healthz", "405") == 1
    assert told["http_request_seconds_count", (("route", "none"),)] == 2


def test_bytes_of_bodies_are_counted(service: Service) -> None:
    body = b"x" * 12345
    service.ask("POST", "/v1/comparisons", content=body, headers={"Content-Type": "application/json"})
    assert scraped(service)["received_bytes_total", ()] == len(body)


def test_a_job_table_that_does_not_answer_is_a_figure_and_no_error(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(_: Store) -> None:
        raise OperationalError("", {}, Exception("database is locked"))

    monkeypatch.setattr(Store, "census", held)
    told = scraped(service)
    assert told["database_up", ()] == 0.0
    assert not jobs(told)


# ------------------------------------------------------------------ dashboard and alerts

SELECTED = re.compile(r"gradient_health_(\w+)(?:\{([^}]*)\})?")
GIVEN_BY_PROMETHEUS = {"job", "instance", "le"}


def dashboard() -> list[str]:
    panels = json.loads((DEPLOY / "grafana/gradient-health.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def alerts() -> list[str]:
    (group,) = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]
    return [rule["expr"] for rule in group["rules"]]


@pytest.mark.parametrize("expressions", [dashboard, alerts])
def test_dashboard_and_alerts_ask_for_what_is_told(service: Service, expressions: Callable[[], list[str]]) -> None:
    service.submit()
    service.get("/healthz")
    labels = defaultdict[str, set[str]](set)
    for name, given in scraped(service):
        labels[name] |= dict(given).keys()
    asked = [(name, selector) for each in expressions() for name, selector in SELECTED.findall(each)]
    assert len(asked) > 8
    for name, selector in asked:
        assert name in labels
        assert set(re.findall(r"(\w+)[=!]~?\"", selector)) <= labels[name] | GIVEN_BY_PROMETHEUS, name


def test_states_and_routes_that_are_asked_for_are_there(service: Service) -> None:
    asked = " ".join([*dashboard(), *alerts()])
    states = {state for group in re.findall(r'state=~?"([^"]+)"', asked) for state in group.split("|")}
    assert states == set(State)
    (routes,) = set(re.findall(r'route!~"([^"]+)"', asked))
    waiting = [path for path in service.app.openapi()["paths"] if re.fullmatch(routes, path)]
    assert sorted(waiting) == ["/v1/analyses", "/v1/analyses/{job_id}/events"]


def test_alerts_say_what_they_mean_and_every_metric_is_shown_or_watched() -> None:
    (group,) = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
    known = {name for each in (*dashboard(), *alerts()) for name, _ in SELECTED.findall(each)}
    assert {"jobs", "queue_oldest_seconds", "workers_ready", "database_up", "disk_free_bytes"} <= known
