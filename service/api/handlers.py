"""Errors -> responses: whatever goes wrong in a request is answered with a problem, and OpenAPI says so."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse

from analysis.errors import AnalysisError
from service.api.methods import allowed_methods
from service.problems import MEDIA_TYPE, Problem, ProblemError, problem, problem_of

PROBLEM: Final[dict[str, Any]] = {"content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
"""How OpenAPI describes a response with a problem."""
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
