"""Prints how a real server stands rude and heavy clients: `python -m tests.benchmarks.http_service [SCENARIO ...]`.

Each scenario starts a server of its own on the loopback address, watches `/healthz` from a process of its own while
something happens to it, and prints latencies, seconds and memory. Nothing is asserted: machines are noisy.
"""

import json
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import httpx

MB = 1_000_000
DEMO = Path(__file__).parents[2] / "deploy" / "demo"
DEMO_FILES = {"model": "deep_sigmoid.onnx", "batch": "batch.npz"}
PATIENCE = 60.0
BARE = """
import sys, uvicorn
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
uvicorn.run(app, port=int(sys.argv[1]), http="httptools", loop="uvloop", lifespan="off", log_level="error")
"""
HEAD = b'--b\r\nContent-Disposition: form-data; name="model"; filename="m.onnx"\r\n\r\n'


@dataclass
class Server:
    process: "subprocess.Popen[str]"
    url: str
    folder: Path

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.url)
        return url.host, url.port or 80

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=PATIENCE)

    def memory(self) -> tuple[float, float]:
        """Resident now and at its peak, MB."""
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
        now, peak = (int(lines[name].split()[0]) * 1024 / MB for name in ("VmRSS", "VmHWM"))
        return now, peak

    def seconds_to_stop(self) -> float:
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        return time.monotonic() - started


@contextmanager
def serving(ready: bool = False, **settings: object) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        given = {"cache_seconds": 0} | settings  # all is computed
        told = {f"GRADIENT_HEALTH_{name.upper()}": str(value) for name, value in given.items()}
        command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", folder]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **told}
        ) as process:
            try:
                assert process.stdout is not None
                server = Server(process, process.stdout.readline().removeprefix("listening on ").strip(), Path(folder))
                while not httpx.get(f"{server.url}/{'readyz' if ready else 'healthz'}", timeout=30).is_success:
                    time.sleep(0.1)
                yield server
            finally:
                process.kill()


def _ask(url: str, path: str, over: Event, answers: Any) -> None:
    taken = []
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        while not over.is_set():
            started = time.perf_counter()
            client.get(path)
            taken.append(1000 * (time.perf_counter() - started))
            time.sleep(0.02)
    answers.put(taken)


@contextmanager
def watched(server: Server, clients: int = 1, path: str = "/healthz") -> Iterator[list[float]]:
    """Milliseconds of every answer, in the list once the context has ended."""
    context, taken = multiprocessing.get_context("spawn"), list[float]()
    over, answers = context.Event(), context.Queue()
    asking = [context.Process(target=_ask, args=(server.url, path, over, answers)) for _ in range(clients)]
    for each in asking:
        each.start()
    time.sleep(2.0)
    try:
        yield taken
    finally:
        over.set()
        for _ in asking:
            taken.extend(answers.get())
        for each in asking:
            each.join()


