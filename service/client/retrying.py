"""A call that does not give up at once: connections that fail, and services that have no room for the moment.

Safe to repeat are all calls: what changes something carries an Idempotency-Key, or does the same twice.
"""

import random
from typing import Final

import httpx

from service.client.errors import seconds_of
from service.client.steps import Call, Done, Pause, Send, Step, T, next_of

RETRIED: Final = frozenset({429, 502, 503, 504})
"""Too many, or nobody there: a proxy's 502 and 504 are those of a service that is being restarted."""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 60.0
DEFAULT_RETRIES: Final = 3


def retrying(call: Call[T], retries: int) -> Call[T]:
    """The same call, each of its requests tried so many times more; what a stream does is its own affair."""
    step = next_of(call)
    while not isinstance(step, Done):
        try:
            answer = yield from _tried(step, retries) if isinstance(step, Send) else _once(step)
        except BaseException as error:  # noqa: BLE001 - the call has it first, and hangs up
            step = next_of(call, error=error)
        else:
            step = next_of(call, answer)
    return step.value


def _once(step: Step) -> Call[object]:
    return (yield step)


def _tried(step: Send, retries: int) -> Call[httpx.Response]:
    for tried in range(retries):
        try:
            response: httpx.Response = yield step
        except httpx.UnsupportedProtocol:
            raise
        except httpx.TransportError:
            yield Pause(pause(tried))
            continue
        if response.status_code not in RETRIED:
            return response
        yield Pause(pause(tried, response.headers.get("retry-after")))
    response = yield step
    return response


def pause(tried: int, retry_after: str | None = None) -> float:
    """Seconds before the next try: what the service asks for, or twice as long each time and never quite the same."""
    asked = seconds_of(retry_after)
    if asked is None:
        asked = FIRST_PAUSE * 2**tried * random.uniform(0.75, 1.25)  # noqa: S311 - so that not all come at once
    return min(asked, LONGEST_PAUSE)
