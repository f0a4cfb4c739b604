"""Which requests MLflow has made: signed with the secret of the webhook, of these minutes, and not seen before.

    X-MLflow-Delivery-Id: 6f0d...    X-MLflow-Timestamp: 1732874400 (seconds)
    X-MLflow-Signature: v1,<base64 of HMAC-SHA256(secret, "<delivery id>.<timestamp>." + body)>

The signature covers all three, so a recorded request can be sent again as it was and no other way: within the minutes
its id is known, after them its time is over. MLflow itself tries a delivery again with the same id where it got 429,
500, 502, 503, 504 or no answer; so an id counts as seen once it was accepted, not when it was turned away for a while.
Source: https://mlflow.org/docs/latest/ml/webhooks, mlflow/webhooks/delivery.py of 3.17.
"""

import base64
import hashlib
import hmac
import re
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

SIGNATURE: Final = "x-mlflow-signature"
DELIVERY: Final = "x-mlflow-delivery-id"
TIMESTAMP: Final = "x-mlflow-timestamp"
SCHEME: Final = "v1"
TOLERANCE_SECONDS: Final = 300
"""As Standard Webhooks has it. MLflow stops trying again after some ten seconds."""
SECONDS: Final = re.compile("[0-9]{1,12}")
DELIVERY_IDS: Final = re.compile(r"[\w-]{1,100}", re.ASCII)


class NotAccepted(Exception):
    """A request that is turned away, and with which status."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


def signature_of(secret: str, delivery: str, timestamp: str, body: bytes) -> str:
    """What the header says of an honest request."""
    signed = f"{delivery}.{timestamp}.".encode() + body
    return f"{SCHEME},{base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256)).decode()}"


class Deliveries:
    """Those that were accepted, as long as they could be sent again."""

    def __init__(self, secret: str, now: Callable[[], float] = time.time) -> None:
        """`now`: seconds since 1970."""
        if not secret:
            raise ValueError("without a secret anybody could sign")
        self._secret = secret
        self._now = now
        self._accepted: dict[str, float] = {}
        """By id: until when a request with it would be in time."""
        self._lock = threading.Lock()

    def check(self, headers: Mapping[str, str], body: bytes) -> str:
        """The id of an honest request that is new. Raises NotAccepted. `headers`: names in lower case."""
        delivery, timestamp = headers.get(DELIVERY, ""), headers.get(TIMESTAMP, "")
        given = headers.get(SIGNATURE, "")
        if not (DELIVERY_IDS.fullmatch(delivery) and SECONDS.fullmatch(timestamp)):
            raise NotAccepted(HTTPStatus.BAD_REQUEST, f"{DELIVERY} or {TIMESTAMP} is missing, or none of MLflow's")
        honest = signature_of(self._secret, delivery, timestamp, body)
        if not hmac.compare_digest(honest.encode(), given.encode()):
            what = "does not fit the secret" if given else "is missing: the webhook has no secret"
            raise NotAccepted(HTTPStatus.UNAUTHORIZED, f"{SIGNATURE} {what}")
        now = self._now()
        if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
            off = f"{now - int(timestamp):+.0f} s, {TOLERANCE_SECONDS} are allowed"
            raise NotAccepted(HTTPStatus.BAD_REQUEST, f"{TIMESTAMP} is off by {off}: an old request, or a wrong clock")
        with self._lock:
            if self._accepted.get(delivery, 0.0) >= now:
                raise NotAccepted(HTTPStatus.CONFLICT, f"delivery {delivery} was accepted before")
        return delivery

    def accept(self, delivery: str) -> None:
        """From now on it is one that was seen. Raises NotAccepted where it has become one since it was checked."""
        now = self._now()
        with self._lock:
            if self._accepted.get(delivery, 0.0) >= now:
                raise NotAccepted(HTTPStatus.CONFLICT, f"delivery {delivery} was accepted before")
            self._accepted = {each: until for each, until in self._accepted.items() if until >= now}
            self._accepted[delivery] = now + 2 * TOLERANCE_SECONDS
