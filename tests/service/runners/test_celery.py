"""Ids are told to a broker, in the end, whatever it does meanwhile."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from service.broker import CPU, GPU, TASK
from service.jobs.store import Store
from service.runners import celery
from service.runners.celery import Publisher, publishing
from service.settings import Settings
from tests.servers import BROKERS, broker
from tests.service.jobs.small_jobs import small_job
from tests.service.worker.bench import wait_until


class FakeConnection:
    connection_errors = channel_errors = ()


class FakeApp:
    """Fails at every message whose number is in `away`."""

    def __init__(self, *away: int) -> None:
        self.away = away
        self.asked = 0
        self.sent: list[tuple[str, str]] = []

    def send_task(self, name: str, *, args: list[str], queue: str, retry: bool) -> None:
        assert (name, retry) == (TASK, False)
        self.asked += 1
        if self.asked - 1 in self.away:
            raise OperationalError("refused")
        self.sent.append((args[0], queue))

    def connection_for_write(self) -> FakeConnection:
        return FakeConnection()


@pytest.fixture
def depth(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many messages wait at the broker."""
    waiting = {CPU: 1, GPU: 0}
    monkeypatch.setattr(celery, "waiting", lambda _, queue: waiting[queue])
    return waiting


def publisher(app: Any) -> Publisher:
    return Publisher(app)


@pytest.mark.usefixtures("depth")
def test_what_was_not_told_is_told_when_the_broker_is_back(sqlite: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery, "AGAIN_SECONDS", 0.0)
    jobs = [small_job(number) for number in range(3)]
    for job in jobs:
        sqlite.submit(job)
    app = FakeApp(1)
    telling = publisher(app)
    telling.publish(sqlite)
    assert app.sent == [(jobs[0].id, CPU)]
    telling.publish(sqlite)
    telling.publish(sqlite)
    assert app.sent == [(job.id, CPU) for job in jobs]


@pytest.mark.usefixtures("depth")
def test_a_broker_that_is_away_is_left_alone_for_a_while(sqlite: Store) -> None:
    sqlite.submit(small_job())
    app = FakeApp(0)
    telling = publisher(app)
    telling.publish(sqlite)
    telling.publish(sqlite)
    assert app.asked == 1


@pytest.mark.parametrize(("gpu", "lost"), [(1, False), (0, True)])
def test_lost_messages_are_looked_for_where_no_queue_has_any(depth: dict[str, int], gpu: int, lost: bool) -> None:
    depth |= {CPU: 0, GPU: gpu}
    telling = publisher(FakeApp())
    assert telling._may_be_lost() is lost
    assert not telling._may_be_lost(), "not again at once"


@pytest.mark.server
@pytest.mark.xdist_group(BROKERS)
def test_beside_an_api_a_real_broker_is_told(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, runner="celery", broker_url=broker("rabbitmq")).prepare()
    with closing(Store(settings.database)) as store:
        store.submit(small_job())
        with publishing(settings):
            from service.broker import make_app, waiting  # noqa: PLC0415

            app = make_app(settings)
            wait_until(lambda: waiting(app, CPU) == 1)
