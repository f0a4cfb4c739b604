from pathlib import Path

from service.app import create_app
from service.settings import Settings
from tests.service.application import Service


def test_limits_are_those_of_the_installation_and_nothing_of_its_inside(tmp_path: Path) -> None:
    service = Service(create_app(Settings(data_dir=tmp_path, max_upload_bytes=1234, max_wait_seconds=5.0)))
    told = service.get("/v1/limits").json()
    assert (told["max_upload_bytes"], told["max_wait_seconds"]) == (1234, 5.0)
    assert not {"data_dir", "database_url", "host"} & set(told)
    service.parts.store.close()
