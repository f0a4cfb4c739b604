"""Tells URLs that analyses have ended: signed, at least once, again and again for three days where nobody takes it."""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import anyio
import httpx

from analysis.version import VERSION
from service.database import AWAY, tell_of
from service.jobs.callbacks import Callback, Outcome, settle, take_due
from service.jobs.job import Job
from service.jobs.store import Store
from service.notify.signing import secret_of, signed
from service.notify.targets import RefusedError, address_of, allowed_hosts, check_target
from service.schemas import view
from service.settings import Settings

LOOK_SECONDS: Final = 1.0
PATIENCE: Final = httpx.Timeout(10.0)
"""Of each step: to connect, to send, to wait for a byte."""
LONGEST_SECONDS: Final = 15.0
"""Of an attempt, also where a byte comes now and then."""
AT_ONCE: Final = 32
TURN: Final = 8
"""Attempts that are begun together; a tenant with so many on their way waits, so that its receivers hold up its own."""
log = logging.getLogger(__name__)


@contextmanager
def telling(settings: Settings, noted: Callable[[Outcome], None]) -> Iterator[None]:
    """For as long as the context lasts; `noted` hears of every attempt."""
    over = threading.Event()
    teller = threading.Thread(target=_tell_all, args=(settings, noted, over), name="webhooks", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join(PATIENCE.read)


def _tell_all(settings: Settings, noted: Callable[[Outcome], None], over: threading.Event) -> None:
    while not over.wait(LOOK_SECONDS):
        try:
            with closing(Store(settings.database)) as store, ThreadPoolExecutor(AT_ONCE, "webhook") as threads:
                _tell_in_turns(store, threads, over, partial(_attempt_and_note, store, settings, noted))
        except Exception as error:  # noqa: BLE001 - there is no other thread that does this
            tell_of(log, "webhooks wait for the job table", error)


def _tell_in_turns(
    store: Store, threads: ThreadPoolExecutor, over: threading.Event, tell_one: Callable[[Callback], None]
) -> None:
    """Until it is over. Raises what a job table does that is away."""
    on_the_way = dict[Future[None], str]()
    while not over.wait(LOOK_SECONDS):
        for ended in [future for future in on_the_way if future.done()]:
            del on_the_way[ended]
            error = ended.exception()
            if isinstance(error, AWAY):
                raise error
            if error is not None:
                log.error("a webhook was not tried to its end", exc_info=error)
        tenants = Counter(on_the_way.values())
        busy = [tenant for tenant, number in tenants.items() if number >= TURN]
        for due in take_due(store, min(TURN, AT_ONCE - len(on_the_way)), busy):
            on_the_way[threads.submit(tell_one, due)] = due.job.tenant


def _attempt_and_note(store: Store, settings: Settings, noted: Callable[[Outcome], None], callback: Callback) -> None:
    noted(attempt(store, callback, settings))


def attempt(store: Store, callback: Callback, settings: Settings) -> Outcome:
    """Tell one, and note what became of it."""
    try:
        status = tell(callback.job, callback.url, settings)
        told, final = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES, status == HTTPStatus.GONE
        answer = f"status {status}"
    except (RefusedError, ValueError, httpx.InvalidURL) as error:  # also a name that is none to who looks it up
        told, final, answer = False, True, str(error)
    except (OSError, httpx.HTTPError) as error:
        told, final, answer = False, False, type(error).__name__
    again = settle(store, callback, told=told or final)
    if told:
        return Outcome.TOLD
    host = urlsplit(callback.url).hostname
    log.warning("the webhook of job %s to %s: %s, attempt %d", callback.job.id, host, answer, callback.attempt)
    return Outcome.FAILED if again else Outcome.GIVEN_UP


def tell(job: Job, url: str, settings: Settings) -> int:
    """The status of the answer. Raises RefusedError, OSError, httpx.HTTPError."""
    address = address_of(check_target(url, allowed_hosts(settings)), private=settings.webhook_private)
    body, target = body_of(job), httpx.URL(url)
    headers = {
        **signed(f"msg_{job.id}", int(time.time()), body, secret_of(job.tenant, settings.webhook_secret)),
        "Content-Type": "application/json",
        "User-Agent": f"gradient-health/{VERSION}",
        "Host": target.netloc.decode(),
    }
    pinned = target.copy_with(host=address)
    request = httpx.Request("POST", pinned, content=body, headers=headers, extensions={"sni_hostname": target.host})
    return anyio.run(_status, request)


async def _status(request: httpx.Request) -> int:
    """Of the answer; what it says besides is not read. Raises OSError, httpx.HTTPError."""
    with anyio.fail_after(LONGEST_SECONDS):
        async with httpx.AsyncClient(timeout=PATIENCE, follow_redirects=False, trust_env=False) as http:
            response = await http.send(request, stream=True)
            await response.aclose()
            return response.status_code


def body_of(job: Job) -> bytes:
    """The same at every attempt."""
    ended = job.finished or datetime.now(UTC)
    told = {
        "type": f"analysis.{job.state.value}",
        "timestamp": ended.isoformat(),
        "data": view(job).model_dump(mode="json"),
    }
    return json.dumps(told, separators=(",", ":")).encode()
