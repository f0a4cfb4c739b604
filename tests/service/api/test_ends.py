"""Who waits for ended jobs, over a job table that is a set."""

import asyncio
import sqlite3
from collections.abc import Collection

from sqlalchemy.exc import OperationalError

from service.api.ends import LOOK_SECONDS, Ends
from service.drain import Drain

PATIENCE = 30.0


class Table:
    """The jobs that go on, and what was asked."""

    def __init__(self, *jobs: str) -> None:
        self.jobs = set(jobs)
        self.asked: list[Collection[str]] = []
        self.locked = 0

    def __call__(self, job_ids: Collection[str]) -> Collection[str]:
        self.asked.append(job_ids)
        if self.locked:
            self.locked -= 1
            raise OperationalError("SELECT", {}, sqlite3.OperationalError("database is locked"))
        return self.jobs & set(job_ids)


async def seconds_until(ends: Ends, job_id: str, seconds: float = PATIENCE) -> float:
    start = asyncio.get_running_loop().time()
    await ends.wait(job_id, seconds)
    return asyncio.get_running_loop().time() - start


def test_each_knows_of_the_end_of_its_own_job() -> None:
    table = Table("short", "long")

    async def wait() -> tuple[bool, bool]:
        ends = Ends(table, Drain(0.0))
        waiting = {name: asyncio.create_task(ends.wait(name, PATIENCE)) for name in ("short", "long")}
        await asyncio.sleep(3 * LOOK_SECONDS)
        assert not waiting["short"].done()
        table.jobs.remove("short")
        await asyncio.wait_for(waiting["short"], PATIENCE)
        still = waiting["long"].done()
        table.jobs.remove("long")
        await asyncio.wait_for(waiting["long"], PATIENCE)
        return still, waiting["long"].done()

    assert asyncio.run(wait()) == (False, True)


def test_many_who_wait_ask_no_more_often_than_one() -> None:
    table = Table("job")

    async def wait() -> None:
        ends = Ends(table, Drain(0.0))
        await asyncio.gather(*(ends.wait("job", 10 * LOOK_SECONDS) for _ in range(100)))

    asyncio.run(wait())
    assert 1 <= len(table.asked) <= 11
    assert set(map(tuple, table.asked)) == {("job",)}


def test_patience_ends_and_then_nobody_asks_any_more() -> None:
    table = Table("job")

    async def wait() -> float:
        ends = Ends(table, Drain(0.0))
        taken = await seconds_until(ends, "job", 2 * LOOK_SECONDS)
        await asyncio.sleep(2 * LOOK_SECONDS)
        asked = len(table.asked)
        await asyncio.sleep(4 * LOOK_SECONDS)
        assert len(table.asked) == asked
        return taken

    assert 2 * LOOK_SECONDS <= asyncio.run(wait()) < PATIENCE


def test_a_server_that_stops_lets_everybody_go_without_asking() -> None:
    table, drain = Table("job"), Drain(0.0)
    drain.begin()
    assert asyncio.run(seconds_until(Ends(table, drain), "job")) < PATIENCE
    assert table.asked == []


def test_a_table_that_somebody_holds_is_asked_again() -> None:
    table = Table()
    table.locked = 2
    assert asyncio.run(seconds_until(Ends(table, Drain(0.0)), "job")) < PATIENCE
    assert len(table.asked) == 3
