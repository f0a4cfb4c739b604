"""Who asks: by an API key or by a token, once either has been found good. Everything behind it sees no difference."""

from dataclasses import dataclass

from service.access.key import Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a request is from."""

    id: str
    """For the audit log: that of a key, or `token:` and the subject of a token."""
    tenant: str
    scopes: frozenset[Scope]


class BadTokenError(Exception):
    """Nobody is let in by this one; the message says why, and holds nothing that is secret."""


class KeysAwayError(Exception):
    """Whether a token is good cannot be told at the moment."""

    def __init__(self, seconds: int, reason: str) -> None:
        """After how many seconds that may be different."""
        super().__init__(reason)
        self.seconds = seconds
