"""An API key: whose jobs it opens, what it may do with them, and until when.

    gh_<id>_<secret>    the id is public and finds the key; the secret is 32 random bytes

The secret exists where it was shown, once, and nowhere else: a key holds its sha256. Nothing slower is needed, because
nobody can guess through 256 random bits as through passwords.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

ID_BYTES: Final = 8
SECRET_BYTES: Final = 32
TOKEN: Final = re.compile(r"gh_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,99}")


class Scope(StrEnum):
    """What a key may do; none of them contains another."""

    READ = "read"
    """See jobs and reports, compare them."""
    WRITE = "write"
    """Submit, cancel and delete analyses."""
    ADMIN = "admin"
    """See the figures of all tenants together (`/metrics`)."""


class Standing(StrEnum):
    """Whether a key opens anything."""

    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is stored."""

    id: str
    sha256: str = field(repr=False)
    """Of the secret."""
    tenant: str
    scopes: frozenset[Scope]
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def standing(self, now: datetime) -> Standing:
        """At this moment; the moment of its expiry is too late."""
        if self.revoked is not None:
            return Standing.REVOKED
        return Standing.EXPIRED if self.expires is not None and self.expires <= now else Standing.VALID


def issue(tenant: str, scopes: Iterable[Scope], now: datetime, lifetime: timedelta | None = None) -> tuple[Key, str]:
    """A new key, and the token that is shown to its holder once. Raises ValueError where a tenant has no such name."""
    if TENANT.fullmatch(tenant) is None:
        raise ValueError("a tenant is 1 to 100 letters, digits or any of . _ @ : -")
    key_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    expires = None if lifetime is None else now + lifetime
    return Key(key_id, _sha256(secret), tenant, frozenset(scopes), now, expires), f"gh_{key_id}_{secret}"


def split_token(token: str) -> tuple[str, str] | None:
    """Id and secret of what looks like a key."""
    match = TOKEN.fullmatch(token)
    return None if match is None else (match[1], match[2])


def opens(secret: str, key: Key | None) -> bool:
    """Whether this is the secret of the key, in the same time whether it is, is not, or there is no such key."""
    return hmac.compare_digest(_sha256(secret), "" if key is None else key.sha256)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
