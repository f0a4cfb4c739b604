"""What routes are given: the parts of the app they belong to, and who asks."""

from pathlib import Path

from fastapi import FastAPI, Request

from service.api.context import parts_of, tenant_of
from service.app import create_app
from service.jobs.job import DEFAULT_TENANT
from service.settings import Settings
from tests.service.application import Service


def request_to(app: FastAPI) -> Request:
    return Request({"type": "http", "app": app, "headers": []})


def test_two_apps_in_one_process_keep_their_parts_apart(service: Service, tmp_path: Path) -> None:
    other = create_app(Settings(data_dir=tmp_path / "other"))
    assert parts_of(request_to(service.app)) is service.parts
    assert parts_of(request_to(other)) is other.state.parts
    assert parts_of(request_to(other)) is not service.parts
    other.state.parts.store.close()


def test_what_may_be_uploaded_is_what_the_settings_say(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path,
        max_upload_bytes=1000,
        max_options_bytes=10,
        idle_upload_seconds=0.5,
        min_upload_bytes_per_second=9.0,
    )
    app = create_app(settings)
    limits = app.state.parts.upload_limits
    assert (limits.total, limits.options) == (1000, 10)
    assert (limits.patience.idle_seconds, limits.patience.bytes_per_second) == (0.5, 9.0)
    assert limits.patience.drain is app.state.parts.drain
    app.state.parts.store.close()


def test_without_keys_everybody_is_the_same_tenant(service: Service) -> None:
    assert tenant_of(request_to(service.app)) == DEFAULT_TENANT
