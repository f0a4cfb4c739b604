"""Pages of strangers cannot make a browser change anything where no key is needed."""

from http import HTTPStatus
from pathlib import Path

import pytest

from service.app import create_app
from service.settings import Settings
from tests.service.application import FILES, WITHOUT_WAITING, Service, problem_in, stored_files

HERE, ELSEWHERE = "http://localhost", "https://elsewhere.example"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": HERE},
        {"Origin": "https://LOCALHOST"},  # a proxy that speaks TLS
        {"Sec-Fetch-Site": "same-origin", "Origin": HERE},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_our_own_pages_and_programs_may_change_things(service: Service, headers: dict[str, str]) -> None:
    assert service.submit(headers=WITHOUT_WAITING | headers).status_code == HTTPStatus.ACCEPTED


STRANGERS = [
    {"Origin": ELSEWHERE},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": f"{HERE}:3000"},
    {"Origin": f"{HERE}.elsewhere.example"},
    {"Origin": f"http://elsewhere.example/{HERE}"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": HERE},
    {"Sec-Fetch-Site": "cross-site", "Origin": HERE},
]


@pytest.mark.parametrize("headers", STRANGERS, ids=str)
def test_a_page_of_a_stranger_cannot(service: Service, headers: dict[str, str]) -> None:
    refused = problem_in(service.submit(headers=WITHOUT_WAITING | headers), HTTPStatus.FORBIDDEN, "cross-origin")
    assert refused.where == "Origin"
    assert stored_files(service) == 0


def test_every_route_that_changes_something_is_held_to_it_and_none_that_reads(service: Service) -> None:
    stranger = {"Origin": ELSEWHERE, "Sec-Fetch-Site": "cross-site"}
    paths = service.app.openapi()["paths"]
    changing = [(method.upper(), path) for path, methods in paths.items() for method in methods if method != "get"]
    assert {method for method, _ in changing} == {"POST", "PUT", "DELETE"}
    for method, path in changing:
        answer = service.ask(method, path.replace("{job_id}", "x"), headers=stranger)
        assert answer.status_code == HTTPStatus.FORBIDDEN, path
    for path in ("/v1/analyses", "/healthz"):
        assert service.ask("GET", path, headers=stranger).status_code == HTTPStatus.OK


def test_with_keys_the_key_decides(tmp_path: Path) -> None:
    guarded = Service(create_app(Settings(data_dir=tmp_path, auth="keys")))
    answer = guarded.ask("POST", "/v1/analyses", files=FILES, headers={"Sec-Fetch-Site": "cross-site"})
    problem_in(answer, HTTPStatus.UNAUTHORIZED, "unauthenticated")
    guarded.parts.store.close()
