"""Servers that tests find on this machine, or skip without; with GRADIENT_HEALTH_TEST_REQUIRE_SERVERS=1 they fail."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from service.broker import make_app
from service.settings import Settings

POSTGRES = os.environ.get("GRADIENT_HEALTH_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
RABBITMQ = os.environ.get("GRADIENT_HEALTH_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
REDIS = os.environ.get("GRADIENT_HEALTH_TEST_REDIS", "redis://127.0.0.1:6379/1")
BROKERS = "brokers"
"""The group of tests that empty the queues of a broker: one after the other."""
REQUIRED = os.environ.get("GRADIENT_HEALTH_TEST_REQUIRE_SERVERS") == "1"


def missing(what: str) -> NoReturn:
    """A server that a test cannot do without."""
    if REQUIRED:
        pytest.fail(what)
    pytest.skip(what)


@contextmanager
def postgres_schema() -> Iterator[str]:
    """A schema of its own, dropped afterwards; its URL."""
    engine = create_engine(POSTGRES, connect_args={"connect_timeout": 5})
    schema = f"gradient_health_test_{uuid.uuid4().hex}"
    try:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
    except OperationalError as error:
        missing(f"no PostgreSQL at {POSTGRES}, see GRADIENT_HEALTH_TEST_POSTGRES: {error}")
    try:
        yield f"{POSTGRES}?options=-csearch_path%3D{schema}"
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        engine.dispose()


def broker(kind: str) -> str:
    """The URL of a broker, in whose queues nothing waits."""
    url = {"rabbitmq": RABBITMQ, "redis": REDIS}[kind]
    app = make_app(Settings(broker_url=url))
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1)
            for queue in app.conf.task_queues:
                own = queue(connection.default_channel)
                own.declare()
                own.purge()
    except OSError as error:
        missing(f"no {kind} at {url}, see GRADIENT_HEALTH_TEST_{kind.upper()}: {error}")
    return url
