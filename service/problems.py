"""Errors as RFC 9457 problems: one table from error to status, read by whoever answers, over HTTP or not.

A problem says what (`detail`), where (`where`: node, tensor or field) and the way out (`hint`); `type` and `code` are
stable. A failed job stores its problem, and POST and GET answer with it alike.
"""

import errno
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, ConfigDict

from analysis import errors

MEDIA_TYPE: Final = "application/problem+json"
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Numbers of the errors of a disk that has no room."""
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
