"""Who may see a page, and problems as pages.

keys needed   key in the request   answer
no            any                  the page; what changes something, for our own pages only
yes           none                 reading: an empty page that asks for the key; else 401
yes           wrong                401, as a page
yes           valid                the page of its tenant
"""

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials

from analysis.errors import AnalysisError
from service.api import handlers
from service.api.authentication import BEARER, HEADER, authenticate
from service.api.context import parts_of
from service.api.origin import READING, refuse_other_origins
from service.database import AWAY
from service.pages.site import page
from service.problems import Problem, ProblemError

TOLD: Final[Mapping[type[Exception], Callable[[Request, Exception], JSONResponse]]] = {
    ProblemError: handlers.answer_problem,
    AnalysisError: handlers.answer_analysis_error,
    RequestValidationError: handlers.answer_validation_error,
    **dict.fromkeys(AWAY, handlers.answer_database_error),
}
"""What the API says of an error; a page says the same."""


class NoKeyError(Exception):
    """A page was asked for without the key that it needs."""


def visitor(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    header: Annotated[str | None, Depends(HEADER)],
) -> None:
    """Gives the request its key where keys are needed. Raises NoKeyError, ProblemError."""
    if not parts_of(request).settings.needs_keys:
        refuse_other_origins(request)
    elif bearer is None and not header and request.method in READING:
        raise NoKeyError
    else:
        authenticate(request, bearer, header)


class PageRoute(APIRoute):
    """A route whose problems are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI's, with its errors told to a person."""
        answer = super().get_route_handler()

        async def answer_person(request: Request) -> Response:
            try:
                return await answer(request)
            except NoKeyError:
                return page(request, "key.html", problem=None)
            except tuple(TOLD) as error:
                return problem_page(request, error)

        return answer_person


def problem_of(request: Request, error: Exception) -> tuple[Problem, Mapping[str, str]]:
    """What the API would answer: the problem, and the headers that go with it."""
    handler = next(handler for kind, handler in TOLD.items() if isinstance(error, kind))
    told = handler(request, error)
    headers = {name: value for name, value in told.headers.items() if name in {"retry-after", "www-authenticate"}}
    return Problem.model_validate_json(bytes(told.body)), headers


def problem_page(request: Request, error: Exception) -> Response:
    """A problem as a page; where it is the key's, with the place to enter another."""
    problem, headers = problem_of(request, error)
    template = "key.html" if problem.status == HTTPStatus.UNAUTHORIZED else "problem.html"
    response = page(request, template, problem.status, problem=problem)
    response.headers.update(headers)
    return response
