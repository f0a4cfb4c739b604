"""Names that a request may be for, HEAD and OPTIONS."""

from http import HTTPStatus
from pathlib import Path

import pytest

from analysis.report import Report
from service.app import create_app
from service.settings import Settings
from tests.service.application import Service, problem_in


def asked_as(service: Service, host: str) -> HTTPStatus:
    response = service.ask("GET", "/healthz", headers={"Host": host})
    return HTTPStatus(response.status_code)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "[::1]", "localhost."])
def test_the_loopback_address_has_its_names(service: Service, host: str) -> None:
    assert asked_as(service, host) == HTTPStatus.OK


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil",
        "[::2]",
        "localhost:evil",
        "[::1]evil",
        "evil@localhost",
        "localhost, evil",
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
def test_a_name_of_a_stranger_is_not_for_us(service: Service, host: str, method: str) -> None:
    response = service.ask(method, "/healthz", headers={"Host": host})
    problem = problem_in(response, HTTPStatus.MISDIRECTED_REQUEST, "misdirected-request")
    assert host in problem.detail
    assert "ALLOWED_HOSTS" in problem.hint


@pytest.mark.parametrize("hosts", [("localhost", "evil.example"), ("localhost", "localhost")])
def test_a_request_for_two_hosts_is_for_neither(service: Service, hosts: tuple[str, str]) -> None:
    response = service.ask("GET", "/healthz", headers=[("Host", host) for host in hosts])
    assert ", ".join(hosts) in problem_in(response, HTTPStatus.MISDIRECTED_REQUEST, "misdirected-request").detail


def test_a_request_without_a_host_is_refused(service: Service) -> None:
    problem_in(service.ask("GET", "/healthz", headers={"Host": ""}), HTTPStatus.BAD_REQUEST, "misdirected-request")


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [
        ({"allowed_hosts": "health.example, other.example"}, "health.example", HTTPStatus.OK),
        ({"allowed_hosts": "health.example"}, "localhost", HTTPStatus.MISDIRECTED_REQUEST),
        ({"allowed_hosts": "*"}, "evil.example", HTTPStatus.OK),
    ],
    ids=str,
)
def test_an_operator_names_others(tmp_path: Path, settings: dict[str, str], host: str, status: HTTPStatus) -> None:
    service = Service(create_app(Settings(data_dir=tmp_path, **settings)))
    assert asked_as(service, host) == status
    service.parts.store.close()


def test_head_is_get_without_the_body(service: Service, healthy: Report) -> None:
    job_id = service.submit().json()["id"]
    service.succeed(healthy)
    for path in ("/healthz", "/openapi.json", f"/v1/analyses/{job_id}", f"/v1/analyses/{job_id}/report", "/v1/rules"):
        head, get = (service.ask(each, path, headers={"Accept-Encoding": "identity"}) for each in ("HEAD", "GET"))
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-length"] == str(len(get.content))
        assert head.headers["content-type"] == get.headers["content-type"]


def test_head_of_what_is_not_there_or_takes_no_get_is_as_get(service: Service) -> None:
    assert service.ask("HEAD", "/nothing").status_code == HTTPStatus.NOT_FOUND
    assert service.ask("HEAD", "/v1/comparisons").status_code == HTTPStatus.METHOD_NOT_ALLOWED


def test_options_say_what_a_path_takes(service: Service) -> None:
    response = service.ask("OPTIONS", "/v1/rules")
    assert (response.status_code, response.content) == (HTTPStatus.NO_CONTENT, b"")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"
    assert "POST" in service.ask("OPTIONS", "/v1/analyses").headers["allow"]


def test_options_of_what_is_not_there_is_not_found(service: Service) -> None:
    problem_in(service.ask("OPTIONS", "/nothing"), HTTPStatus.NOT_FOUND, "not-found")
