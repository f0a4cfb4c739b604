"""Celery as this service uses it (extra `celery`): a message is the id of a job and nothing else.

    queues   gh.cpu, gh.gpu: quorum queues on RabbitMQ, lists on Redis
    task     gradient_health.run(job_id), acknowledged when the job has ended

The row of a job is the truth: a message may come twice, late or never.
"""

from http import HTTPStatus
from typing import Any, Final

from service.settings import Settings
from service.startup import needing_extra

TASK: Final = "gradient_health.run"
CPU: Final = "gh.cpu"
GPU: Final = "gh.gpu"
QUEUES: Final = {"cpu": (CPU,), "gpu": (GPU,), "any": (CPU, GPU)}
"""Those of a node that computes so."""
VISIBLE_SECONDS: Final = 12 * 3600
"""Redis hands a message out again that was not acknowledged for so long."""


def queue_of(*, gpu: bool) -> str:
    """Where the id of such a job goes."""
    return GPU if gpu else CPU


def make_app(settings: Settings) -> Any:
    """The Celery application of a broker. Raises MissingExtraError."""
    with needing_extra("celery"):
        import celery  # noqa: PLC0415 - of an extra that few have
        import kombu  # noqa: PLC0415
    amqp = settings.broker_url.startswith(("amqp", "pyamqp"))
    arguments = {"x-queue-type": "quorum"} if amqp else {}
    app = celery.Celery("gradient_health", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_queues=[kombu.Queue(name, routing_key=name, queue_arguments=arguments) for name in (CPU, GPU)],
        task_default_queue=CPU,
        task_default_exchange_type="direct",
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=5,
        broker_transport_options={"confirm_publish": True} if amqp else {"visibility_timeout": VISIBLE_SECONDS},
    )
    return app


def waiting(app: Any, queue: str) -> int:
    """How many messages wait there."""
    from kombu.exceptions import ChannelError  # noqa: PLC0415 - of an extra that few have

    with app.connection_for_read() as connection:
        try:
            return int(connection.default_channel.queue_declare(queue, passive=True).message_count)
        except ChannelError as error:
            if int(error.reply_code) != HTTPStatus.NOT_FOUND:  # no queue yet; AMQP took its numbers from HTTP
                raise
            return 0
