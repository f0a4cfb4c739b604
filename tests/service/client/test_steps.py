"""Steps of a call, carried out by hand."""

import io

import httpx
import pytest

from service.client.steps import Call, Done, Pause, Send, chunks, next_of


def call() -> Call[str]:
    try:
        answer = yield Send("GET", "/there")
    except httpx.ConnectError:
        yield Pause(1.0)
        return "nobody"
    return f"got {answer}"


def test_a_call_ends_with_what_it_returns() -> None:
    steps = call()
    assert next_of(steps) == Send("GET", "/there")
    assert next_of(steps, "it") == Done("got it")


def test_an_error_is_thrown_in_where_the_call_may_go_on() -> None:
    steps = call()
    next_of(steps)
    assert next_of(steps, error=httpx.ConnectError("no")) == Pause(1.0)
    assert next_of(steps) == Done("nobody")


def test_an_error_that_the_call_does_not_take_comes_out() -> None:
    steps = call()
    next_of(steps)
    with pytest.raises(KeyboardInterrupt):
        next_of(steps, error=KeyboardInterrupt())


def test_a_body_goes_out_from_its_beginning_each_time() -> None:
    body = io.BytesIO(bytes(range(256)) * 2048)
    for _ in range(2):
        parts = list(chunks(body))
        assert max(map(len, parts)) < len(body.getvalue())
        assert b"".join(parts) == body.getvalue()
