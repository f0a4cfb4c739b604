"""What MLflow is answered, and how soon."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from service.mlflow_webhook import receiver
from service.mlflow_webhook.analyst import MOST_WAITING, STATE, Analyst, Order
from service.mlflow_webhook.deliveries import Deliveries
from service.mlflow_webhook.receiver import make_receiver
from service.problems import Problem
from service.settings import Settings
from tests.service.mlflow.server import Tracking
from tests.service.mlflow_webhook.requests import SECRET, Instant, payload, signed
from tests.service.server.live import live


class Desk:
    """A receiver with a registry and an analysis behind it."""

    def __init__(self, only: tuple[str, ...] = ()) -> None:
        self.tracking, self.analysis = Tracking(), Instant()
        self.analyst = Analyst(self.tracking.connection, self.analysis, Order("gradients", None, 1 << 20), pause=0.01)
        self.app = make_receiver(Deliveries(SECRET), self.analyst, only)

    def state(self, name: str, number: str = "1") -> str:
        deadline = time.monotonic() + 10.0
        while self.analyst.waiting and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.tracking.versions[name, number].get(STATE, "")

    @contextmanager
    def serving(self) -> Iterator[httpx.Client]:
        with (
            live(self.app, Settings()) as server,
            httpx.Client(base_url="http://{}:{}".format(*server.address)) as client,
        ):
            yield client


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def client(desk: Desk) -> Iterator[httpx.Client]:
    with desk.serving() as opened:
        yield opened


def post(client: httpx.Client, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    return client.post("/", content=body, headers=signed(body) if headers is None else headers)


def refusal(answer: httpx.Response) -> Problem:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(answer.content)
    assert problem.status == answer.status_code
    return problem


def test_a_new_version_is_accepted_at_once_and_analysed_behind(desk: Desk, client: httpx.Client) -> None:
    desk.tracking.register("net", "1", {"model.onnx": b"model"})
    desk.analysis.may.clear()
    answer = post(client, payload())
    assert (answer.status_code, answer.json()) == (202, {"state": "accepted", "model": "net", "version": "1"})
    assert client.get("/healthz").json() == {"waiting": 1}
    desk.analysis.may.set()
    assert desk.state("net") == "done"
    assert client.get("/healthz").json() == {"waiting": 0}


def test_a_request_that_was_recorded_does_nothing_a_second_time(desk: Desk, client: httpx.Client) -> None:
    desk.tracking.register("net", "1", {"model.onnx": b"model"})
    body = payload()
    headers = signed(body)
    assert post(client, body, headers).status_code == 202
    assert desk.state("net") == "done"
    assert refusal(post(client, body, headers)).code == "webhook-conflict"
    old = signed(body, sent=time.time() - 3600)
    assert "an old request" in refusal(post(client, body, old)).detail
    assert len(desk.analysis.given) == 1


def test_what_is_not_signed_is_not_read(desk: Desk, client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    body = payload()
    assert refusal(post(client, body, {})).status == 400
    assert refusal(post(client, body, signed(body, secret="guessed"))).status == 401
    assert refusal(post(client, b"{}" + body, signed(body))).status == 401
    assert desk.analyst.waiting == 0
    assert caplog.text.count("a request is turned away") == 3


@pytest.mark.parametrize(
    "body",
    [
        payload(entity="model_version_tag", action="set"),
        payload(entity="registered_model"),
        payload(entity="prompt_version"),
        payload(name="other"),
    ],
)
def test_other_events_and_other_models_are_passed_over(body: bytes) -> None:
    desk = Desk(("net", "team-*"))
    with desk.serving() as client:
        answer = post(client, body)
        assert (answer.status_code, answer.json()) == (200, {"state": "passed over"})
        assert desk.analyst.waiting == 0
        desk.tracking.register("team-a", "1", {"model.onnx": b"model"})
        assert post(client, payload(name="team-a")).status_code == 202
        assert desk.state("team-a") == "done"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body"),
        (b"[1]", "the body"),
        (b'{"entity": 3}', "entity"),
        (
            json.dumps({"entity": "model_version", "action": "created", "data": {"name": "net"}}).encode(),
            "data.version",
        ),
        (payload(version="1 OR 1=1"), "data.version"),
        (payload(name="net\nERROR forged"), "data.name"),
        (payload(name=""), "data.name"),
    ],
)
def test_what_is_signed_and_no_event_is_told_where(client: httpx.Client, body: bytes, told: str) -> None:
    problem = refusal(post(client, body))
    assert problem.status == 422
    assert f": {told}: " in problem.detail


def test_a_body_that_is_too_long_is_cut_off(client: httpx.Client) -> None:
    body = payload(name="x" * receiver.MOST_BYTES)
    assert refusal(post(client, body)).status == 413


def test_where_there_is_no_room_the_same_delivery_may_come_again(
    desk: Desk, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tracking.register("net", "1", {"model.onnx": b"model"})
    body = payload()
    headers = signed(body)
    with monkeypatch.context() as full:
        full.setattr(Analyst, "waiting", MOST_WAITING)
        answer = post(client, body, headers)
    assert refusal(answer).status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert post(client, body, headers).status_code == 202
    assert desk.state("net") == "done"


def test_the_log_says_what_became_of_each(desk: Desk, client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    desk.tracking.register("net", "1", {"model.onnx": b"model"})
    with caplog.at_level(logging.INFO):
        post(client, payload())
        assert desk.state("net") == "done"
    told = [each.getMessage() for each in caplog.records if each.name == "service.mlflow_webhook"]
    assert told[0].startswith("net/1: accepted (delivery ")
    assert told[1:3] == ["net/1: analysed now", "net/1: unhealthy, run r"]
    assert told[3].startswith("net/1: done after ")


def test_nothing_else_is_served(client: httpx.Client) -> None:
    assert client.get("/").status_code == 405
    assert client.post("/v1/analyses").status_code == 404
