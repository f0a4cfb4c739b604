"""A supervisor whose jobs a real broker delivers, with children that follow scripts."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from kombu.message import Message
from sqlalchemy.exc import OperationalError

from service.broker import CPU, TASK, make_app, waiting
from service.jobs.job import Job, State
from service.jobs.store import Store
from service.settings import Settings
from service.worker import deliveries
from service.worker.deliveries import BrokerSource
from tests.servers import BROKERS, broker
from tests.service.worker.bench import Bench, wait_until


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Celery has one worker in a process, which takes a while to hear that it should stop."""
    yield
    _until_no_worker()


def _until_no_worker() -> None:
    wait_until(lambda: not any(thread.name == "broker" for thread in threading.enumerate()))


pytestmark = [pytest.mark.server, pytest.mark.xdist_group(BROKERS), pytest.mark.usefixtures("scripted_children")]


@pytest.mark.parametrize("kind", ["rabbitmq", "redis"])
def test_jobs_are_computed_as_they_are_delivered_and_messages_without_a_job_dropped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    how = {"runner": "celery", "broker_url": broker(kind)}
    app = make_app(Settings(**how))

    def tell(job_id: str) -> None:
        app.send_task(TASK, args=[job_id], queue=CPU)

    untold, anew = bench.submit("report"), list[bool]()
    monkeypatch.setattr(BrokerSource, "_start_anew", lambda _: anew.append(True))
    with bench.serving(**how):
        tell("unheard of")
        job = bench.submit("report_when_told")
        for _ in range(2):
            tell(job.id)
        bench.until_probe(job)
        bench.tell(job)
        ended = bench.until_end(job)
        after = bench.submit("report")
        tell(after.id)
        assert bench.until_end(after).state is State.SUCCEEDED
        wait_until(lambda: waiting(app, CPU) == 0)
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1)
    assert bench.find(untold).state is State.QUEUED, "nobody was told"
    assert anew == [], "one consumer takes them all"


@pytest.mark.parametrize("kind", ["rabbitmq", "redis"])
def test_a_message_goes_back_into_the_queue_where_the_table_does_not_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    how = {"runner": "celery", "broker_url": broker(kind)}
    app, asked, away = make_app(Settings(**how)), list[str](), threading.Event()
    claim = Store.claim

    def cut_off(store: Store, *where: Any, **which: Any) -> Job | None:
        asked.append(which["job_id"])
        if away.is_set():
            raise OperationalError("", {}, Exception("the server closed the connection"))
        return claim(store, *where, **which)

    monkeypatch.setattr(Store, "claim", cut_off)
    monkeypatch.setattr(deliveries, "AGAIN_SECONDS", 0.1)
    job = bench.submit("report")
    away.set()
    with bench.serving(**how):
        app.send_task(TASK, args=[job.id], queue=CPU)
        wait_until(lambda: asked.count(job.id) > 1)
    wait_until(lambda: waiting(app, CPU) == 1)
    assert bench.find(job).state is State.QUEUED
    away.clear()
    _until_no_worker()
    with bench.serving(**how):
        assert bench.until_end(job).state is State.SUCCEEDED
        wait_until(lambda: waiting(app, CPU) == 0)


def test_a_supervisor_that_stops_gives_back_what_runs(bench: Bench) -> None:
    how = {"runner": "celery", "broker_url": broker("rabbitmq")}
    with bench.serving(**how):
        job = bench.submit("hang")
        make_app(Settings(**how)).send_task(TASK, args=[job.id], queue=CPU)
        bench.until_probe(job)
    released = bench.find(job)
    assert (released.state, released.attempt) == (State.QUEUED, 0)


class Channel:
    """Of a broker that cannot be reached while it is `broken`."""

    def __init__(self, *, broken: bool) -> None:
        self.broken = broken
        self.no_ack_consumers: set[str] = set()

    def basic_ack(self, _tag: str, **_how: Any) -> None:
        if self.broken:
            raise ConnectionRefusedError

    def basic_reject(self, tag: str, **how: Any) -> None:
        self.basic_ack(tag, **how)


@pytest.mark.parametrize("how", ["acknowledge", "reject"])
@pytest.mark.parametrize("broken", [True, False])
def test_a_message_that_could_not_be_answered_is_told_and_no_other(how: str, *, broken: bool) -> None:
    """When Celery's loop comes to it, which is after the request has done its part."""
    app, told = make_app(Settings(broker_url="memory://")), list[str]()
    request_class = deliveries._request_that_tells(lambda: told.append(how))

    @app.task(name=TASK, shared=False)  # type: ignore[untyped-decorator]
    def task(job_id: str) -> None: ...

    headers = {"id": "1", "task": TASK}
    message = Message(
        body=[["job"], {}, {}], channel=Channel(broken=broken), delivery_tag="1", headers=headers,
        content_type="application/json", content_encoding="utf-8",
    )  # fmt: skip
    loop = list[Callable[[], None]]()

    def soon(answer: Callable[..., None]) -> Callable[..., None]:
        return lambda *asked: loop.append(partial(answer, *asked))

    request = request_class(
        message, app=app, task=task, headers=headers, decoded=True, on_ack=soon(message.ack_log_error),
        on_reject=soon(message.reject_log_error), connection_errors=(ConnectionError,),
    )  # fmt: skip
    getattr(request, how)()
    assert told == []
    for answer in loop:
        answer()
    assert told == ([how] if broken else [])
    assert message.acknowledged is not broken
