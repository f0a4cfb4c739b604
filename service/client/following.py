"""A job followed to its end: server-sent events, with `Last-Event-ID` after a break; asking where they do not come.

Events need a connection that stays open. A proxy that keeps them back, or a service that cannot be reached three times
in a row, is asked every now and then instead. With a deadline the last seconds are spent asking, as nobody
knows when a stream says its next word.
"""

import json
import time
from collections.abc import Mapping
from typing import Final

import httpx
from pydantic import ValidationError

from service.client.answers import read
from service.client.errors import WaitedTooLong, failure
from service.client.retrying import pause
from service.client.steps import Call, Close, Listen, NextLine, Pause, Send, Stream
from service.problems import Problem
from service.schemas import JobView, job_path

SILENCE_SECONDS: Final = 40.0
"""A service says something every 15 s."""
FIRST_ASK_SECONDS: Final = 0.1
LONGEST_ASK_SECONDS: Final = 2.0
MOST_BREAKS: Final = 3
EVENT_STREAM: Final = "text/event-stream"


class Following:
    """Where one is with a job: what was told last, and how it was heard."""

    def __init__(self, job_id: str, seconds: float | None = None) -> None:
        """Nothing heard yet; `seconds`: how long it is waited for, None for ever."""
        self._job_id, self._seconds = job_id, seconds
        self._deadline = float("inf") if seconds is None else time.monotonic() + seconds
        self._stream: Stream | None = None
        self._last_id: str | None = None
        self._told: JobView | None = None
        self._breaks = 0
        self._asked = 0

    def next(self) -> Call[JobView | None]:
        """The job as soon as it has changed, None after its end.

        Raises ApiError, WaitedTooLong, and httpx.TransportError where asking does not help either.
        """
        if self._told is not None and self._told.state.is_end:
            return None
        while self._breaks < MOST_BREAKS and self._left() > SILENCE_SECONDS:
            try:
                job = yield from self._heard()
            except httpx.TransportError:
                job = None
            if job is not None:
                self._told, self._breaks = job, 0
                return job
            yield from self.close()
            self._breaks += 1
            if self._breaks < MOST_BREAKS:
                yield Pause(pause(self._breaks))
        yield from self.close()
        return (yield from self._ask())

    def close(self) -> Call[None]:
        """Hang up."""
        stream, self._stream = self._stream, None
        if stream is not None:
            yield Close(stream)

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _heard(self) -> Call[JobView | None]:
        """The job of the next event; None where the stream ends, is none, or has no time left."""
        if self._stream is None:
            headers = {"Accept": EVENT_STREAM} | ({} if self._last_id is None else {"Last-Event-ID": self._last_id})
            stream: Stream = yield Listen(
                f"{job_path(self._job_id)}/events", {"headers": headers, "timeout": SILENCE_SECONDS}
            )
            self._stream = stream
            if not _is_stream(stream.response):
                self._breaks = MOST_BREAKS
                return None
        event: dict[str, str] = {}
        while self._left() > SILENCE_SECONDS:
            line: str | None = yield NextLine(self._stream)
            if line is None:
                return None
            if line:
                name, _, value = line.partition(":")
                event[name] = value.removeprefix(" ")
            elif "data" in event:
                return self._read(event)
            else:
                event = {}
        return None

    def _read(self, event: Mapping[str, str]) -> JobView | None:
        """The job of an event. Raises ApiError: it was deleted."""
        self._last_id = event.get("id", self._last_id)
        if event.get("event") == "deleted":
            told = Problem.model_validate_json(event["data"])
            raise failure(httpx.Response(told.status, json=json.loads(event["data"])))
        try:
            return JobView.model_validate_json(event["data"])
        except ValidationError:
            self._breaks = MOST_BREAKS
            return None

    def _ask(self) -> Call[JobView]:
        """The job as soon as asking for it gives another one than before."""
        while True:
            response: httpx.Response = yield Send("GET", job_path(self._job_id))
            job = read(JobView, response)
            if job != self._told:
                self._told, self._asked = job, 0
                return job
            if self._left() <= 0 and self._seconds is not None:
                raise WaitedTooLong(self._job_id, self._seconds)
            seconds = min(FIRST_ASK_SECONDS * 1.5**self._asked, LONGEST_ASK_SECONDS)
            self._asked += 1
            yield Pause(max(min(seconds, self._left()), 0.0))


def _is_stream(response: httpx.Response) -> bool:
    return response.is_success and response.headers.get("content-type", "").startswith(EVENT_STREAM)
