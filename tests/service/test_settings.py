import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service import settings as module
from service.settings import Settings, usable_cores

PREFIX = "GRADIENT_HEALTH_"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def test_the_defaults_are_local_and_limited() -> None:
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert settings.port == 8000
    assert settings.data_dir == Path("data")
    assert settings.job_slots == min(64, usable_cores())
    assert settings.default_wait_seconds == 30
    assert settings.max_wait_seconds == 300
    for limit in (settings.max_upload_bytes, settings.max_options_bytes, settings.max_job_memory_bytes):
        assert 0 < limit < 1 << 40
    for seconds in (settings.idle_upload_seconds, settings.max_job_seconds):
        assert 0 < seconds < 86_400


@pytest.mark.parametrize(
    ("told", "cores"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), ("nonsense", 8), (None, 8)],
)
def test_the_cores_are_those_that_a_container_may_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str | None, cores: int
) -> None:
    quota = tmp_path / "cpu.max"
    if told is not None:
        quota.write_text(told)
    monkeypatch.setattr(module, "CPU_QUOTA", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert usable_cores() == cores


@pytest.mark.parametrize(("cores", "slots", "threads"), [(8, None, 1), (8, 3, 2), (8, 1, 8), (2, 4, 1), (100, None, 1)])
def test_the_threads_of_all_slots_are_no_more_than_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, slots: int | None, threads: int
) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: cores)
    settings = Settings() if slots is None else Settings(job_slots=slots)
    assert settings.job_slots == (slots or min(cores, 64))
    assert settings.job_threads == threads


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("host", "::1", "::1"),
        ("port", "0", 0),
        ("data_dir", "/srv/gradient health", Path("/srv/gradient health")),
        ("database_url", "postgresql+psycopg://u:p%40ss@db/jobs", "postgresql+psycopg://u:p%40ss@db/jobs"),
        ("max_upload_bytes", "1000", 1000),
        ("max_job_seconds", "0.5", 0.5),
        ("max_job_memory_bytes", "1073741824", 1 << 30),
        ("job_slots", "4", 4),
    ],
)
def test_the_environment_sets_what_its_prefix_names(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), text)
    monkeypatch.setenv(name.upper(), "no prefix, no meaning")
    assert getattr(Settings(), name) == value


def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "PORT", "1234")
    assert Settings(port=4321).port == 4321


def test_other_variables_with_the_prefix_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "TEST_REQUIRE_SERVERS", "1")
    assert Settings() == Settings()


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": -1}, {"port": 65536}, {"port": "http"}, {"max_upload_bytes": 0}, {"max_options_bytes": 0},
        {"idle_upload_seconds": 0}, {"min_upload_bytes_per_second": 0}, {"max_header_bytes": 0}, {"header_seconds": 0},
        {"drain_seconds": -1}, {"max_job_seconds": 0}, {"max_job_seconds": -1}, {"max_job_memory_bytes": 1 << 29},
        {"job_slots": 0}, {"job_slots": 65}, {"default_wait_seconds": -1}, {"max_wait_seconds": -1},
        {"auth": "key"}, {"auth": ""}, {"objects_url": "/srv/objects"}, {"objects_url": "file://srv/objects"},
        {"objects_url": "ftp://host/objects"},
        {"jwt_keys_url": "http://keys.example/"}, {"jwt_keys_url": "http://127.0.0.1@keys.example/"},
        {"jwt_keys_url": "http://localhost.example/"}, {"jwt_keys_url": "http://[::1].example/"},
        {"keep_days": 1e5 * 365}, {"cache_seconds": "inf"}, {"max_job_seconds": 1e20}, {"max_wait_seconds": "inf"},
        {"max_job_memory_bytes": 1 << 63}, {"keep_jobs": 1 << 64}, {"lease_seconds": "nan"},
        {"jwt_keys_url": "ftp://127.0.0.1/"}, {"jwt_keys_url": "/keys.json"}, {"jwt_keys_url": "file://keys.json"},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused_and_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Settings(**wrong)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1", "0:0:0:0:0:0:0:1"])
def test_nobody_else_reaches_a_loopback_address(host: str) -> None:
    settings = Settings(host=host)
    assert settings.is_local
    assert not settings.is_exposed
    assert host in settings.hosts


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.0.2.1", "127.0.0.1.example", "localhost.example", "128.0.0.1"]
)
def test_any_other_address_is_exposed_unless_there_are_keys_or_somebody_says_so(host: str) -> None:
    assert Settings(host=host).is_exposed
    assert Settings(host=host, auth="none").is_exposed, "the default, said once more, is no consent"
    assert not Settings(host=host, auth="keys").is_exposed
    assert not Settings(host=host, allow_unprotected=True).is_exposed


@pytest.mark.parametrize(
    "url",
    ["https://keys.example/k?a=b", "http://localhost/k", "http://127.0.0.2:8080", "http://[::1]:1/k", "file:///k"],
)
def test_keys_of_tokens_come_by_a_way_that_nobody_else_can_change(url: str) -> None:
    assert Settings(jwt_keys_url=url).takes_tokens
    assert not Settings().takes_tokens


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1


def test_everything_lies_in_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.database == f"sqlite:///{tmp_path}/jobs.sqlite"
    assert settings.objects_dir == tmp_path / "objects"
    assert settings.work_dir == tmp_path / "work"


def test_a_database_elsewhere_leaves_the_files_where_they_are(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url="postgresql+psycopg://db/jobs")
    assert settings.database == "postgresql+psycopg://db/jobs"
    assert settings.objects_dir == tmp_path / "objects"


def test_objects_elsewhere_are_in_a_folder_that_others_may_mount(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "own", objects_url=f"file://{tmp_path}/shared%20disk")
    assert settings.prepare().objects_dir == tmp_path / "shared disk"
    assert settings.objects_dir.is_dir()
    assert settings.work_dir == tmp_path / "own" / "work"


def test_only_what_lies_in_one_folder_by_default_is_private() -> None:
    assert Settings().is_private
    assert not Settings(database_url="sqlite:///jobs.sqlite").is_private
    assert not Settings(objects_url="file:///objects").is_private


def test_derived_paths_are_absolute_so_that_a_change_of_folder_moves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(data_dir=Path("here"))
    assert settings.objects_dir == tmp_path / "here" / "objects"
    assert settings.work_dir == tmp_path / "here" / "work"
    assert settings.database == f"sqlite:///{tmp_path}/here/jobs.sqlite"


def test_preparing_makes_the_folders_and_keeps_what_is_there(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "deep" / "down")
    assert settings.prepare() is settings
    kept = settings.objects_dir / "kept"
    kept.write_bytes(b"kept")
    settings.prepare()
    assert kept.read_bytes() == b"kept"
    assert settings.work_dir.is_dir()
