"""The application without a server and without a worker: asked over a bridge, its jobs ended by hand."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from analysis.report import Report
from service.api.context import Parts
from service.client import Client
from service.jobs.job import Job, State, now
from service.problems import Problem, problem

MODEL, BATCH = b"\x08\x08 bytes that the API never parses", b"PK a batch"
FILES = {"model": ("network.onnx", MODEL), "batch": ("batch.npz", BATCH)}
WITHOUT_WAITING = {"Prefer": "respond-async"}
UNSUPPORTED = problem("unsupported-operator", HTTPStatus.UNPROCESSABLE_ENTITY, "Det", where="node 'det'").model_dump()


@dataclass(frozen=True)
class Service:
    """An application and the worker's side of its data folder."""

    app: FastAPI

    @property
    def folder(self) -> Path:
        """Where the blobs are."""
        return self.parts.settings.objects_dir

    @property
    def parts(self) -> Parts:
        return self.app.state.parts

    async def exchange(self, method: str, path: str, **how: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **how)

    def ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        return asyncio.run(self.exchange(method, path, **how))

    def get(self, path: str) -> httpx.Response:
        return self.ask("GET", path)

    def submit(self, query: str = "", **how: Any) -> httpx.Response:
        return self.ask("POST", f"/v1/analyses{query}", **({"files": FILES, "headers": WITHOUT_WAITING} | how))

    def claim(self) -> Job:
        job = self.parts.store.claim("worker", now())
        assert job is not None
        return job

    def succeed(self, report: Report, job: Job | None = None) -> Job:
        """The next job ends with this report."""
        job, blob = job or self.claim(), self.parts.objects.put(report.to_json())
        assert self.parts.store.finish(job, State.SUCCEEDED, now(), report=blob.sha256)
        return job

    def fail(self, state: State = State.FAILED, error: dict[str, Any] | None = UNSUPPORTED) -> Job:
        job = self.claim()
        assert self.parts.store.finish(job, state, now(), error=error)
        return job

    @contextmanager
    def worker(self, report: Report) -> Iterator[None]:
        """Ends one job as soon as it is there."""
        over = threading.Event()

        def work() -> None:
            while not over.wait(0.02):
                if (job := self.parts.store.claim("worker", now())) is not None:
                    self.succeed(report, job)
                    return

        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            try:
                yield
            finally:
                over.set()
            working.result()


class Bridge(httpx.BaseTransport):
    """From a synchronous client to an ASGI application."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run(self.forward(request))

    async def forward(self, request: httpx.Request) -> httpx.Response:
        forwarded = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        response = await httpx.ASGITransport(self.app).handle_async_request(forwarded)
        content = b"".join([chunk async for chunk in response.aiter_raw()])  # compressed, if it is
        return httpx.Response(response.status_code, headers=response.headers, content=content)


def client_of(transport: httpx.BaseTransport) -> Client:
    return Client("http://localhost/", transport=transport, retries=0)


def problem_in(response: httpx.Response, status: HTTPStatus, code: str) -> Problem:
    assert response.headers["content-type"] == "application/problem+json"
    body = Problem.model_validate(response.json())
    assert (response.status_code, body.status, body.code) == (status, status, code)
    return body


def as_told(report: Report, response: httpx.Response) -> bytes:
    """A report as it is sent: with the id of its analysis, which is another test's subject."""
    return report.model_copy(update={"id": response.json()["id"]}).to_json()


def named(report: Report, job_id: str) -> Report:
    """A report as a service has it: with the id of its analysis."""
    return report.model_copy(update={"id": job_id})


def job_of(response: httpx.Response) -> str:
    return response.headers["location"].removeprefix("/v1/analyses/")


def stored_files(service: Service) -> int:
    return sum(path.is_file() for path in service.folder.rglob("*"))
