"""Events of jobs that change by hand while somebody follows."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from service.api import ends
from service.api import events as module
from service.api.events import event_id, events
from service.jobs.job import Job, State, now
from tests.service.application import Service, job_of


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "FOLLOW_SECONDS", 0.01)


def parsed(frame: bytes) -> dict[str, Any]:
    assert frame.endswith(b"\n\n")
    return dict(line.split(": ", 1) for line in frame.decode().strip().split("\n"))


def running(service: Service) -> Job:
    service.submit()
    return service.claim()


def stream(service: Service, job: Job, known: str | None = None) -> AsyncIterator[bytes]:
    return aiter(events(service.parts, job, known))


def test_every_change_is_told_once_and_the_end_is_the_last(service: Service) -> None:
    job = running(service)

    async def follow() -> list[dict[str, Any]]:
        told, following = list[dict[str, Any]](), stream(service, job)
        assert parsed(await anext(following)) == {"retry": "2000"}
        told.append(parsed(await anext(following)))
        for stage, fraction in (("measure", 0.25), ("prove", 0.5)):
            service.parts.store.keep(job, now(), stage, fraction)
            told.append(parsed(await anext(following)))
        service.parts.store.finish(job, State.FAILED, now(), error={"code": "a"})
        told += [parsed(frame) async for frame in following]
        return told

    told = asyncio.run(follow())
    assert [each["event"] for each in told] == ["progress", "progress", "progress", "end"]
    assert [json.loads(each["data"])["progress"]["fraction"] for each in told] == [0.0, 0.25, 0.5, 1.0]
    assert len({each["id"] for each in told}) == 4


def test_who_comes_back_is_told_what_changed_since_and_nothing_twice(service: Service) -> None:
    job = running(service)

    async def come_back() -> bytes:
        following = stream(service, job, event_id(job))
        await anext(following)
        service.parts.store.keep(job, now(), "prove", 0.5)
        return await anext(following)

    told = json.loads(parsed(asyncio.run(come_back()))["data"])
    assert told["progress"] == {"stage": "prove", "fraction": 0.5}


def test_the_id_of_an_event_is_one_line_whatever_a_stage_is_called(service: Service) -> None:
    job = running(service)
    service.parts.store.keep(job, now(), "a\n\nevent: end", 0.5)
    changed = service.parts.store.get(job.id)
    assert changed is not None
    assert event_id(changed) != event_id(job)
    assert event_id(changed).isalnum()


def test_a_server_that_stops_and_a_job_that_is_deleted_end_the_stream(service: Service) -> None:
    job = running(service)

    async def until_the_end(change: Any) -> list[bytes]:
        following = stream(service, job, event_id(job))
        await anext(following)
        change()
        return [frame async for frame in following]

    (told,) = asyncio.run(until_the_end(lambda: service.parts.store.delete(job, now())))
    assert parsed(told)["event"] == "deleted"
    assert asyncio.run(until_the_end(service.parts.drain.begin)) == []


def test_a_job_table_that_is_held_is_waited_for(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    job, asked = running(service), list[int]()

    def held(_: object) -> dict[str, Job]:
        asked.append(1)
        if len(asked) < 3:
            raise OperationalError("", {}, Exception("database is locked"))
        service.parts.drain.begin()
        return {job.id: job}

    monkeypatch.setattr(service.parts.looks, "_standing", held)

    async def follow() -> list[bytes]:
        return [frame async for frame in stream(service, job, event_id(job))]

    assert len(asyncio.run(follow())) == 1
    assert len(asked) == 3


def test_silence_is_broken(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.0)
    job = running(service)

    async def follow() -> bytes:
        following = stream(service, job, event_id(job))
        await anext(following)
        return await anext(following)

    assert asyncio.run(follow()).startswith(b":")
    assert job_of(service.submit())


def test_however_many_follow_one_question_is_asked_for_all(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, asked = [job_of(service.submit()) for _ in range(3)], list[set[str]]()
    standing = service.parts.store.standing
    monkeypatch.setattr(service.parts.looks, "_standing", lambda ids: asked.append(set(ids)) or standing(ids))

    async def follow_all() -> list[Any]:
        looks = service.parts.looks
        leaving = asyncio.ensure_future(looks.next(jobs[0]))
        await asyncio.sleep(0)
        leaving.cancel()
        return await asyncio.gather(*(looks.next(each) for each in [*jobs, "none"] * 50))

    found = asyncio.run(follow_all())
    assert [each and each.id for each in found] == [*jobs, None] * 50
    assert asked == [{*jobs, "none"}]
