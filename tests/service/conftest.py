"""Reports, an application and job tables that several tests share."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.report import Report
from service.app import create_app
from service.jobs.store import Store
from service.settings import Settings
from tests.gallery import he, mlp, vectors, xavier
from tests.servers import postgres_schema
from tests.service.application import Service


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """What a command has set up goes with it: its standard error is closed, and later tests log, too."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture(scope="session")
def healthy() -> Report:
    return analyze(mlp(3, "Relu", he(), width=16), vectors(), parse_options({"effort": "quick"}))


@pytest.fixture(scope="session")
def sick() -> Report:
    return analyze(mlp(12, "Sigmoid", xavier(), width=16), vectors(), parse_options({"effort": "quick"}))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    app = create_app(Settings(data_dir=tmp_path, default_wait_seconds=0.0))
    yield Service(app)
    app.state.parts.store.close()


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A schema of its own, dropped afterwards."""
    with postgres_schema() as url:
        yield url


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Store]:
    with closing(Store(postgres_url)) as store:
        yield store


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.sqlite" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def stores(url: str) -> Iterator[list[Store]]:
    """Four nodes on one database."""
    opened = [Store(url) for _ in range(4)]
    yield opened
    for each in opened:
        each.close()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(Store(url)) as opened:
        yield opened


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{tmp_path}/jobs.sqlite")) as opened:
        yield opened
