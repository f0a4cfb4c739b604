"""Ends of jobs told to a server of the test's own."""

import base64
import hashlib
import hmac
import http.server
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.jobs.callbacks import Callback, Outcome, take_due
from service.jobs.job import Job
from service.jobs.store import Store
from service.notify import webhooks
from service.notify.signing import secret_of
from service.notify.webhooks import attempt, telling
from service.settings import Settings
from tests.service.jobs.small_jobs import small_job
from tests.service.worker.bench import wait_until

SECRET = "0123456789abcdef" * 2


@dataclass
class Receiver:
    """Answers with the next of these statuses, with the last one for ever."""

    statuses: list[int] = field(default_factory=lambda: [204])
    port: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?of=mine"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status = kept.statuses.pop(0) if len(kept.statuses) > 1 else kept.statuses[0]
            self.send_response(status)
            if status in {301, 307}:
                self.send_header("Location", kept.url.replace("/hook", "/elsewhere"))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kept
        server.shutdown()


@pytest.fixture
def dripping() -> Iterator[Receiver]:
    """Sends a byte of its answer now and then, and hangs up when it is told to."""
    kept = Receiver()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            kept.requests.append(("", {}, self.request.recv(1)))
            with suppress(OSError):
                self.request.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not kept.over.wait(0.05):
                    self.request.sendall(b"x")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        kept.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kept
        kept.over.set()
        server.shutdown()


def settings_of(tmp_path: Path, receiver: Receiver, **how: Any) -> Settings:
    given = {"webhook_hosts": f"http://127.0.0.1:{receiver.port}", "webhook_secret": SECRET, "webhook_private": True}
    return Settings(data_dir=tmp_path, **(given | how)).prepare()


def ended(store: Store, url: str, tenant: str = "vision") -> Job:
    job = small_job(tenant=tenant, callback=url, labels={"commit": "c"})
    store.submit(job)
    store.cancel(job)
    return job


def due(store: Store) -> Callback:
    (found,) = take_due(store, 10)
    return found


def test_what_is_told_is_signed_by_the_secret_of_its_tenant(tmp_path: Path, receiver: Receiver, sqlite: Store) -> None:
    job = ended(sqlite, receiver.url)
    assert attempt(sqlite, due(sqlite), settings_of(tmp_path, receiver)) is Outcome.TOLD
    ((path, headers, body),) = receiver.requests
    assert (path, headers["content-type"], headers["host"]) == (
        "/hook?of=mine", "application/json", f"127.0.0.1:{receiver.port}",
    )  # fmt: skip
    assert headers["webhook-id"] == f"msg_{job.id}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    key = base64.b64decode(secret_of("vision", SECRET).removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    told = json.loads(body)
    assert told["type"] == "analysis.cancelled"
    assert (told["data"]["id"], told["data"]["state"], told["data"]["labels"]) == (job.id, "cancelled", {"commit": "c"})
    assert told["data"]["links"]["report"] == f"/v1/analyses/{job.id}/report"
    assert take_due(sqlite, 10) == []


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.TOLD), (202, Outcome.TOLD), (301, Outcome.FAILED), (307, Outcome.FAILED), (400, Outcome.FAILED),
        (404, Outcome.FAILED), (500, Outcome.FAILED), (503, Outcome.FAILED), (410, Outcome.GIVEN_UP),
    ],
)  # fmt: skip
def test_a_success_ends_it_a_gone_gives_up_and_nothing_is_followed(
    tmp_path: Path, receiver: Receiver, sqlite: Store, status: int, outcome: Outcome
) -> None:
    ended(sqlite, receiver.url)
    receiver.statuses = [status]
    assert attempt(sqlite, due(sqlite), settings_of(tmp_path, receiver)) is outcome
    assert len(receiver.requests) == 1


def test_nobody_who_may_not_be_told_any_more_is(tmp_path: Path, receiver: Receiver, sqlite: Store) -> None:
    for how in ({"webhook_private": False}, {"webhook_hosts": "other.example.org"}):
        ended(sqlite, receiver.url)
        assert attempt(sqlite, due(sqlite), settings_of(tmp_path, receiver, **how)) is Outcome.GIVEN_UP
    assert receiver.requests == []


def test_a_receiver_that_is_away_is_told_later(tmp_path: Path, receiver: Receiver, sqlite: Store) -> None:
    away = Receiver(port=1)
    ended(sqlite, away.url)
    assert attempt(sqlite, due(sqlite), settings_of(tmp_path, away)) is Outcome.FAILED


