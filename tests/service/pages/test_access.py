"""Who may see a page: nothing of a tenant is in what is answered without its key."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from analysis.report import Report
from service.access.key import Scope, issue
from service.app import create_app
from service.jobs.job import now
from service.jobs.store import Wanted
from service.settings import Settings
from tests.service.application import FILES, WITHOUT_WAITING, Service, job_of

PAGES = ("/", "/analyses", "/analyses/{job}", "/compare?old={job}&new={job}")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Service]:
    app = create_app(Settings(data_dir=tmp_path, default_wait_seconds=0.0, auth="keys"))
    yield Service(app)
    app.state.parts.store.close()


def bearing(service: Service, tenant: str, *scopes: Scope) -> dict[str, str]:
    key, token = issue(tenant, scopes or (Scope.READ, Scope.WRITE), now())
    service.parts.keys.add(key)
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def job(guarded: Service, sick: Report) -> tuple[str, dict[str, str]]:
    """Of alice, whose model is called network.onnx, and her key."""
    alice = bearing(guarded, "alice")
    answer = guarded.ask("POST", "/v1/analyses?project=secret", files=FILES, headers=WITHOUT_WAITING | alice)
    guarded.succeed(sick)
    return job_of(answer), alice


@pytest.mark.parametrize("page", PAGES)
def test_without_a_key_a_page_is_empty_and_says_where_to_enter_one(
    guarded: Service, job: tuple[str, dict[str, str]], page: str
) -> None:
    answer = guarded.get(page.format(job=job[0]))
    assert (answer.status_code, "data-needs-key" in answer.text) == (HTTPStatus.OK, True)
    assert "data-refused" not in answer.text
    for secret in ("network.onnx", "secret", job[0]):
        assert secret not in answer.text


@pytest.mark.parametrize("page", PAGES)
def test_with_its_key_a_tenant_sees_its_own_and_another_nothing_of_it(
    guarded: Service, job: tuple[str, dict[str, str]], page: str
) -> None:
    path = page.format(job=job[0])
    own = guarded.ask("GET", path, headers=job[1])
    assert (own.status_code, "data-needs-key" in own.text) == (HTTPStatus.OK, False)
    assert "network.onnx" in own.text or "no regression" in own.text
    other = guarded.ask("GET", path, headers=bearing(guarded, "bob"))
    assert other.status_code == (HTTPStatus.NOT_FOUND if "{job}" in page else HTTPStatus.OK)
    assert "network.onnx" not in other.text


def test_a_wrong_key_is_a_problem_with_the_place_to_enter_another(guarded: Service) -> None:
    answer = guarded.ask("GET", "/analyses", headers={"Authorization": "Bearer gh_wrong"})
    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert "data-refused" in answer.text
    assert "there is no such API key" in answer.text
    assert answer.headers["www-authenticate"].endswith('error="invalid_token"')


def test_what_changes_something_needs_a_key_with_the_scope(guarded: Service, job: tuple[str, dict[str, str]]) -> None:
    for path in ("/", f"/analyses/{job[0]}/cancel", f"/analyses/{job[0]}/delete"):
        assert guarded.ask("POST", path).status_code == HTTPStatus.UNAUTHORIZED
        reading = bearing(guarded, "alice", Scope.READ)
        assert guarded.ask("POST", path, headers=reading).status_code == HTTPStatus.FORBIDDEN
    bob = bearing(guarded, "bob")
    assert guarded.ask("POST", f"/analyses/{job[0]}/delete", headers=bob).status_code == HTTPStatus.NOT_FOUND
    gone = guarded.ask("POST", f"/analyses/{job[0]}/delete", headers=job[1])
    assert (gone.status_code, gone.headers["location"]) == (HTTPStatus.SEE_OTHER, "/analyses")
    assert guarded.parts.store.get(job[0], "alice") is None


def test_without_keys_a_page_of_a_stranger_cannot_change_anything(service: Service) -> None:
    job = job_of(service.submit())
    stranger = {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"}
    for path in ("/", f"/analyses/{job}/cancel", f"/analyses/{job}/delete"):
        answer = service.ask("POST", path, files=FILES if path == "/" else None, headers=stranger)
        assert answer.status_code == HTTPStatus.FORBIDDEN, path
        assert "https://elsewhere.example" in answer.text
    assert [each.id for each in service.parts.store.page("default", Wanted(), 9)] == [job]
    assert service.ask("GET", "/analyses", headers=stranger).status_code == HTTPStatus.OK


def test_problems_are_pages(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = service.get("/analyses/<b>")
    assert (answer.status_code, answer.headers["content-type"]) == (HTTPStatus.NOT_FOUND, "text/html; charset=utf-8")
    assert "&lt;b&gt;" in answer.text
    assert "there is no such analysis" in answer.text
    assert service.get("/analyses?state=lost").status_code == HTTPStatus.BAD_REQUEST

    def locked(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("locked"))

    monkeypatch.setattr(type(service.parts.store), "page", locked)
    answer = service.get("/analyses")
    assert (answer.status_code, answer.headers["retry-after"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "5")
    assert "job table does not answer" in answer.text
