"""What a job costs beside its analysis, and what a thousand leave behind: ratios and counts, whoever else computes."""

import time

import pytest

from analysis.options import parse_options
from analysis.pipeline import analyze
from tests.benchmarks.conftest import Record
from tests.benchmarks.http_service import asked_while_a_job_runs, percentiles, serving, upload
from tests.benchmarks.service_load import (
    GARBAGE,
    held,
    load,
    processes,
    proportional,
    send,
    settle,
    tiny_batch,
    tiny_model,
)
from tests.benchmarks.timing import best

pytestmark = pytest.mark.benchmark
JOBS = 100
CONNECTIONS = 15
"""To the job table, which a pool may yet open."""


def test_small_jobs(record: Record) -> None:
    """By the processor time of one such analysis in a process that has done some: here 15 to 20 ms."""
    model, batch, options = tiny_model(), tiny_batch(), parse_options({"effort": "quick"})
    analysis = 1e3 * best(lambda: analyze(model, batch, options).to_json(), 20)
    with serving(ready=True) as server:
        settle(server)
        idle = sum(map(proportional, processes(server).values()))
        tiny, garbage = load(server, model, JOBS), load(server, GARBAGE, JOBS)
    record("tiny job, processor time over its analysis", tiny.milliseconds / analysis, target=4)
    record("refused job, processor time over an analysis", garbage.milliseconds / analysis, target=1.5)
    record("tiny job at 8 clients, wall clock", 1e3 / tiny.rate, unit="ms", target=50)
    record("service at rest, memory", idle, unit="MB", target=250, known=330)


def test_requests_while_a_job_runs(record: Record) -> None:
    """Over those to a server that does nothing, beside the same job: the machine's own share is in both."""
    asked = asked_while_a_job_runs()
    (bare_half, bare_most), others = percentiles(asked.pop("bare")), asked
    for name, taken in others.items():
        half, most = percentiles(taken)
        record(f"{name} at 8 clients while a job runs, p50 over a bare server", half / bare_half, target=4)
        record(f"{name} at 8 clients while a job runs, p99 over a bare server", most / bare_most, target=4)
        record(f"{name} at 8 clients while a job runs, p50", half, unit="ms", target=10)
        record(f"{name} at 8 clients while a job runs, p99", most, unit="ms", target=50)


def test_a_large_upload(record: Record) -> None:
    """By the same bytes from a raw socket to the same disk."""
    sent = upload()
    record("time of an upload over a raw socket to disk", sent.raw / sent.rate, target=2)
    record("the same, while 8 clients ask", sent.raw / sent.beside, target=2)
    record("memory of an upload of 500 MB", sent.grown, unit="MB", target=32, known=32)
    record("request beside an upload, p99", percentiles(sent.taken)[1], unit="ms", target=50)


def test_a_thousand_jobs_leave_nothing_behind(record: Record) -> None:
    with serving(ready=True) as server:
        settle(server)
        send(server, GARBAGE, 200, 0)
        before = held(server)
        for first in range(200, 1000, 100):
            send(server, GARBAGE if first % 200 else tiny_model(), 100, first)
        time.sleep(1.0)
        after = held(server)
    for name, (memory, descriptors) in before.items():
        record(f"{name}: memory after 800 jobs more", after[name][0] - memory, unit="MB", target=8, known=8)
        assert after[name][1] <= descriptors + CONNECTIONS, f"{name} keeps descriptors"
