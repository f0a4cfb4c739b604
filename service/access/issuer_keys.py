"""The public keys of an issuer of tokens (JWK Set, RFC 7517), fetched when they are needed and kept.

    age of the keys     a key id that is known       one that is not, or none was ever read
    under 5 min         answered                     read again, once in 10 s
    under 1 h           read again; where that       the same
                        fails, answered all the same
    over that           read again                   the same

One thread reads; the others never wait for it: they have the old keys, or are told to come back. So a key server that
hangs holds one thread, and one that is away is asked no more often than a stranger with made-up key ids makes us ask.
"""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import unquote

import httpx
import jwt

from service.access.caller import KeysAwayError

FRESH_SECONDS: Final = 300.0
LONGEST_SECONDS: Final = 3600.0
"""A key that its issuer has withdrawn is good for no longer than this, even where the issuer cannot be asked."""
PAUSE_SECONDS: Final = 10.0
FETCH_SECONDS: Final = 3.0
LARGEST_SET: Final = 1 << 20
BY_CURVE: Final = {
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
    "Ed448": ("EdDSA",),
}
OF_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
LONG_AGO: Final = float("-inf")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One that signatures are checked by."""

    id: str | None
    algorithms: tuple[str, ...]
    """Those that its kind is for: never one with a shared secret, which anybody who reads the set could sign by."""
    key: Any


class IssuerKeys:
    """Those behind one URL: https, http of the loopback address, or a file."""

    def __init__(self, url: str) -> None:
        """Nothing is read yet."""
        self._url = url
        self._keys: tuple[PublicKey, ...] = ()
        self._read = self._tried = LONG_AGO
        self._failure = ""
        self._reading = threading.Lock()

    def find(self, key_id: str | None) -> PublicKey | None:
        """The key of this id; without an id the only one there is. None: there is no such key. Raises KeysAwayError."""
        found, age = self._known(key_id), monotonic() - self._read
        if found is not None and age < FRESH_SECONDS:
            return found
        try:
            self.read()
        except KeysAwayError:
            if found is not None and age < LONGEST_SECONDS:
                return found
            raise
        return self._known(key_id)

    def warm_up(self) -> None:
        """Have them read, beside whatever else a service begins with."""
        threading.Thread(target=self._warm_up, daemon=True).start()

    def _warm_up(self) -> None:
        with suppress(KeysAwayError):  # it is in the log
            self.read()

    def read(self) -> None:
        """Read them again, unless that was done just now. Raises KeysAwayError."""
        if not self._reading.acquire(blocking=False):
            raise KeysAwayError(1, "the keys are being read")
        try:
            if monotonic() - self._tried >= PAUSE_SECONDS:
                self._read_now()
            if self._failure:
                raise KeysAwayError(int(PAUSE_SECONDS), self._failure)
        finally:
            self._reading.release()

    def _read_now(self) -> None:
        try:
            self._keys, self._failure = tuple(_parsed(_content(self._url))), ""
            self._read = monotonic()
        except (OSError, ValueError, RecursionError, httpx.HTTPError, httpx.InvalidURL) as error:
            self._failure = f"{self._url}: {error or type(error).__name__}"
            log.warning("the keys of tokens cannot be read: %s", self._failure)
        self._tried = monotonic()

    def _known(self, key_id: str | None) -> PublicKey | None:
        fitting = [key for key in self._keys if key_id is None or key.id == key_id]
        return fitting[0] if len(fitting) == 1 or (fitting and key_id is not None) else None


def _content(url: str) -> bytes:
    """Raises OSError, ValueError, httpx.HTTPError."""
    if url.startswith("file://"):
        return Path(unquote(url.removeprefix("file://"))).read_bytes()
    end, content = monotonic() + FETCH_SECONDS, bytearray()
    # over a proxy goes only what it cannot change
    with (
        httpx.Client(timeout=FETCH_SECONDS, trust_env=url.startswith("https:")) as client,
        client.stream("GET", url, headers={"Accept": "application/jwk-set+json, application/json"}) as response,
    ):
        response.raise_for_status()  # a redirection, too
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > LARGEST_SET:
                raise ValueError(f"more than {LARGEST_SET} bytes")
            if monotonic() > end:
                raise ValueError(f"took longer than {FETCH_SECONDS:g} s")
    return bytes(content)


def _parsed(content: bytes) -> Iterator[PublicKey]:
    """Keys for signatures whose kind is known here; others may be among them. Raises ValueError: it is no set."""
    keys = json.loads(content).get("keys") if content.lstrip().startswith(b"{") else None
    if not isinstance(keys, list):
        raise ValueError("no JWK Set")  # noqa: TRY004 - said of JSON, not of an argument
    for each in keys:
        algorithms = _algorithms(each) if isinstance(each, dict) else ()
        if not algorithms:
            continue
        try:
            parsed = jwt.PyJWK(each, algorithms[0])
        except jwt.PyJWTError:
            continue
        yield PublicKey(each.get("kid"), algorithms, parsed.key)


def _algorithms(key: dict[str, Any]) -> tuple[str, ...]:
    """What a key may sign; nothing: it is for something else, or secret."""
    by_kind = OF_RSA if key.get("kty") == "RSA" else BY_CURVE.get(str(key.get("crv")), ())
    if key.get("use", "sig") != "sig" or "verify" not in key.get("key_ops", ["verify"]) or "d" in key:
        return ()
    return tuple(name for name in by_kind if key.get("alg", name) == name)
