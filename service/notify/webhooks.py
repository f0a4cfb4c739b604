"""Tells URLs that analyses have ended: signed, at least once, again and again for three days where nobody takes it."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import httpx

from analysis.version import VERSION
from service.database import AWAY, brief
from service.jobs.callbacks import Callback, Outcome, settle, take_due
from service.jobs.job import Job
from service.jobs.store import Store
from service.notify.signing import secret_of, signed
from service.notify.targets import RefusedError, address_of, allowed_hosts, check_target
from service.schemas import view
from service.settings import Settings

LOOK_SECONDS: Final = 1.0
PATIENCE: Final = httpx.Timeout(10.0)
AT_ONCE: Final = 8
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
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook") as threads:
        while not over.wait(LOOK_SECONDS):
            try:
                with closing(Store(settings.database)) as store:
                    while not over.wait(LOOK_SECONDS):
                        due = take_due(store, AT_ONCE)
                        for outcome in threads.map(lambda each: attempt(store, each, settings), due):
                            noted(outcome)
            except AWAY as error:
                log.warning("the job table does not answer: %s", brief(error))


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
    with httpx.Client(timeout=PATIENCE, follow_redirects=False, trust_env=False) as http:
        pinned = target.copy_with(host=address)
        request = http.build_request(
            "POST", pinned, content=body, headers=headers, extensions={"sni_hostname": target.host}
        )
        response = http.send(request, stream=True)  # what it says besides is not read
        response.close()
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
