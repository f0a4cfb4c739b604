"""Prints what a service carries: `python -m tests.benchmarks.service_load [JOBS]`.

Small jobs from eight clients that wait for each, and where their processor time goes; requests while a job runs; a
large body; many jobs, and what of memory and descriptors stays behind. `test_service_load` holds what does not depend
on who else uses the machine.
"""

import io
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from onnx.parser import parse_model

from tests.benchmarks.http_service import Server, running_job, serving, upload

CLIENTS = 8
TICKS = os.sysconf("SC_CLK_TCK")
TINY = """<ir_version: 9, opset_import: ["": 18]> tiny (float[N, 4] x) => (float[N, 2] y)
<float[4, 2] w = {1, 0, 0, 1, 1, 0, 0, 1}> { y = MatMul(x, w) }"""
GARBAGE = b"no model" * 10
API, SUPERVISOR, FORK_SERVER = "serve", "service.worker", "forkserver"
SETTLING_SECONDS = 3.0


@dataclass(frozen=True)
class Load:
    """What a number of jobs took."""

    jobs: int
    seconds: float
    processor: Mapping[str, float]
    """Seconds of the API, of the supervisor, and of the fork server with all children, by process."""

    @property
    def rate(self) -> float:
        return self.jobs / self.seconds

    @property
    def milliseconds(self) -> float:
        """Processor time of one job."""
        return 1e3 * sum(self.processor.values()) / self.jobs

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {1e3 * taken / self.jobs:.1f}" for name, taken in self.processor.items())
        return f"{self.rate:.1f} jobs/s, {self.milliseconds:.1f} ms of processor time each ({parts})"


def tiny_model() -> bytes:
    content: bytes = parse_model(TINY).SerializeToString()
    return content


def tiny_batch() -> bytes:
    content = io.BytesIO()
    np.savez(content, x=np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32))
    return content.getvalue()


def send(server: Server, model: bytes, jobs: int, first: int) -> None:
    """From all clients, each with one job at a time; no two questions are the same."""
    numbers, batch = iter(range(first, first + jobs)), tiny_batch()
    one_at_a_time, wrong = threading.Lock(), list[str]()

    def client() -> None:
        with httpx.Client(base_url=server.url, timeout=120, headers={"Prefer": "wait=60"}) as http:
            while (number := _next(numbers, one_at_a_time)) is not None:
                options = json.dumps({"effort": "quick", "seed": number})
                answer = http.post("/v1/analyses", files={"model": model, "batch": batch}, data={"options": options})
                if answer.status_code not in {httpx.codes.OK, httpx.codes.BAD_REQUEST}:
                    wrong.append(answer.text)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong, wrong[0]


def _next(numbers: Iterator[int], lock: threading.Lock) -> int | None:
    with lock:
        return next(numbers, None)


def load(server: Server, model: bytes, jobs: int, first: int = 0) -> Load:
    before, started = processor_seconds(server), time.monotonic()
    send(server, model, jobs, first)
    seconds = time.monotonic() - started
    after = processor_seconds(server)
    return Load(jobs, seconds, {name: after[name] - before[name] for name in before})


def settle(server: Server) -> None:
    """What is done at a first job only is done."""
    send(server, tiny_model(), CLIENTS, 1_000_000)
    time.sleep(SETTLING_SECONDS)


def processes(server: Server) -> dict[str, int]:
    """The three that stay, by name."""
    found = {API: server.process.pid}
    for name, parent in ((SUPERVISOR, API), (FORK_SERVER, SUPERVISOR)):
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if _stat(int(entry.name))[1] == found[parent] and name.encode() in (entry / "cmdline").read_bytes():
                    found[name] = int(entry.name)
    return found


def _stat(pid: int) -> list[int]:
    """Fields of /proc/pid/stat from the state on, which counts as 0 (man 5 proc_pid_stat)."""
    return [0, *map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1:])]


def processor_seconds(server: Server) -> dict[str, float]:
    """Of each process, and of its children that have ended."""
    return {name: sum(_stat(pid)[11:15]) / TICKS for name, pid in processes(server).items()}


def held(server: Server) -> dict[str, tuple[float, int]]:
    """Memory that is nobody else's, MB, and descriptors of each process."""
    return {
        name: (proportional(pid, "Private_Dirty"), len(list(Path(f"/proc/{pid}/fd").iterdir())))
        for name, pid in processes(server).items()
    }


def proportional(pid: int, field: str = "Pss") -> float:
    """MB of a field of smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def many_jobs(jobs: int) -> str:
    with serving(ready=True) as server:
        settle(server)
        send(server, tiny_model(), jobs // 5, 0)
        before = held(server)
        for number in range(jobs // 5, jobs, 100):
            send(server, GARBAGE if number % 200 else tiny_model(), 100, number)
        after = held(server)
        grown = (
            f"{name} {after[name][0] - before[name][0]:+.1f} MB {after[name][1] - before[name][1]:+d}"
            for name in before
        )
        return f"{jobs} jobs, since the first fifth: {', '.join(grown)} descriptors"


def main(jobs: int = 200) -> None:
    with serving(ready=True) as server:
        settle(server)
        idle = {name: proportional(pid) for name, pid in processes(server).items()}
        say(f"idle: {sum(idle.values()):.0f} MB ({', '.join(f'{name} {size:.0f}' for name, size in idle.items())})")
        say(f"tiny: {load(server, tiny_model(), jobs)}")
        say(f"garbage: {load(server, GARBAGE, jobs)}")
    say(f"requests while a job runs: {running_job()}")
    say(f"upload: {upload()}")
    say(many_jobs(5 * jobs))


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
