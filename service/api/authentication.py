"""Who asks: the API key of a request, settled before its body is read and before its query is."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.access.key import Key, Scope, Standing
from service.api.context import parts_of
from service.api.handlers import PROBLEM
from service.jobs.job import now
from service.problems import ProblemError, problem

BEARER: Final = HTTPBearer(auto_error=False, bearerFormat="gh_<id>_<secret>")
HEADER: Final = APIKeyHeader(name="X-Api-Key", auto_error=False)
CHALLENGE: Final = 'Bearer realm="gradient-health"'
SCOPES: Final = {"/metrics": Scope.ADMIN, "/v1/comparisons": Scope.READ}
"""By path, where the method does not say it: the figures are everybody's, and a comparison changes nothing."""
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    401: PROBLEM | {"description": "No API key, or one that is not valid"},
    403: PROBLEM | {"description": "The API key has not the scope"},
}


def authenticate(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    header: Annotated[str | None, Depends(HEADER)],
) -> None:
    """Gives the request its key. Raises ProblemError: 401 without a valid one, 403 where it has not the scope."""
    token = header if bearer is None else bearer.credentials
    if not token:
        raise _unauthenticated("the request has no API key")
    key = parts_of(request).keys.find(token)
    if key is None:
        raise _unauthenticated("there is no such API key", error="invalid_token")
    if (standing := key.standing(now())) is not Standing.VALID:
        raise _unauthenticated(f"the API key {key.id} is {standing}", error="invalid_token")
    if (needed := scope_needed(request)) not in key.scopes:
        raise _forbidden(key, needed)
    request.state.key = key


def scope_needed(request: Request) -> Scope:
    """What a key must be allowed for this request; a HEAD comes here as GET."""
    reading = Scope.READ if request.method == "GET" else Scope.WRITE
    return SCOPES.get(request.url.path, reading)


def _unauthenticated(detail: str, *, error: str = "") -> ProblemError:
    hint = "send Authorization: Bearer gh_..., or X-Api-Key; the command line reads GRADIENT_HEALTH_API_KEY"
    told = problem("unauthenticated", HTTPStatus.UNAUTHORIZED, detail, where="Authorization", hint=hint)
    challenge = f'{CHALLENGE}, error="{error}"' if error else CHALLENGE
    return ProblemError(told, {"WWW-Authenticate": challenge})


def _forbidden(key: Key, needed: Scope) -> ProblemError:
    detail = f"the API key {key.id} has not the scope {needed}"
    told = problem("forbidden", HTTPStatus.FORBIDDEN, detail, where="Authorization")
    challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{needed}"'
    return ProblemError(told, {"WWW-Authenticate": challenge})
