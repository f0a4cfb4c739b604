"""Errors as RFC 9457 problems: one table from error to HTTP status.

A problem says what (`detail`), where (`where`: node, tensor or field) and the way out (`hint`); `type` and `code` are
stable. A failed job stores its problem, and POST and GET answer with it alike.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from analysis import errors

MEDIA_TYPE: Final = "application/problem+json"
URN: Final = "urn:gradient-health:problem:"
STATUS: Final[Mapping[type[errors.AnalysisError], HTTPStatus]] = {
    errors.BadInput: HTTPStatus.BAD_REQUEST,
    errors.LimitExceeded: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.Unsupported: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ConversionMismatch: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BadReport: HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""By class; a subclass has the status of its nearest ancestor here."""


class Problem(BaseModel):
    """The body of every error."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "example": {
                "type": URN + "bad-batch",
                "title": "The sample batch does not fit the model.",
                "status": 400,
                "detail": "expected shape [N, 32], given [64, 31]",
                "code": "bad-batch",
                "where": "x",
                "hint": "",
                "instance": "/v1/analyses/0193a1c2-7e60-7c3e-9d55-2f6b1f0c8a11",
            }
        },
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    where: str = ""
    hint: str = ""
    instance: str | None = None


PROBLEM: Final[dict[str, Any]] = {"content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
"""How OpenAPI describes a response with a problem."""


class ProblemError(Exception):
    """Raised in the service to answer with a problem."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        """The problem and what else the answer carries."""
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = dict(headers or {})


def problem(code: str, status: HTTPStatus, detail: str, *, where: str = "", hint: str = "") -> Problem:
    """A problem of the service's own."""
    return Problem(
        type=URN + code, title=status.phrase, status=status.value, detail=detail, code=code, where=where, hint=hint
    )


def refusal(code: str, status: HTTPStatus, detail: str, *, where: str = "", hint: str = "") -> ProblemError:
    """The same, ready to raise."""
    return ProblemError(problem(code, status, detail, where=where, hint=hint))


def status_of(kind: type[errors.AnalysisError]) -> HTTPStatus:
    """The status of an error of the library."""
    for ancestor in kind.__mro__:
        if ancestor in STATUS:
            return STATUS[ancestor]
    raise KeyError(kind)


def problem_of(error: errors.AnalysisError) -> Problem:
    """An error of the library as a problem."""
    status = status_of(type(error))
    return Problem(
        type=URN + error.code,
        title=(type(error).__doc__ or "").strip(),
        status=status.value,
        detail=error.detail,
        code=error.code,
        where=error.where,
        hint=error.hint,
    )


def answer(body: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The HTTP response."""
    return JSONResponse(body.model_dump(exclude_none=True), body.status, dict(headers or {}), MEDIA_TYPE)


def answer_problem(request: Request, error: Exception) -> JSONResponse:
    """Handler of ProblemError."""
    assert isinstance(error, ProblemError)
    return answer(error.problem.model_copy(update={"instance": request.url.path}), error.headers)


def answer_analysis_error(request: Request, error: Exception) -> JSONResponse:
    """Handler of the library's errors, where the web process itself meets one."""
    assert isinstance(error, errors.AnalysisError)
    return answer(problem_of(error).model_copy(update={"instance": request.url.path}))


def answer_http_error(request: Request, error: Exception) -> JSONResponse:
    """Handler of unknown paths and methods."""
    status = HTTPStatus(getattr(error, "status_code", HTTPStatus.INTERNAL_SERVER_ERROR))
    code = status.phrase.lower().replace(" ", "-")
    detail = f"{request.method} {request.url.path}: {status.phrase.lower()}"
    body = problem(code, status, detail, hint="see /openapi.json for what there is")
    return answer(body.model_copy(update={"instance": request.url.path}), getattr(error, "headers", None))


def answer_validation_error(request: Request, error: Exception) -> JSONResponse:
    """Handler of query and header values that do not parse."""
    complaints: list[dict[str, Any]] = getattr(error, "errors", list)()
    where = ", ".join(".".join(str(part) for part in complaint["loc"][1:]) for complaint in complaints)
    detail = "; ".join(complaint["msg"] for complaint in complaints)
    body = problem("bad-request", HTTPStatus.BAD_REQUEST, detail, where=where)
    return answer(body.model_copy(update={"instance": request.url.path}))


def answer_bug(request: Request, error: Exception) -> JSONResponse:
    """Handler of everything else: no traceback leaves the process."""
    body = problem("internal-error", HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error occurred; it was logged")
    return answer(body.model_copy(update={"instance": request.url.path}))
