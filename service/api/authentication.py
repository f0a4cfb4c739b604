"""Who asks: the API key or the token of a request, settled before its body is read and before its query is."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.access.caller import BadTokenError, Caller, KeysAwayError
from service.access.key import Scope, Standing
from service.access.keys import KeyTable
from service.api.context import Parts, parts_of
from service.api.handlers import PROBLEM
from service.jobs.job import now
from service.problems import ProblemError, problem

SENT: Final = "An API key; or a JSON Web Token, where the operator has named who issues them."
BEARER: Final = HTTPBearer(auto_error=False, bearerFormat="gh_<id>_<secret>, or JWT", description=SENT)
HEADER: Final = APIKeyHeader(name="X-Api-Key", auto_error=False, description=SENT)
CHALLENGE: Final = 'Bearer realm="gradient-health"'
SCOPES: Final = {"/metrics": Scope.ADMIN, "/v1/comparisons": Scope.READ}
"""By path, where the method does not say it: the figures are everybody's, and a comparison changes nothing."""
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    401: PROBLEM | {"description": "No API key or token, or one that is not valid"},
    403: PROBLEM | {"description": "The API key or token has not the scope"},
}


def authenticate(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    header: Annotated[str | None, Depends(HEADER)],
) -> None:
    """Gives the request its caller; on a thread, as it asks the key table.

    Raises ProblemError: 401 without a valid key or token, 403 where it has not the scope, 503 where nobody can tell.
    """
    secret = header if bearer is None else bearer.credentials
    if not secret:
        raise _unauthenticated("the request has no API key")
    caller = _caller(parts_of(request), secret)
    if (needed := scope_needed(request)) not in caller.scopes:
        raise _forbidden(caller, needed)
    request.state.caller = caller


def scope_needed(request: Request) -> Scope:
    """What a caller must be allowed for this request; a HEAD comes here as GET."""
    reading = Scope.READ if request.method == "GET" else Scope.WRITE
    return SCOPES.get(request.url.path, reading)


def _caller(parts: Parts, secret: str) -> Caller:
    """A token has two dots, and a key has none."""
    if parts.issuer is None or "." not in secret:
        return _caller_of_key(parts.keys, secret)
    try:
        return parts.issuer.caller(secret)
    except BadTokenError as error:
        raise _unauthenticated(f"the token is not valid: {error}", error="invalid_token") from error
    except KeysAwayError as error:
        raise _keys_away(error) from error


def _caller_of_key(keys: KeyTable, secret: str) -> Caller:
    key = keys.find(secret)
    if key is None:
        raise _unauthenticated("there is no such API key", error="invalid_token")
    if (standing := key.standing(now())) is not Standing.VALID:
        raise _unauthenticated(f"the API key {key.id} is {standing}", error="invalid_token")
    return Caller(key.id, key.tenant, key.scopes)


def _unauthenticated(detail: str, *, error: str = "") -> ProblemError:
    hint = "send Authorization: Bearer gh_..., or X-Api-Key; the command line reads GRADIENT_HEALTH_API_KEY"
    told = problem("unauthenticated", HTTPStatus.UNAUTHORIZED, detail, where="Authorization", hint=hint)
    challenge = f'{CHALLENGE}, error="{error}"' if error else CHALLENGE
    return ProblemError(told, {"WWW-Authenticate": challenge})


def _forbidden(caller: Caller, needed: Scope) -> ProblemError:
    detail = f"the caller {caller.id} has not the scope {needed}"
    told = problem("forbidden", HTTPStatus.FORBIDDEN, detail, where="Authorization")
    challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{needed}"'
    return ProblemError(told, {"WWW-Authenticate": challenge})


def _keys_away(error: KeysAwayError) -> ProblemError:
    """Nothing of why: who asks is anybody, and the address of the keys is not theirs to know."""
    detail, hint = (
        "the keys that tokens are checked by cannot be had at the moment",
        "ask again after Retry-After seconds",
    )
    told = problem("keys-unavailable", HTTPStatus.SERVICE_UNAVAILABLE, detail, hint=hint)
    return ProblemError(told, {"Retry-After": str(error.seconds)})
