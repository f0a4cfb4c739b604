"""The progress of a job as server-sent events, read off its row.

Progress is a state and no log: an event is the job as it stands, and its id names that. A client that comes back, to
any node, with the id of the last one it saw is told what has changed since, and nothing twice.
"""

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Final

import anyio
from anyio.to_thread import run_sync

from service.api.context import Parts
from service.api.waiting import find_job
from service.database import AWAY
from service.jobs.job import Job
from service.problems import ProblemError
from service.schemas import view

SILENCE_SECONDS: Final = 15.0
"""Proxies close what says nothing for long."""
RETRY_MILLISECONDS: Final = 2000


def event_id(job: Job) -> str:
    """The same for the same attempt, state and progress, on every node."""
    told = json.dumps([job.id, job.attempt, job.state, job.stage, job.fraction])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


async def events(parts: Parts, job: Job, known: str | None) -> AsyncIterator[bytes]:
    """`progress` for every change since `known`, then `end`; less where the server stops or the job is deleted."""
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    said = anyio.current_time()
    while True:
        if event_id(job) != known:
            known, said = event_id(job), anyio.current_time()
            yield _frame(job, known)
        if job.state.is_end or parts.drain.begun:
            return
        if anyio.current_time() - said > SILENCE_SECONDS:
            said = anyio.current_time()
            yield b": still there\n\n"
        try:
            seen = await parts.looks.next(job.id)
            job = await run_sync(find_job, parts.store, job.tenant, job.id) if seen is None else seen
        except AWAY:  # a job table that somebody holds: what changed is told later
            continue
        except ProblemError as error:
            yield f"event: deleted\ndata: {error.problem.model_dump_json(exclude_none=True)}\n\n".encode()
            return


def _frame(job: Job, name: str) -> bytes:
    kind = "end" if job.state.is_end else "progress"
    return f"id: {name}\nevent: {kind}\ndata: {view(job).model_dump_json()}\n\n".encode()
