"""Two nodes on one PostgreSQL, by polling and by a broker: killed in mid-job, and every job has one result."""

import json
import logging
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.report import Report, Verdict
from service.jobs.job import State
from tests.acceptance.nodes import LEASE, Nodes, installation, wait_until
from tests.gallery import he, mlp, vectors, xavier
from tests.servers import BROKERS, broker

pytestmark = [pytest.mark.server, pytest.mark.xdist_group(BROKERS)]
QUICK = {"model": mlp(3, "Relu", he(), width=16), "batch": vectors()}
LONG = {"model": mlp(12, "Sigmoid", xavier(), width=32), "batch": vectors()}
log = logging.getLogger(__name__)
KILLS = int(os.environ.get("GRADIENT_HEALTH_TEST_KILLS", "10"))


def options(seed: int, effort: str = "standard") -> str:
    return json.dumps({"effort": effort, "seed": seed})


@pytest.fixture(params=["poll", "rabbitmq", "redis"])
def nodes(request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str) -> Iterator[Nodes]:
    objects = {"objects_url": f"file://{tmp_path}/objects"}
    how = {"runner": "poll"} if request.param == "poll" else {"runner": "celery", "broker_url": broker(request.param)}
    with installation(tmp_path, postgres_url, **objects, **how) as opened:
        opened.start(apis=2, workers=2)
        yield opened


def assert_one_result(nodes: Nodes, job_id: str) -> None:
    """The same report from every node, and one row that says so."""
    assert nodes.row(job_id).state is State.SUCCEEDED, nodes.row(job_id)
    first, second = (nodes.get(f"/v1/analyses/{job_id}/report", api) for api in range(2))
    assert first.content == second.content
    assert Report.from_json(first.content).id == job_id


def test_a_node_that_is_killed_in_mid_job_loses_nothing(nodes: Nodes) -> None:
    job_id = nodes.submit(0, **LONG, options=options(1))
    worker = nodes.at_work(job_id)
    with nodes.http.stream("GET", f"{nodes.apis[1].url}/v1/analyses/{job_id}/events") as told:
        worker.kill()
        killed = time.monotonic()
        wait_until(lambda: nodes.row(job_id).attempt == 2, "taken up by the other")
        assert time.monotonic() - killed < LEASE + 5
        nodes.until_end(job_id)
        said = "".join(told.iter_text())
    assert nodes.row(job_id).attempt == 2
    assert "event: end" in said
    assert '"stage":"probe"' in said or '"stage":"experiment"' in said
    assert_one_result(nodes, job_id)
    assert Report.from_json(nodes.get(f"/v1/analyses/{job_id}/report").content).verdict is Verdict.UNHEALTHY


def test_a_job_is_cancelled_through_any_node_and_its_child_ends(nodes: Nodes) -> None:
    job_id = nodes.submit(0, **LONG, options=options(2))
    worker = nodes.at_work(job_id)
    nodes.http.post(f"{nodes.apis[1].url}/v1/analyses/{job_id}/cancel").raise_for_status()
    wait_until(lambda: job_id not in worker.works_on(), "the child is gone", 6)
    assert nodes.get(f"/v1/analyses/{job_id}").json()["state"] == "cancelled"
    after = nodes.submit(1, **QUICK, options=options(3, "quick"))
    nodes.until_end(after)
    assert_one_result(nodes, after)


def test_a_worker_that_is_told_to_stop_gives_its_job_to_the_other_at_once(nodes: Nodes) -> None:
    job_id = nodes.submit(0, **LONG, options=options(4))
    worker = nodes.at_work(job_id)
    started = time.monotonic()
    assert worker.stop() == 0, worker.log
    assert time.monotonic() - started < 30
    assert nodes.until_end(job_id).attempt == 1
    assert_one_result(nodes, job_id)


def test_workers_killed_at_random_lose_no_job_and_double_none(nodes: Nodes) -> None:
    chance = random.Random(0)
    jobs = [nodes.submit(number % 2, **QUICK, options=options(number, "quick")) for number in range(KILLS)]
    for number in range(KILLS):
        time.sleep(chance.uniform(0.1, 1.5))
        victim = chance.choice(nodes.workers)
        victim.kill()
        victim.start()
        jobs.append(nodes.submit(number % 2, **QUICK, options=options(1000 + number, "quick")))
    states = [nodes.until_end(job_id, 600).state for job_id in jobs]
    lost = states.count(State.FAILED)
    assert set(states) <= {State.SUCCEEDED, State.FAILED}
    for job_id, state in zip(jobs, states, strict=True):
        if state is State.FAILED:  # three attempts, each with a worker that was killed
            assert nodes.row(job_id).attempt == 3
        else:
            assert_one_result(nodes, job_id)
    log.info("%d kills, %d jobs, %d lost their worker three times", KILLS, len(jobs), lost)


def test_a_node_with_objects_of_its_own_does_not_start(tmp_path: Path, postgres_url: str) -> None:
    with installation(tmp_path, postgres_url, runner="poll") as nodes:
        nodes.start(apis=1, workers=0)
        nodes.workers.append(worker := nodes._started("second", "worker"))
        assert worker.process is not None
        assert worker.process.wait(60) == 1
        assert "GRADIENT_HEALTH_OBJECTS_URL" in worker.log
        assert "Traceback" not in worker.log
