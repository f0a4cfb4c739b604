"""Requests that wait for the ends of jobs, or follow them: one question to the job table for all, however many."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final

import anyio
from anyio.to_thread import run_sync

from service.database import AWAY
from service.drain import Drain
from service.jobs.job import Job

LOOK_SECONDS: Final = 0.03
"""So long after it a request knows that its job has ended."""
FOLLOW_SECONDS: Final = 0.25
"""So long after it one that follows a job knows that it has changed."""
GoingOn = Callable[[Collection[str]], Collection[str]]
"""Those of these jobs that have not ended."""

Standing = Callable[[Collection[str]], Mapping[str, Job]]
"""Those of these jobs that there are."""


class Looks:
    """Who follows which job."""

    def __init__(self, standing: Standing) -> None:
        """Nobody yet."""
        self._standing = standing
        self._asked: set[str] = set()
        self._asking: asyncio.Task[Mapping[str, Job]] | None = None

    async def next(self, job_id: str) -> Job | None:
        """The job at the next look; None: there is none any more. Raises what AWAY has."""
        self._asked.add(job_id)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return (await asyncio.shield(self._asking)).get(job_id)  # who hangs up takes nobody's answer along

    async def _ask(self) -> Mapping[str, Job]:
        await asyncio.sleep(FOLLOW_SECONDS)
        asked, self._asked, self._asking = self._asked, set(), None
        return await run_sync(self._standing, asked)


class Ends:
    """Who waits for which job."""

    def __init__(self, going_on: GoingOn, drain: Drain) -> None:
        """Nobody yet."""
        self._going_on = going_on
        self._drain = drain
        self._waiting: dict[asyncio.Event, str] = {}
        self._asking: asyncio.Task[None] | None = None

    async def wait(self, job_id: str, seconds: float) -> None:
        """Until the job has ended or is gone, the time is over, or the server stops."""
        ended = asyncio.Event()
        self._waiting[ended] = job_id
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        try:
            with anyio.move_on_after(seconds):
                await ended.wait()
        finally:
            del self._waiting[ended]

    async def _ask(self) -> None:
        while self._waiting:
            await asyncio.sleep(LOOK_SECONDS)
            asked = dict(self._waiting)
            try:
                going_on = set() if self._drain.begun else await run_sync(self._going_on, set(asked.values()))
            except AWAY:  # a job table that somebody holds: it is asked again
                continue
            for ended, job_id in asked.items():
                if job_id not in going_on:
                    ended.set()
