"""The same for asyncio: against a real server, and that there is nothing that only one of the two can do."""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from analysis.report import Report
from service.app import create_app
from service.client import AsyncClient, Client
from service.client.errors import Gone, NotFound, WaitedTooLong
from service.jobs.job import State, now
from service.settings import Settings
from tests.gallery import he, mlp, vectors
from tests.service.application import Service
from tests.service.server.live import live


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    app = create_app(Settings(data_dir=tmp_path / "data"))
    yield Service(app)
    app.state.parts.store.close()


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    with live(service.app, service.parts.settings, service.parts.drain) as server:
        yield f"http://127.0.0.1:{server.address[1]}"


def public(kind: type) -> dict[str, list[str]]:
    return {
        name: list(inspect.signature(each).parameters)
        for name, each in vars(kind).items()
        if inspect.isfunction(each) and not name.startswith("_")
    }


def test_both_clients_can_do_the_same() -> None:
    assert public(AsyncClient) == public(Client)


def test_an_analysis_is_followed_to_its_report(service: Service, url: str, healthy: Report, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(mlp(3, "Relu", he(), width=16))
    heard = threading.Event()
    seen: list[str] = []

    def progress(stage: str, fraction: float) -> None:
        seen.append(stage)
        heard.set()

    async def ask() -> Report:
        async with AsyncClient(url) as client:
            analysis = client.analyze(tmp_path / "net.onnx", vectors(), {"seed": 3}, progress=progress)
            asking = asyncio.create_task(analysis)
            await asyncio.to_thread(heard.wait, 10)
            job = service.succeed(healthy)
            assert job.question.model_name == "net.onnx"
            return await asking

    assert asyncio.run(ask()).verdict is healthy.verdict
    assert seen


def test_jobs_are_followed_listed_cancelled_and_forgotten(service: Service, url: str) -> None:
    async def ask() -> None:
        async with AsyncClient(url) as client:
            job = await client.submit(b"model", labels={"project": "p"})
            other = await client.submit(b"another model")
            states = []
            async for told in client.follow(job.id):
                states.append(told.state)
                if told.state is State.QUEUED:
                    await client.cancel(job.id)
            assert states == [State.QUEUED, State.CANCELLED]
            assert [each.id async for each in client.jobs(labels={"project": "p"})] == [job.id]
            with pytest.raises(WaitedTooLong):
                await client.wait(other.id, timeout=0.05)
            await client.delete(job.id)
            with pytest.raises(Gone):
                await client.job(job.id)
            with pytest.raises(NotFound):
                await client.report_as(other.id, "docx")
            assert not await client.ready()
            service.parts.store.seen("worker", now(), ready=True)
            assert await client.ready()

    asyncio.run(ask())


def test_who_is_cancelled_hangs_up(service: Service, url: str) -> None:
    async def ask() -> None:
        async with AsyncClient(url) as client:
            job = await client.submit(b"model")
            waiting = asyncio.create_task(client.wait(job.id))
            await asyncio.sleep(0.3)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            pool = client._http._transport._pool  # type: ignore[attr-defined]
            assert all(each.is_idle() or each.is_closed() for each in pool.connections)

    asyncio.run(ask())


def test_models_are_fetched_and_reports_compared(service: Service, url: str, healthy: Report, tmp_path: Path) -> None:
    async def ask() -> None:
        async with AsyncClient(url) as client:
            job = await client.submit(b"model")
            service.succeed(healthy)
            report = await client.report(job.id)
            assert not (await client.compare(job.id, report)).regression
            await client.fetch_models(job.id, report, tmp_path / "models", ["baseline"])

    asyncio.run(ask())
    assert not list((tmp_path / "models").iterdir())


def test_where_no_service_is_the_last_of_the_tries_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def ask() -> None:
        monkeypatch.setattr(asyncio, "sleep", sleep)
        async with AsyncClient("http://127.0.0.1:1") as client:
            with pytest.raises(httpx.ConnectError):
                await client.job("j")

    asyncio.run(ask())
    assert len(pauses) == 3
