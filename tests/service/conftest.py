"""Reports, an application and job tables that several tests share."""

import os
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.report import Report
from service.app import create_app
from service.jobs.store import Store
from service.settings import Settings
from tests.gallery import he, mlp, vectors, xavier
from tests.service.application import Service

POSTGRES = os.environ.get("GRADIENT_HEALTH_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
REQUIRED = os.environ.get("GRADIENT_HEALTH_TEST_REQUIRE_SERVERS") == "1"


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
    engine = create_engine(POSTGRES, connect_args={"connect_timeout": 5})
    schema = f"gradient_health_test_{uuid.uuid4().hex}"
    try:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
    except OperationalError as error:
        if REQUIRED:
            pytest.fail(f"no PostgreSQL at {POSTGRES}: {error}")
        pytest.skip(f"no PostgreSQL at {POSTGRES}, see GRADIENT_HEALTH_TEST_POSTGRES")
    try:
        yield f"{POSTGRES}?options=-csearch_path%3D{schema}"
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        engine.dispose()


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
