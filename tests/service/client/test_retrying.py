"""Retries, in steps: no time passes."""

import random
from collections.abc import Sequence

import httpx
import pytest

from service.client.retrying import pause, retrying
from service.client.steps import Call, Done, Listen, Pause, Send, Step, next_of

HANGS_UP = httpx.ReadError("hung up")
OK = httpx.Response(200)


def asking(step: Step) -> Call[object]:
    return (yield step)


def carried_out(answers: Sequence[httpx.Response | Exception], retries: int, step: Step) -> tuple[object, list[float]]:
    """What the call comes to with these answers, one after the other, and the pauses between them."""
    steps, left, pauses = retrying(asking(step), retries), list(answers), list[float]()
    found = next_of(steps)
    while not isinstance(found, Done):
        if isinstance(found, Pause):
            pauses.append(found.seconds)
            found = next_of(steps)
        else:
            assert found == step
            answer = left.pop(0)
            found = next_of(steps, error=answer) if isinstance(answer, Exception) else next_of(steps, answer)
    assert not left
    return found.value, pauses


def status(code: int, retry_after: str | None = None) -> httpx.Response:
    return httpx.Response(code, headers={} if retry_after is None else {"Retry-After": retry_after})


@pytest.mark.parametrize("failed", [HANGS_UP, status(503), status(429), status(502), status(504)], ids=str)
def test_what_may_go_well_later_is_tried_again(failed: httpx.Response | Exception) -> None:
    answer, pauses = carried_out([failed, failed, OK], 3, Send("GET", "/"))
    assert answer is OK
    assert len(pauses) == 2


@pytest.mark.parametrize("code", [400, 401, 404, 409, 422, 500])
def test_what_will_not_is_not(code: int) -> None:
    refused = status(code)
    assert carried_out([refused], 3, Send("POST", "/")) == (refused, [])


def test_after_the_last_try_the_answer_is_what_it_is() -> None:
    answer, pauses = carried_out([status(503), last := status(503)], 1, Send("GET", "/"))
    assert answer is last
    assert len(pauses) == 1
    with pytest.raises(httpx.ReadError):
        carried_out([HANGS_UP, HANGS_UP], 1, Send("GET", "/"))


def test_an_address_that_no_protocol_is_spoken_at_is_not_tried_again() -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        carried_out([httpx.UnsupportedProtocol("ftp")], 3, Send("GET", "/"))


def test_a_stream_is_not_tried_again() -> None:
    with pytest.raises(httpx.ReadError):
        carried_out([HANGS_UP], 3, Listen("/", {}))


def test_the_service_is_given_the_time_that_it_asks_for_within_reason() -> None:
    _, pauses = carried_out([status(503, "2"), status(429, "7"), OK], 3, Send("GET", "/"))
    assert pauses == [2.0, 7.0]
    assert pause(0, "86400") == 60.0
    assert pause(0, "0") == 0.0


def test_pauses_double_and_are_never_all_the_same() -> None:
    random.seed(0)
    for tried in range(5):
        drawn = [pause(tried) for _ in range(200)]
        assert 0.15 * 2**tried <= min(drawn) < max(drawn) <= 0.25 * 2**tried
        assert len(set(drawn)) > 100