def percentiles(taken: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    cuts = statistics.quantiles(taken, n=100)
    return cuts[49], cuts[98]


def latency(taken: list[float]) -> str:
    half, most = percentiles(taken)
    return f"p50 {half:.1f} ms, p99 {most:.1f} ms, worst {max(taken):.0f} ms of {len(taken)}"


def endless_header() -> str:
    """60 MB of one header that never ends."""
    with serving() as server, watched(server) as taken:
        sent, started = 0, time.monotonic()
        with suppress(OSError), server.connect() as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ")
            while sent < 60 * MB:
                connection.sendall(b"a" * MB)
                sent += MB
        seconds = time.monotonic() - started
        time.sleep(1.0)
        memory = server.memory()
    return f"{sent / MB:.0f} MB sent in {seconds:.1f} s; healthz {latency(taken)}; peak {memory[1]:.0f} MB"


def trickling_body() -> str:
    """A body that comes at a byte a second: how long it is borne, and how long it holds up SIGTERM."""
    with serving() as server:
        over, closed = threading.Event(), list[float]()

        def trickle(length: int) -> None:
            started = time.monotonic()
            with suppress(OSError), server.connect() as connection:
                connection.sendall(_post(length) + HEAD)
                connection.settimeout(1.0)
                while not over.is_set():
                    connection.sendall(b"x")
                    with suppress(TimeoutError):
                        connection.recv(1000)
                        break
            closed.append(time.monotonic() - started)

        slow = [threading.Thread(target=trickle, args=(1000,))]
        for each in slow:
            each.start()
        slow[0].join(45)
        borne = f"answered after {closed[0]:.0f} s" if closed else "borne for 45 s and more"
        late = threading.Thread(target=trickle, args=(1000,))
        late.start()
        time.sleep(0.5)
        stopped = server.seconds_to_stop()
        over.set()
    return f"{borne}; SIGTERM takes {stopped:.1f} s{' or more' if stopped >= PATIENCE else ''}"


def _post(length: int) -> bytes:
    head = "POST /v1/analyses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    return f"{head}Prefer: respond-async\r\nContent-Length: {length}\r\n\r\n".encode()


def silent_connection() -> str:
    """A connection on which nothing is said."""
    with serving() as server, server.connect() as connection:
        started = time.monotonic()
        try:
            connection.recv(1000)
        except TimeoutError:
            return f"kept for {PATIENCE:.0f} s and more"
        return f"closed after {time.monotonic() - started:.0f} s"


@dataclass(frozen=True)
class Upload:
    """Rates in MB/s of one large body."""

    rate: float
    beside: float
    """While eight clients ask for something else."""
    raw: float
    """From a socket to the same disk."""
    taken: list[float]
    """Milliseconds of those eight."""
    grown: float
    """MB by which the peak of the API's memory grew."""

    def __str__(self) -> str:
        both = f"{self.rate:.0f} MB/s, {self.beside:.0f} MB/s with 8 clients ({latency(self.taken)})"
        return f"{both}; raw {self.raw:.0f} MB/s; peak grew by {self.grown:.0f} MB"


def upload(size: int = 500 * MB) -> Upload:
    """Alone, and while eight clients ask, beside the same bytes from a raw socket to the same disk."""
    head = HEAD
    tail = b"\r\n--b--\r\n"
    chunk = os.urandom(1 << 20)
    pieces = [chunk[: min(len(chunk), size - at)] for at in range(0, size, len(chunk))]

    def send(connection: socket.socket) -> float:
        started = time.monotonic()
        for piece in pieces:
            connection.sendall(piece)
        return started

    rates, asked = [], list[float]()
    with serving() as server:
        before = server.memory()[0]
        for clients in (0, 8):
            with watched(server, clients) if clients else nullcontext([]) as taken, server.connect() as connection:
                connection.sendall(_post(len(head) + size + len(tail)) + head)
                started = send(connection)
                connection.sendall(tail)
                assert b" 202 " in connection.recv(1000)
                rates.append(size / MB / (time.monotonic() - started))
            asked += taken
        grown = server.memory()[1] - before
    return Upload(*rates, _raw(send, size), asked, grown)


def _raw(send: Callable[[socket.socket], float], size: int) -> float:
    """MB/s from a socket to the disk, fsync and all."""
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryFile() as file:
        sender = multiprocessing.get_context("fork").Process(target=_connect_and, args=(listener.getsockname(), send))
        started = time.monotonic()
        sender.start()
        with listener.accept()[0] as connection:
            while piece := connection.recv(1 << 18):
                file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        sender.join()
        return size / MB / (time.monotonic() - started)


def _connect_and(address: tuple[str, int], send: Callable[[socket.socket], float]) -> None:
    with socket.create_connection(address) as connection:
        send(connection)


def comparison() -> str:
    """3 MB and 15 MB of small things as reports to be compared."""
    told = []
    for megabytes in (3, 15):
        with serving() as server, watched(server) as taken:
            finding = {"rule": "GH101", "severity": "error", "layers": []}
            many = [{} for _ in range(megabytes * MB // 8)]
            side = {"schema_version": "1.0", "verdict": "healthy", "layers": many, "findings": [finding]}
            body = json.dumps({"old": side, "new": side}, separators=(",", ":"))
            started = time.monotonic()
            answer = httpx.post(
                f"{server.url}/v1/comparisons", content=body, headers={"Content-Type": "application/json"}, timeout=300
            )
            seconds = time.monotonic() - started
            peak = server.memory()[1]
        told.append(
            f"{len(body) / MB:.0f} MB: {answer.status_code} in {seconds:.1f} s, peak {peak:.0f} MB, {latency(taken)}"
        )
    return "; ".join(told)


def running_job() -> str:
    """Eight clients while an analysis runs."""
    return "; ".join(f"{name}: {latency(taken)}" for name, taken in asked_while_a_job_runs().items())


def asked_while_a_job_runs(seconds: float = 6.0) -> dict[str, list[float]]:
    """Milliseconds of the answers to eight clients, by what they ask for; `bare` is a server that does nothing."""
    found = {}
    with serving(ready=True) as server, bare() as nothing:
        files = {
            name: path.read_bytes()
            for name, path in (("model", DEMO / "deep_sigmoid.onnx"), ("batch", DEMO / "batch.npz"))
        }
        job = httpx.post(f"{server.url}/v1/analyses", files=files, headers={"Prefer": "respond-async"}).headers[
            "location"
        ]
        for name, asked, path in (("bare", nothing, "/"), ("healthz", server, "/healthz"), ("job", server, job)):
            with watched(asked, 8, path) as taken:
                time.sleep(seconds)
            found[name] = taken
    return found


@contextmanager
def bare() -> Iterator[Server]:
    """The same HTTP server around an application of three lines."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        with subprocess.Popen([sys.executable, "-c", BARE, str(port)], stderr=subprocess.DEVNULL, text=True) as process:
            server = Server(process, f"http://127.0.0.1:{port}", Path(folder))
            try:
                while not _answers(server.url):
                    time.sleep(0.1)
                yield server
            finally:
                process.kill()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=30).is_success
    except httpx.TransportError:
        return False


SCENARIOS = (endless_header, trickling_body, silent_connection, upload, comparison, running_job)


def main(*names: str) -> None:
    for scenario in SCENARIOS:
        if not names or scenario.__name__ in names:
            print(f"{scenario.__name__}: {scenario()}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
