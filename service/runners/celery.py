"""The runner over a broker: ids of queued jobs are published to Celery, whose workers claim them in the table.

A job is accepted when its row is there; this thread then tells the broker, and goes on trying where that is away.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from service.broker import CPU, GPU, TASK, make_app, queue_of, waiting
from service.jobs.outbox import Waiting, note_published, unpublished
from service.jobs.store import Store
from service.runners.house import keeping_house
from service.settings import Settings

PUBLISH_SECONDS: Final = 0.2
LOOK_SECONDS: Final = 10.0
"""How often one looks whether messages were lost."""
AGAIN_SECONDS: Final = 2.0
log = logging.getLogger(__name__)


@contextmanager
def publishing(settings: Settings) -> Iterator[None]:
    """For as long as the context lasts. Raises MissingExtraError."""
    publisher = Publisher(make_app(settings))
    with keeping_house(settings, publisher.publish, every=PUBLISH_SECONDS):
        yield


class Publisher:
    """Tells a broker what waits."""

    def __init__(self, app: Any) -> None:
        """Over this application of Celery's."""
        self._app = app
        self._looked = self._tried = -LOOK_SECONDS

    def publish(self, store: Store) -> None:
        """All that is to be told; a broker that does not answer is left alone for a while."""
        if time.monotonic() - self._tried < AGAIN_SECONDS:
            return
        try:
            with unpublished(store, lost_too=self._may_be_lost()) as jobs:
                self._tell(store, jobs)
        except self._errors() as error:
            self._tried = time.monotonic()
            log.warning("the broker does not answer: %s", error)

    def _tell(self, store: Store, jobs: Sequence[Waiting]) -> None:
        told: list[Waiting] = []
        try:
            for job in jobs:
                self._app.send_task(TASK, args=[job.job_id], queue=queue_of(gpu=job.gpu), retry=False)
                told.append(job)
        finally:
            note_published(store, told)

    def _may_be_lost(self) -> bool:
        """Now and then, where nothing waits at the broker."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return False
        self._looked = time.monotonic()
        return not (waiting(self._app, CPU) or waiting(self._app, GPU))

    def _errors(self) -> tuple[type[Exception], ...]:
        from kombu.exceptions import KombuError  # noqa: PLC0415 - of an extra that few have

        connection = self._app.connection_for_write()
        return (KombuError, OSError, *connection.connection_errors, *connection.channel_errors)
