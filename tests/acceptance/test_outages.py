"""Database, broker and bucket broken off and back while jobs run: nothing accepted is lost, each job has one result.

The servers are real ones; a proxy before each stands for the network.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from service.jobs.job import State
from service.problems import Problem
from tests.acceptance.nodes import LEASE, Node, Nodes, installation, wait_until
from tests.gallery import he, mlp, vectors, xavier
from tests.servers import BROKERS, broker
from tests.tcp_proxy import Proxy, proxied

pytestmark = [pytest.mark.server, pytest.mark.xdist_group(BROKERS)]
QUICK = {"model": mlp(3, "Relu", he(), width=16), "batch": vectors()}
LONG = {"model": mlp(12, "Sigmoid", xavier(), width=32), "batch": vectors()}
SECONDS = 120.0
BUDGET_SECONDS = 10
BUCKET_NAME = "results"
S3 = {"s3_region": "us-east-1", "s3_access_key_id": "key", "s3_secret_access_key": "secret"}


def options(seed: int, effort: str = "standard") -> str:
    """What takes longest goes on for a while, and no longer, however slow the machine is."""
    return json.dumps({"effort": effort, "seed": seed, "budget_seconds": BUDGET_SECONDS})


@dataclass
class Outages:
    """An installation, and what its nodes reach their servers through."""

    nodes: Nodes
    database: Proxy
    broker: Proxy | None
    bucket: Proxy | None


BUCKET = pytest.mark.parametrize("outages", ["bucket"], indirect=True)
ANY = pytest.mark.parametrize("outages", ["rabbitmq", "redis", "bucket"], indirect=True)
BROKER = pytest.mark.parametrize("outages", ["rabbitmq", "redis"], indirect=True)
TABLE = pytest.mark.parametrize("outages", ["poll"], indirect=True)


@pytest.fixture
def outages(request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str) -> Iterator[Outages]:
    """By the runner, the broker or the place that is asked for. The test itself looks at the table past the proxy."""
    with ExitStack() as stack:
        database, url = stack.enter_context(proxied(postgres_url))
        how = {"runner": "poll", "database_url": url, "objects_url": f"file://{tmp_path}/objects"}
        between = bucket = None
        if request.param == "bucket":
            bucket, endpoint = stack.enter_context(proxied(stack.enter_context(moto_bucket())))
            how |= {"objects_url": f"s3://{BUCKET_NAME}/prefix", "s3_endpoint": endpoint, "job_slots": 1, **S3}
        elif request.param != "poll":
            between, broker_url = stack.enter_context(proxied(broker(request.param)))
            how |= {"runner": "celery", "broker_url": broker_url}
        nodes = stack.enter_context(installation(tmp_path, postgres_url, **how))
        nodes.start(apis=1, workers=1)
        yield Outages(nodes, database, between, bucket)


@contextmanager
def moto_bucket() -> Iterator[str]:
    """The address of a server that behaves like S3 and has one bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        httpx.put(f"http://{host}:{port}/{BUCKET_NAME}").raise_for_status()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def assert_told_to_come_back(answer: httpx.Response, code: str = "database-unavailable") -> None:
    told = Problem.model_validate(answer.json())
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, told.code) == (httpx.codes.SERVICE_UNAVAILABLE, code)
    assert int(answer.headers["retry-after"]) > 0


@TABLE
def test_a_database_that_is_away_is_503_and_running_jobs_go_on(outages: Outages) -> None:
    nodes, address = outages.nodes, f"{outages.nodes.apis[0].url}/v1/analyses"
    job_id = nodes.submit(**LONG, options=options(1, "thorough"))
    nodes.at_work(job_id)
    outages.database.cut()
    for answer in (
        nodes.get(f"/v1/analyses/{job_id}"),
        nodes.get("/v1/analyses"),
        nodes.http.post(address, files=QUICK, headers={"Prefer": "respond-async"}),
        nodes.http.post(f"{address}/{job_id}/cancel"),
        nodes.http.delete(f"{address}/{job_id}"),
    ):
        assert_told_to_come_back(answer)
    ready = nodes.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["workers"]) == (httpx.codes.SERVICE_UNAVAILABLE, "unknown")
    assert nodes.get("/healthz").is_success
    assert "gradient_health_database_up 0.0" in nodes.get("/metrics").text
    assert all(node.alive for node in (*nodes.apis, *nodes.workers))
    outages.database.mend()
    wait_until(lambda: nodes.get("/readyz").is_success, "ready again", 30)
    ended = nodes.until_end(job_id)
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1)
    assert nodes.get(f"/v1/analyses/{job_id}/report").is_success
    job_id = nodes.submit(**LONG, options=options(2, "thorough"))
    nodes.at_work(job_id)
    outages.database.cut()
    time.sleep(LEASE + 3)  # a lease that ended while nobody could write costs no result
    outages.database.mend()
    assert nodes.until_end(job_id).state is State.SUCCEEDED
    after = nodes.submit(**QUICK, options=options(3, "quick"))
    assert nodes.until_end(after).state is State.SUCCEEDED


