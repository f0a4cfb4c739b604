"""Whether the process lives, and what it lacks."""

from http import HTTPStatus
from pathlib import Path

from analysis.version import VERSION
from service.app import create_app
from service.jobs.job import now
from service.settings import Settings
from service.worker.checkup import NOTE
from tests.service.application import Service


def test_the_process_answers(service: Service) -> None:
    response = service.get("/healthz")
    assert (response.status_code, response.json()) == (HTTPStatus.OK, {"status": "ok", "version": VERSION})


def test_readiness_names_what_is_missing(service: Service) -> None:
    store = service.parts.store

    def readiness() -> tuple[int, str, dict[str, str]]:
        response = service.get("/readyz")
        return response.status_code, response.json()["status"], response.json()["checks"]

    fine = {"storage": "ok", "database": "ok"}
    assert readiness() == (503, "unavailable", fine | {"workers": "none"})
    store.seen("worker", now(), ready=False)
    assert readiness() == (503, "unavailable", fine | {"workers": "starting"})
    store.seen("worker", now(), ready=True)
    assert readiness() == (200, "ok", fine | {"workers": "ok"})


def test_readiness_tells_of_each_layer_of_the_sandbox(service: Service) -> None:
    assert service.get("/readyz").json()["sandbox"] == {}
    (service.parts.settings.data_dir / NOTE).write_text('{"landlock": "on: ABI 7", "seccomp": "off: there is none"}')
    told = {"landlock": "on: ABI 7", "seccomp": "off: there is none"}
    assert service.get("/readyz").json()["sandbox"] == told


def test_an_api_whose_workers_are_elsewhere_is_ready_without_them(tmp_path: Path) -> None:
    """Or nothing would arrive that they could be started for."""
    app = create_app(Settings(data_dir=tmp_path, runner="poll"))
    response = Service(app).get("/readyz")
    app.state.parts.store.close()
    assert (response.status_code, response.json()["checks"]["workers"]) == (HTTPStatus.OK, "none")


def test_a_lost_database_is_unready_not_dead(service: Service) -> None:
    with service.parts.store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE workers")
    response = service.get("/readyz")
    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert response.json()["checks"]["database"] != "ok"
    assert service.get("/healthz").status_code == HTTPStatus.OK


def test_lost_storage_is_unready(service: Service) -> None:
    service.parts.store.seen("worker", now(), ready=True)
    service.folder.rmdir()
    response = service.get("/readyz")
    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert response.json()["checks"]["storage"] == "not writable"
