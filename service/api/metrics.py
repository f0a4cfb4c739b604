"""What operators watch, in Prometheus' text format: requests as they are answered, jobs as the table has them.

Requests are counted by this process; jobs, their ages and workers are read from the job table when somebody scrapes,
so that every node tells the same.
"""

import shutil
import time
from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.database import AWAY
from service.intake.submission import Reuse
from service.jobs.callbacks import Outcome
from service.jobs.holding import removed
from service.jobs.job import State, now
from service.jobs.store import Store
from service.settings import Settings

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
PREFIX: Final = "gradient_health"
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
NO_ROUTE: Final = "none"
"""What strangers ask for is one label, or they could make any number."""


class Metrics:
    """Of one application."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Counts from zero."""
        self.registry = CollectorRegistry()
        self.registry.register(TableCollector(store, settings))
        self.requests = Counter(
            "http_requests",
            "Requests answered",
            ["method", "route", "status"],
            namespace=PREFIX,
            registry=self.registry,
        )
        self.seconds = Histogram(
            "http_request_seconds", "From the header to the end of the answer", ["route"], namespace=PREFIX,
            buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.looks = Counter(
            "cache_looks", "Submissions by what became of a look for an earlier report", ["result"], namespace=PREFIX,
            registry=self.registry,
        )  # fmt: skip
        for reuse in Reuse:
            self.looks.labels(reuse.name.lower())
        self.webhooks = Counter(
            "webhooks", "Attempts to tell of the end of a job", ["result"], namespace=PREFIX, registry=self.registry
        )
        for outcome in Outcome:
            self.webhooks.labels(outcome.value)
        self.received = Counter("received_bytes", "Bytes of bodies", namespace=PREFIX, registry=self.registry)

    def looked(self, reuse: Reuse) -> None:
        """A submission."""
        self.looks.labels(reuse.name.lower()).inc()

    def told(self, outcome: Outcome) -> None:
        """An attempt to tell somebody of the end of a job."""
        self.webhooks.labels(outcome.value).inc()

    def text(self) -> bytes:
        """All of it; reads the job table."""
        return generate_latest(self.registry)


class TableCollector(Collector):
    """What the job table and the disk say at this moment."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Where they are."""
        self._store = store
        self._settings = settings

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing is read before somebody scrapes."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        """Gauges; a job table that does not answer is one of them."""
        yield _gauge(
            "disk_free_bytes", "Of the disk of the data folder", shutil.disk_usage(self._settings.data_dir).free
        )
        try:
            census, workers, gone = self._store.census(), self._store.workers(), removed(self._store.engine)
        except AWAY:
            yield _gauge("database_up", "Whether the job table answers", 0)
            return
        yield _gauge("database_up", "Whether the job table answers", 1)
        jobs = GaugeMetricFamily(f"{PREFIX}_jobs", "Jobs in the table by state", labels=["state"])
        for state in State:
            jobs.add_metric([state.value], census.jobs.get(state, 0))
        yield jobs
        oldest = 0.0 if census.oldest is None else max(0.0, (now() - census.oldest).total_seconds())
        yield _gauge("queue_oldest_seconds", "Age of the job that has waited longest", oldest)
        yield _gauge("workers_ready", "Workers that live and can compute", sum(workers.values()))
        yield from _removed(gone)


class Counted:
    """The application behind it is asked and counted."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """`metrics` of the same application."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def counted_receive() -> Message:
            message = await receive()
            self._metrics.received.inc(len(message.get("body", b"")))
            return message

        async def counted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, counted_receive, counted_send)
        finally:
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            self._metrics.requests.labels(_method(scope), route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)


def _method(scope: Scope) -> str:
    known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    return scope["method"] if scope["method"] in known else "other"


def _removed(gone: Mapping[str, tuple[int, int]]) -> Iterable[CounterMetricFamily]:
    numbers = CounterMetricFamily(f"{PREFIX}_removed", "Removed by age, number or bytes, or unused", labels=["what"])
    for what in ("jobs", "objects"):
        numbers.add_metric([what], gone.get(what, (0, 0))[0])
    yield numbers
    _, size = gone.get("objects", (0, 0))
    yield CounterMetricFamily(f"{PREFIX}_removed_bytes", "Bytes of the objects that were removed", value=size)


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", what, value)
