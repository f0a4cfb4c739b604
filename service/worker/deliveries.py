"""Jobs that a broker delivers: a Celery worker in threads of this supervisor, one for each slot.

A task offers its id to the supervisor and waits until the job has ended here, or is not to be had: it has ended, runs
elsewhere, was forgotten. Then the message is acknowledged. The job itself is kept by its lease, as any other.

    offered -> claimed -> ended here, or given back      acknowledged: the row says what is to be told again
    offered -> not to be had                             acknowledged
    offered -> the table does not answer, or we stop     back into the queue, for a node that can
"""

import importlib
import logging
import os
import queue
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from service.broker import QUEUES, TASK, make_app
from service.jobs.job import Job
from service.jobs.store import Store
from service.settings import Settings

LOOK_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 2.0
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Offer:
    """A message that a task of Celery's has brought."""

    job_id: str
    over: threading.Event = field(default_factory=threading.Event)
    refused: bool = False
    """Nothing came of it here: somebody else shall have it."""

    def refuse(self) -> None:
        """It goes back."""
        self.refused = True
        self.over.set()


def _request_that_tells(lost: Callable[[], None]) -> type:
    """Celery's own request, which tells where a message cannot be acknowledged; Celery itself writes a line.

    Only the message knows: the request leaves it to Celery's loop, which answers the broker later.
    """
    from celery.worker.request import Request  # noqa: PLC0415 - of an extra that few have

    def telling(answer: Callable[..., None]) -> Callable[..., None]:
        def answer_or_tell(**how: Any) -> None:
            try:
                answer(**how)
            except Exception:
                lost()
                raise

        return answer_or_tell

    class Telling(Request):  # type: ignore[misc]
        def acknowledge(self) -> None:
            self._message.ack = telling(self._message.ack)
            super().acknowledge()

        def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - Celery's own signature
            self._message.reject = telling(self._message.reject)
            super().reject(requeue)

    return Telling


class BrokerSource:
    """Ids from a broker, claimed in the table."""

    def __init__(self, store: Store, owner: str, settings: Settings) -> None:
        """Consumes from now on."""
        self._store = store
        self._owner = owner
        self._settings = settings
        self._offers: queue.SimpleQueue[Offer] = queue.SimpleQueue()
        self._held: dict[str, Offer] = {}
        self._heard, self._said = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._closing = threading.Event()
        self._app = make_app(settings)
        self._app.task(name=TASK, shared=False, Request=_request_that_tells(self._start_anew))(self._offer)
        self._app.set_default()  # the threads of a worker ask for it
        self._state = vars(importlib.import_module("celery.worker.state"))
        self._state["should_stop"] = None
        threading.Thread(target=self._consume, name="broker", daemon=True).start()

    def claim(self) -> Job | None:
        """The first of those offered that is to be had."""
        self._drain()
        while True:
            try:
                offer = self._offers.get_nowait()
            except queue.Empty:
                return None
            job = self._claim(offer)
            if job is not None:
                self._held[job.id] = offer
                return job
            offer.over.set()

    def ended(self, job: Job) -> None:
        """Its message is acknowledged."""
        offer = self._held.pop(job.id, None)
        if offer is not None:
            offer.over.set()

    def hand_on(self) -> None:
        """What was offered goes back into the queue."""
        with suppress(queue.Empty):
            while True:
                self._offers.get_nowait().refuse()

    def ears(self) -> list[Any]:
        """The end of a pipe."""
        return [self._heard]

    def patience(self) -> float:
        """Nothing depends on it."""
        return LOOK_SECONDS

    def close(self) -> None:
        """Consume no more; what is not acknowledged goes to somebody else."""
        self._closing.set()
        for offer in self._held.values():
            offer.over.set()
        self._state["should_stop"] = 0  # an exit code: how Celery tells its own worker, which hears it within 10 s

    def _claim(self, offer: Offer) -> Job | None:
        """Raises what the table does, with the offer on its way back."""
        most = self._settings.max_running_jobs_per_tenant
        try:
            return self._store.claim(self._owner, most_of_a_tenant=most, job_id=offer.job_id)
        except Exception:
            offer.refuse()
            raise

    def _offer(self, job_id: str) -> None:
        """The task, in a thread of Celery's. Raises Reject for a message that is to go back into the queue."""
        from celery.exceptions import Reject  # noqa: PLC0415 - of an extra that few have

        offer = Offer(str(job_id))
        self._offers.put(offer)
        os.write(self._said, b".")
        while not offer.over.wait(LOOK_SECONDS):
            if self._closing.is_set():
                raise Reject("the worker stops", requeue=True)
        if offer.refused:
            # Redis serves whoever asked first: who is in step with it would have this message again and again.
            self._closing.wait(AGAIN_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            raise Reject("the job table does not answer", requeue=True)

    def _drain(self) -> None:
        try:
            os.read(self._heard, 1 << 16)
        except BlockingIOError:
            return

    def _start_anew(self) -> None:
        """A message that could not be acknowledged holds the place of the next one: with Redis, for ever."""
        self._state["should_stop"] = 0

    def _consume(self) -> None:
        """One consumer after the other, should one end."""
        from kombu.asynchronous import set_event_loop  # noqa: PLC0415 - of an extra that few have

        while not self._closing.is_set():
            self._state["should_stop"] = None
            if self._closing.is_set():  # which was said before the line above
                break
            try:
                set_event_loop(None)  # that of a worker before has been closed
                self._app.WorkController(
                    pool="threads",
                    concurrency=self._settings.job_slots,
                    queues=QUEUES[self._settings.computes],
                    without_gossip=True,
                    without_mingle=True,
                    without_heartbeat=True,
                ).start()
            except Exception:
                log.warning("the broker does not answer", exc_info=True)
            self._closing.wait(AGAIN_SECONDS)