def test_beside_a_service_all_are_told(tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    settings, outcomes = settings_of(tmp_path, receiver), list[Outcome]()
    receiver.statuses = [500, 204]
    with closing(Store(settings.database)) as store, telling(settings, outcomes.append):
        jobs = {ended(store, receiver.url).id for _ in range(3)}
        wait_until(lambda: len(outcomes) == 3)
    assert sorted(outcomes) == [Outcome.FAILED, Outcome.TOLD, Outcome.TOLD]
    assert {headers["webhook-id"].removeprefix("msg_") for _, headers, _ in receiver.requests} == jobs
    assert "of=mine" not in caplog.text  # a URL may hold a secret


def test_a_bug_on_the_way_ends_no_telling(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings, outcomes = settings_of(tmp_path, receiver), list[Outcome]()
    take, faults = webhooks.take_due, [KeyError("of a driver")]

    def fail_once(*asked: Any) -> Any:
        if faults:
            raise faults.pop()
        return take(*asked)

    monkeypatch.setattr(webhooks, "take_due", fail_once)
    with closing(Store(settings.database)) as store, telling(settings, outcomes.append):
        ended(store, receiver.url)
        wait_until(lambda: outcomes == [Outcome.TOLD])
    assert "of a driver" in caplog.text


def test_a_url_that_nobody_can_ask_keeps_nobody_else_from_being_told(tmp_path: Path, receiver: Receiver) -> None:
    everywhere = f"https://*.example.org, http://127.0.0.1:{receiver.port}"
    settings, outcomes = settings_of(tmp_path, receiver, webhook_hosts=everywhere), list[Outcome]()
    with closing(Store(settings.database)) as store, telling(settings, outcomes.append):
        for host in ("a..example.org", f"{'a' * 64}.example.org", "xn--.example.org"):
            ended(store, f"https://{host}/")
        wait_until(lambda: len(outcomes) == 3)
        ended(store, receiver.url)
        wait_until(lambda: len(outcomes) == 4)
    assert sorted(outcomes[:3]) == [Outcome.FAILED, Outcome.GIVEN_UP, Outcome.GIVEN_UP]
    assert outcomes[3] is Outcome.TOLD


def test_an_answer_without_end_is_not_waited_for(
    tmp_path: Path, dripping: Receiver, sqlite: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "LONGEST_SECONDS", 0.3)
    ended(sqlite, dripping.url)
    assert attempt(sqlite, due(sqlite), settings_of(tmp_path, dripping)) is Outcome.FAILED


def test_the_slow_receivers_of_a_tenant_hold_up_nobody_else(
    tmp_path: Path, receiver: Receiver, dripping: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = f"http://127.0.0.1:{receiver.port}, http://127.0.0.1:{dripping.port}"
    monkeypatch.setattr(webhooks, "LONGEST_SECONDS", 300.0)
    monkeypatch.setattr(webhooks, "LOOK_SECONDS", 0.05)
    settings, outcomes = settings_of(tmp_path, receiver, webhook_hosts=both), list[Outcome]()
    with closing(Store(settings.database)) as store:
        for _ in range(webhooks.TURN + 3):
            ended(store, dripping.url, tenant="slow")
        with telling(settings, outcomes.append):
            wait_until(lambda: len(dripping.requests) == webhooks.TURN)
            for _ in range(2):
                ended(store, receiver.url, tenant="other")
            wait_until(lambda: outcomes == [Outcome.TOLD] * 2)
            assert len(dripping.requests) == webhooks.TURN
            dripping.over.set()
            wait_until(lambda: len(outcomes) == webhooks.TURN + 5)
    assert len(dripping.requests) == webhooks.TURN + 3


def test_one_that_cannot_be_tried_ends_nothing(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried, try_one = list[str](), webhooks.attempt

    def broken_at_first(store: Store, callback: Callback, settings: Settings) -> Outcome:
        tried.append(callback.job.id)
        return try_one(store, callback, settings) if len(tried) > 1 else Outcome(None)

    monkeypatch.setattr(webhooks, "attempt", broken_at_first)
    settings, outcomes = settings_of(tmp_path, receiver), list[Outcome]()
    with closing(Store(settings.database)) as store, telling(settings, outcomes.append):
        ended(store, receiver.url)
        wait_until(lambda: len(tried) == 1)
        ended(store, receiver.url)
        wait_until(lambda: outcomes == [Outcome.TOLD])
    assert "not tried to its end" in caplog.text
