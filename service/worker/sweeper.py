"""Removes what nobody can ask for any more: analyses by age, number and bytes, and objects that no job holds.

A turn is short and seldom: a few analyses, then the objects under one of 256 prefixes. An object goes once it has been
seen unheld and unchanged for `orphan_seconds`, time enough for an upload to become a job and for whoever still reads;
`service.jobs.holding` says why none goes that somebody holds. Blobs that were sent ahead have had as long before.
Killed at any point, a sweep has removed whole jobs and whole objects, and the next one finds the rest.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from service.database import tell_of
from service.jobs.blobs import drop_blobs
from service.jobs.holding import (
    held_bytes,
    held_under,
    hold_what_is_left,
    holding_nothing,
    inputs_of,
    let_go,
    note_removed,
    own_bytes,
)
from service.jobs.job import Job
from service.jobs.store import Store
from service.objects.blob import Found, Objects
from service.settings import Settings
from service.worker.results import BadResultError, read_report

PREFIXES: Final = tuple(f"{number:02x}" for number in range(256))
MOST: Final = 100
"""Analyses or objects that one turn removes."""
ROUNDS: Final = 3
"""Every object is looked at so often before it goes."""
SHORTEST_PAUSE: Final = 0.01
log = logging.getLogger(__name__)


class Sweeper:
    """Of one node; those of several nodes do not disturb each other."""

    def __init__(
        self, store: Store, objects: Objects, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock`: seconds, which no change of the machine's time moves."""
        self.store = store
        self.objects = objects
        self.settings = settings
        self.prefixes = PREFIXES
        self._clock = clock
        self._prefixes: Iterator[str] = iter(())
        self._unheld: dict[str, dict[str, tuple[Found, float]]] = {}

    def run(self, stopping: threading.Event) -> None:
        """Turn after turn until told to stop."""
        pause = max(SHORTEST_PAUSE, self.settings.orphan_seconds / ROUNDS / len(PREFIXES))
        while not stopping.wait(pause):
            try:
                self.turn()
            except Exception as error:  # noqa: BLE001 - there is no other thread that sweeps
                tell_of(log, "nothing is swept", error)

    def turn(self) -> None:
        """A few analyses, then one prefix, or what comes before the first."""
        self._expire()
        drop_blobs(self.store, self.settings.orphan_seconds)
        prefix = next(self._prefixes, None)
        if prefix is not None:
            self._sweep(prefix)
        elif not self._list_earlier():
            self._shrink()
            self._prefixes = iter(self.prefixes)

    # -------------------------------------------------------------- analyses

    def _expire(self) -> None:
        """By age and by number."""
        settings, old = self.settings, list[Job]()
        if settings.keep_days:
            old += self.store.ended_first(MOST, before=self.store.time() - timedelta(days=settings.keep_days))
        if settings.keep_jobs:
            old += self.store.ended_first(MOST, after_newest=settings.keep_jobs)
        self._forget(old)

    def _shrink(self) -> None:
        """By bytes: those that ended first, as many as it takes."""
        if not self.settings.keep_bytes:
            return
        excess = held_bytes(self.store.engine) - self.settings.keep_bytes
        for job in self.store.ended_first(MOST) if excess > 0 else ():
            if excess <= 0:
                return
            excess -= own_bytes(self.store.engine, job)
            self._forget([job])

    def _forget(self, jobs: list[Job]) -> None:
        number = sum(self.store.delete(job) for job in jobs)
        if number:
            log.info("%d analyses were removed, their time was over", number)
            note_removed(self.store.engine, "jobs", number)

    # -------------------------------------------------------------- objects

    def _list_earlier(self) -> bool:
        """Let jobs of before there were holds hold what is theirs; whether there were any."""
        earlier = holding_nothing(self.store.engine, MOST)
        for job in earlier:
            hold_what_is_left(self.store.engine, job.id, inputs_of(job) | self._results_of(job), self.objects.size)
        return bool(earlier)

    def _results_of(self, job: Job) -> set[str]:
        if job.report_sha256 is None:
            return set()
        try:
            return {job.report_sha256, *read_report(self.objects.get(job.report_sha256)).models.values()}
        except (FileNotFoundError, BadResultError):
            return {job.report_sha256}

    def _sweep(self, prefix: str) -> None:
        held, before, moment = held_under(self.store.engine, prefix), self._unheld.pop(prefix, {}), self._clock()
        unheld: dict[str, tuple[Found, float]] = {}
        for blob in self.objects.found(prefix):
            if blob.sha256 not in held:
                seen, since = before.get(blob.sha256, (blob, moment))
                unheld[blob.sha256] = (blob, since if seen == blob else moment)
        self._unheld[prefix] = unheld
        over = [blob for blob, since in unheld.values() if moment - since >= self.settings.orphan_seconds]
        gone = [blob for blob in over[:MOST] if self._remove(blob)]
        if gone:
            log.info("%d objects that no analysis holds were removed", len(gone))
            note_removed(self.store.engine, "objects", len(gone), sum(blob.size for blob in gone))

    def _remove(self, blob: Found) -> bool:
        with let_go(self.store.engine, blob.sha256) as is_free:
            return is_free and self.objects.remove(blob)
