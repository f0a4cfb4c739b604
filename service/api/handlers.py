"""Errors -> responses: whatever goes wrong in a request is answered with a problem, and OpenAPI says so."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse

from analysis.errors import AnalysisError
from service.api.methods import allowed_methods
from service.objects.blob import UnavailableError
from service.problems import FULL, MEDIA_TYPE, Problem, ProblemError, problem, problem_of

PROBLEM: Final[dict[str, Any]] = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
"""How OpenAPI describes a response with a problem; `openapi.py` has the schema that it refers to."""
RETRY_SECONDS: Final = 5
log = logging.getLogger(__name__)
ANY_OTHER: Final = PROBLEM | {"description": "Any other problem, such as the one a failed analysis ended with"}


def respond(body: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem as an HTTP response."""
    return JSONResponse(body.model_dump(exclude_none=True), body.status, dict(headers or {}), MEDIA_TYPE)


def answer_problem(request: Request, error: Exception) -> JSONResponse:
    """Handler of ProblemError."""
    assert isinstance(error, ProblemError)
    return respond(error.problem.model_copy(update={"instance": request.url.path}), error.headers)


def answer_analysis_error(request: Request, error: Exception) -> JSONResponse:
    """Handler of the library's errors, where the web process itself meets one."""
    assert isinstance(error, AnalysisError)
    return respond(problem_of(error).model_copy(update={"instance": request.url.path}))


def answer_database_error(request: Request, error: Exception) -> JSONResponse:
    """Handler of a database that is locked, full or away: nothing has happened, and may be tried again."""
    log.warning("the database: %s", error)
    detail = "the job table does not answer at the moment"
    hint = "ask again after Retry-After seconds"
    told = problem("database-unavailable", HTTPStatus.SERVICE_UNAVAILABLE, detail, hint=hint)
    return respond(told.model_copy(update={"instance": request.url.path}), {"Retry-After": str(RETRY_SECONDS)})


def answer_full_disk(request: Request, error: Exception) -> JSONResponse:
    """Handler of OSError: a full disk is 507, a place for objects that does not answer 503, anything else a bug."""
    if isinstance(error, UnavailableError):
        log.warning("the objects: %s", error)
        detail = "the object store does not answer at the moment"
        hint = "ask again after Retry-After seconds"
        told = problem("objects-unavailable", HTTPStatus.SERVICE_UNAVAILABLE, detail, hint=hint)
        return respond(told.model_copy(update={"instance": request.url.path}), {"Retry-After": str(RETRY_SECONDS)})
    if getattr(error, "errno", None) not in FULL:
        raise error
    log.error("the disk is full: %s", error)
    told = problem("disk-full", HTTPStatus.INSUFFICIENT_STORAGE, "the disk became full on the way; nothing was kept")
    return respond(told.model_copy(update={"instance": request.url.path}))


def answer_disconnect(request: Request, error: Exception) -> JSONResponse:
    """Handler of a client that hung up: nobody reads this, and nothing is logged as a bug."""
    return respond(problem("disconnected", HTTPStatus.BAD_REQUEST, "the client hung up"))


def answer_http_error(request: Request, error: Exception) -> JSONResponse:
    """Handler of unknown paths and methods."""
    status = HTTPStatus(getattr(error, "status_code", HTTPStatus.INTERNAL_SERVER_ERROR))
    code = status.phrase.lower().replace(" ", "-")
    detail = f"{request.method} {request.url.path}: {status.phrase.lower()}"
    body = problem(code, status, detail, hint="see /openapi.json for what there is")
    headers = dict(getattr(error, "headers", None) or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED:  # Starlette names those of the first route that has the path
        headers["Allow"] = ", ".join(allowed_methods(request.app, request.scope))
    return respond(body.model_copy(update={"instance": request.url.path}), headers)


def answer_validation_error(request: Request, error: Exception) -> JSONResponse:
    """Handler of query and header values that do not parse."""
    complaints: list[dict[str, Any]] = getattr(error, "errors", list)()
    where = ", ".join(".".join(str(part) for part in complaint["loc"][1:]) for complaint in complaints)
    detail = "; ".join(complaint["msg"] for complaint in complaints)
    body = problem("bad-request", HTTPStatus.BAD_REQUEST, detail, where=where)
    return respond(body.model_copy(update={"instance": request.url.path}))


def answer_bug(request: Request, error: Exception) -> JSONResponse:
    """Handler of everything else: no traceback leaves the process."""
    body = problem("internal-error", HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error occurred; it was logged")
    return respond(body.model_copy(update={"instance": request.url.path}))
