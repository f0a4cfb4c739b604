"""Keys as an operator makes and ends them, held against the service beside them."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.app import create_app
from service.cli import app
from service.notify.signing import secret_of
from service.settings import Settings
from tests.service.application import Service


@pytest.fixture(autouse=True)
def _own_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIENT_HEALTH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("GRADIENT_HEALTH_DATABASE_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def guarded(_own_data_folder: None) -> Iterator[Service]:
    application = create_app(Settings(auth="keys"))
    yield Service(application)
    application.state.parts.store.close()


def keys(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments])


def made(*arguments: str) -> str:
    outcome = keys(*arguments)
    assert outcome.exit_code == 0, outcome.stderr
    (token,) = outcome.stdout.splitlines()
    return token


def status(service: Service, token: str, path: str = "/v1/limits") -> int:
    return service.ask("GET", path, headers={"Authorization": f"Bearer {token}"}).status_code


def id_of(token: str) -> str:
    return token.split("_")[1]


def test_a_key_that_was_made_opens_the_service_until_it_is_revoked(guarded: Service) -> None:
    token = made("create", "--tenant", "alice")
    assert status(guarded, token) == HTTPStatus.OK
    assert status(guarded, token, "/metrics") == HTTPStatus.FORBIDDEN
    assert keys("revoke", id_of(token)).exit_code == 0
    assert status(guarded, token) == HTTPStatus.UNAUTHORIZED
    assert keys("revoke", id_of(token)).exit_code == 2


def test_keys_may_be_made_before_the_service_runs_for_the_first_time(tmp_path: Path) -> None:
    token = made("create", "--tenant", "alice", "--data-dir", str(tmp_path / "new"))
    application = create_app(Settings(auth="keys", data_dir=tmp_path / "new"))
    assert status(Service(application), token) == HTTPStatus.OK
    application.state.parts.store.close()


def test_scopes_are_what_was_said(guarded: Service) -> None:
    token = made("create", "--tenant", "operator", "--scope", "admin")
    assert status(guarded, token, "/metrics") == HTTPStatus.OK
    assert status(guarded, token) == HTTPStatus.FORBIDDEN


def test_the_list_has_every_key_and_no_secret(guarded: Service) -> None:
    token = made("create", "--tenant", "alice", "--expires", "30")
    other = made("create", "--tenant", "bob", "--scope", "read")
    keys("revoke", id_of(other))
    listed = keys("list").stdout
    first, second = listed.splitlines()[1:]
    assert re.fullmatch(rf"{id_of(token)} +alice +read,write +\S+ +\d{{4}}-\d\d-\d\d \d\d:\d\d +valid *", first)
    assert re.fullmatch(rf"{id_of(other)} +bob +read +\S+ +never +revoked *", second)
    for each in guarded.parts.keys.all():
        assert each.sha256 not in listed
    assert token.split("_", 2)[2] not in listed


def test_rotation_prints_a_successor_and_ends_the_old_key_after_the_overlap(guarded: Service) -> None:
    old = made("create", "--tenant", "alice", "--scope", "read")
    new = made("rotate", id_of(old))
    assert status(guarded, old) == status(guarded, new) == HTTPStatus.OK
    newest = made("rotate", id_of(new), "--overlap", "0")
    assert status(guarded, new) == HTTPStatus.UNAUTHORIZED
    assert status(guarded, newest) == HTTPStatus.OK
    outcome = keys("rotate", id_of(new))
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith(f"error: {id_of(new)}: no such key, or it has ended")


@pytest.mark.parametrize(
    "wrong",
    [["--tenant", "no spaces"], ["--tenant", "a", "--expires", "0"], ["--tenant", "a", "--scope", "all"],
     ["--tenant", "a", "--expires", "99999999"], []],
    ids=str,
)  # fmt: skip
def test_what_makes_no_key_is_wrong_usage(wrong: list[str]) -> None:
    assert keys("create", *wrong).exit_code == 2


@pytest.mark.parametrize(
    "inside", [False, True], ids=["a file in place of the folder", "a folder in place of the database"]
)
def test_where_no_keys_can_be_kept_the_place_and_the_reason_are_told(tmp_path: Path, inside: bool) -> None:
    folder = tmp_path / "data"
    if inside:
        (folder / "jobs.sqlite").mkdir(parents=True)
    else:
        folder.write_text("no folder")
    outcome = keys("create", "--tenant", "alice")
    assert (outcome.exit_code, outcome.stdout) == (3, "")
    assert outcome.stderr.startswith(f"error: the keys in {folder} cannot be read or written: ")


def test_a_tenant_is_told_the_secret_of_its_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys("webhook-secret").exit_code == 2
    monkeypatch.setenv("GRADIENT_HEALTH_WEBHOOK_SECRET", "s" * 32)
    assert made("webhook-secret", "--tenant", "vision") == secret_of("vision", "s" * 32)
    assert made("webhook-secret") == secret_of("default", "s" * 32)