@BUCKET
def test_a_bucket_that_is_away_is_503_and_what_was_computed_is_kept_for_it(outages: Outages) -> None:
    assert outages.bucket is not None
    nodes, address = outages.nodes, f"{outages.nodes.apis[0].url}/v1/analyses"
    ended = nodes.submit(**QUICK, options=options(20, "quick"))
    assert nodes.until_end(ended).state is State.SUCCEEDED
    running, waiting = (nodes.submit(**LONG, options=options(number, "thorough")) for number in (21, 22))
    nodes.at_work(running)
    outages.bucket.cut()
    for answer in (
        nodes.http.post(address, files=QUICK, headers={"Prefer": "respond-async"}),
        nodes.get(f"/v1/analyses/{ended}/report"),
    ):
        assert_told_to_come_back(answer, "objects-unavailable")
    assert nodes.get(f"/v1/analyses/{running}").json()["state"] == "running"
    assert nodes.get("/healthz").is_success
    worker = nodes.workers[0]
    wait_until(lambda: f"the results of job {running} cannot be stored" in worker.log, "computed, and no place for it")
    time.sleep(LEASE + 3)  # it is kept longer than a lease
    assert [nodes.row(job_id).state.is_end for job_id in (running, waiting)] == [False, False]
    assert all(node.alive for node in (*nodes.apis, *nodes.workers))
    outages.bucket.mend()
    for job_id in (running, waiting):
        assert nodes.until_end(job_id).state is State.SUCCEEDED
        assert nodes.get(f"/v1/analyses/{job_id}/report").is_success
    assert nodes.row(running).attempt == 1


@BROKER
def test_a_broker_that_is_away_refuses_nobody_and_loses_no_job(outages: Outages) -> None:
    assert outages.broker is not None
    nodes = outages.nodes
    running = nodes.submit(**LONG, options=options(4, "thorough"))
    nodes.at_work(running)
    outages.broker.cut()
    waiting = [nodes.submit(**QUICK, options=options(number, "quick")) for number in range(10, 13)]
    time.sleep(3)
    assert all(node.alive for node in (*nodes.apis, *nodes.workers))
    outages.broker.mend()
    for job_id in (running, *waiting):
        ended = nodes.until_end(job_id, SECONDS)
        assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1)


@BROKER
def test_a_message_whose_node_cannot_reach_the_table_goes_to_one_that_can(
    outages: Outages, postgres_url: str, tmp_path: Path
) -> None:
    nodes = outages.nodes
    api = Node(tmp_path / "direct", "serve", nodes.settings | {"database_url": postgres_url})
    nodes.apis.insert(0, api)
    api.start()
    outages.database.cut()
    job_id = nodes.submit(**QUICK, options=options(5, "quick"))
    time.sleep(3)
    assert nodes.row(job_id).state is State.QUEUED
    other = Node(tmp_path / "other", "worker", nodes.settings | {"database_url": postgres_url})
    nodes.workers.append(other)
    other.start()
    wait_until(lambda: any(nodes.store.workers().values()), "the other worker is ready")
    ended = nodes.until_end(job_id, 30)  # messages that were lost are sent again after a minute only
    assert (ended.state, str(tmp_path / "other") in (ended.owner or "")) == (State.SUCCEEDED, True)


@dataclass
class Sender:
    """A client that goes on until each of its submissions is accepted."""

    url: str
    accepted: dict[str, str] = field(default_factory=dict)
    """Idempotency-Key -> id."""
    strange: list[str] = field(default_factory=list)

    def send(self, jobs: int) -> None:
        with httpx.Client(timeout=SECONDS) as http:
            for seed in range(jobs):
                key = uuid.uuid4().hex
                while key not in self.accepted:
                    self._try(http, key, seed)

    def _try(self, http: httpx.Client, key: str, seed: int) -> None:
        headers = {"Prefer": "respond-async", "Idempotency-Key": key}
        try:
            answer = http.post(
                f"{self.url}/v1/analyses", files=QUICK, data={"options": options(seed, "quick")}, headers=headers
            )
        except httpx.TransportError as error:
            self.strange.append(repr(error))
            return
        if answer.status_code == httpx.codes.ACCEPTED:
            self.accepted[key] = answer.json()["id"]
        elif answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or "retry-after" not in answer.headers:
            self.strange.append(answer.text)
        time.sleep(0.2)


@ANY
def test_what_is_accepted_between_outages_has_one_result_each(outages: Outages) -> None:
    nodes, sender = outages.nodes, Sender(outages.nodes.apis[0].url)
    sending = threading.Thread(target=sender.send, args=(12,))
    sending.start()
    breaks = [outages.database, outages.broker or outages.bucket or outages.database] * 3
    for proxy in breaks:
        time.sleep(1.0)
        proxy.cut()
        time.sleep(0.7)
        proxy.mend()
    sending.join(SECONDS)
    assert not sending.is_alive()
    assert sender.strange == []
    assert len(set(sender.accepted.values())) == 12
    for job_id in sender.accepted.values():
        ended = nodes.until_end(job_id, SECONDS)
        assert (ended.state, ended.report_sha256 is not None) == (State.SUCCEEDED, True)
