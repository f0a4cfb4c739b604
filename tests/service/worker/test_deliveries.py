"""A supervisor whose jobs a real broker delivers, with children that follow scripts."""

import threading
from collections.abc import Iterator

import pytest

from service.broker import CPU, TASK, make_app, waiting
from service.jobs.job import State
from service.settings import Settings
from tests.servers import BROKERS, broker
from tests.service.worker.bench import Bench, wait_until


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Celery has one worker in a process, which takes a while to hear that it should stop."""
    yield
    wait_until(lambda: not any(thread.name == "broker" for thread in threading.enumerate()))


pytestmark = [pytest.mark.server, pytest.mark.xdist_group(BROKERS), pytest.mark.usefixtures("scripted_children")]


@pytest.mark.parametrize("kind", ["rabbitmq", "redis"])
def test_jobs_are_computed_as_they_are_delivered_and_messages_without_a_job_dropped(bench: Bench, kind: str) -> None:
    how = {"runner": "celery", "broker_url": broker(kind)}
    app = make_app(Settings(**how))

    def tell(job_id: str) -> None:
        app.send_task(TASK, args=[job_id], queue=CPU)

    untold = bench.submit("report")
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


def test_a_supervisor_that_stops_gives_back_what_runs(bench: Bench) -> None:
    how = {"runner": "celery", "broker_url": broker("rabbitmq")}
    with bench.serving(**how):
        job = bench.submit("hang")
        make_app(Settings(**how)).send_task(TASK, args=[job.id], queue=CPU)
        bench.until_probe(job)
    released = bench.find(job)
    assert (released.state, released.attempt) == (State.QUEUED, 0)
