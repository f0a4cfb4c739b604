"""Celery as this service sets it up."""

import builtins
import json

import pytest

from service.broker import CPU, GPU, QUEUES, TASK, make_app, queue_of, waiting
from service.settings import Settings
from service.startup import MissingExtraError
from tests.servers import BROKERS, broker


def test_each_kind_of_job_has_its_queue() -> None:
    assert (queue_of(gpu=False), queue_of(gpu=True)) == (CPU, GPU) == ("gh.cpu", "gh.gpu")
    assert QUEUES == {"cpu": (CPU,), "gpu": (GPU,), "any": (CPU, GPU)}


def test_queues_of_rabbitmq_are_durable_and_replicated() -> None:
    queues = make_app(Settings(broker_url="amqp://localhost//")).conf.task_queues
    assert [queue.name for queue in queues] == [CPU, GPU]
    assert all(queue.durable and queue.queue_arguments == {"x-queue-type": "quorum"} for queue in queues)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: object) -> object:
        if name == "celery":
            raise ModuleNotFoundError("No module named 'celery'", name="celery")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r"celery is not installed: pip install 'gradient-health\[celery\]'"):
        make_app(Settings())


@pytest.mark.server
@pytest.mark.xdist_group(BROKERS)
@pytest.mark.parametrize("kind", ["rabbitmq", "redis"])
def test_a_message_is_the_id_of_a_job_and_nothing_else(kind: str) -> None:
    app = make_app(Settings(broker_url=broker(kind)))
    assert waiting(app, "gh.never") == 0
    app.send_task(TASK, args=["an id"], queue=CPU)
    with app.connection_for_read() as connection:
        queue = next(queue for queue in app.conf.task_queues if queue.name == CPU)(connection.default_channel)
        while (message := queue.get(no_ack=True)) is None:
            continue
    arguments, named, _ = json.loads(message.body)
    assert (arguments, named) == (["an id"], {})
