"""JSON Web Tokens of one issuer: whether one is good, whose jobs it opens and what it may do with them.

Good is a token that a key of the issuer has signed, that names this issuer and this audience, and whose time it is. Its
header chooses among the issuer's keys and has no other say: which algorithms a key is for follows from the key.

Source: RFC 7519; RFC 8725, sections 3.1, 3.2, 3.8 and 3.9; RFC 9068 for the claim of the scopes.
"""

from dataclasses import dataclass
from typing import Any, Final

import jwt

from service.access.caller import BadTokenError, Caller, KeysAwayError
from service.access.issuer_keys import IssuerKeys, PublicKey
from service.access.key import TENANT, Scope
from service.settings import Settings
from service.startup import CannotStartError

LEEWAY_SECONDS: Final = 30
"""By so much the clocks of issuer and service may differ."""
NEEDED: Final = ("exp", "iss", "aud")
LONGEST_NAME: Final = 100
OPTIONS: Final[Any] = {"require": list(NEEDED), "enforce_minimum_key_length": True}


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whoever makes tokens for this service."""

    name: str
    """The claim `iss`."""
    audience: str
    tenant_claim: str
    scopes_claim: str
    """Empty: whoever has a token may read and write."""
    keys: IssuerKeys

    def caller(self, token: str) -> Caller:
        """Who has this token. Raises BadTokenError, KeysAwayError."""
        try:
            header = jwt.get_unverified_header(token)
            key = self.keys.find(header.get("kid"))
            if key is None:
                raise BadTokenError("its issuer has no such key")
            claims = self._claims(token, key)
        except jwt.PyJWTError as error:
            raise BadTokenError(str(error)) from error
        except RecursionError as error:
            raise BadTokenError("it is nested too deeply") from error
        return Caller(f"token:{_printed(claims.get('sub'))}", self._tenant(claims), self._scopes(claims))

    def _claims(self, token: str, key: PublicKey) -> dict[str, Any]:
        return jwt.decode(
            token,
            key.key,
            algorithms=list(key.algorithms),
            issuer=self.name,
            audience=self.audience,
            leeway=LEEWAY_SECONDS,
            options=OPTIONS,
        )

    def _tenant(self, claims: dict[str, Any]) -> str:
        tenant = claims.get(self.tenant_claim)
        if not isinstance(tenant, str) or TENANT.fullmatch(tenant) is None:
            raise BadTokenError(f"its claim {self.tenant_claim!r} names no tenant")
        return tenant

    def _scopes(self, claims: dict[str, Any]) -> frozenset[Scope]:
        """A text with spaces between them (RFC 8693), or a list; others may be among them."""
        if not self.scopes_claim:
            return frozenset({Scope.READ, Scope.WRITE})
        told = claims.get(self.scopes_claim, "")
        named = told.split() if isinstance(told, str) else told if isinstance(told, list) else []
        return frozenset(scope for scope in Scope if scope.value in named)


def issuer_of(settings: Settings) -> Issuer:
    """The issuer that these settings name. Raises CannotStartError where they name it by half, or its file is none."""
    said = {
        "GRADIENT_HEALTH_JWT_ISSUER": settings.jwt_issuer,
        "GRADIENT_HEALTH_JWT_AUDIENCE": settings.jwt_audience,
        "GRADIENT_HEALTH_JWT_KEYS_URL": settings.jwt_keys_url,
    }
    missing = [name for name, value in said.items() if not value]
    if missing:
        raise CannotStartError(f"tokens need {' and '.join(missing)}, too")
    if not settings.needs_keys:
        raise CannotStartError("tokens are asked for with GRADIENT_HEALTH_AUTH=keys only")
    keys = IssuerKeys(settings.jwt_keys_url)
    if settings.jwt_keys_url.startswith("file:"):  # a server may be away for now, a file is there or is not
        try:
            keys.read()
        except KeysAwayError as error:
            raise CannotStartError(f"the keys of tokens cannot be read: {error}") from error
    return Issuer(
        settings.jwt_issuer, settings.jwt_audience, settings.jwt_tenant_claim, settings.jwt_scopes_claim, keys
    )


def _printed(name: Any) -> str:
    """A name that is a word of a line in a log, whatever it was."""
    return "".join(each if each.isprintable() and each != " " else "?" for each in str(name))[:LONGEST_NAME]
