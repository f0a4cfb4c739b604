"""What a client raises: the service's problem, by what its caller can do about it.

    ProblemError                 service.problems: has .problem (code, detail, where, hint)
    └── ApiError
        ├── Refused              400, 406, 408, 413, 415, 422: what was sent, or what it is about
        ├── Unauthenticated      401: no key, or one that is not valid
        ├── Forbidden            403: the key has not the scope
        ├── NotFound             404
        ├── Conflict             409: not finished yet, or ended already
        ├── Gone                 410: deleted or cancelled
        ├── Busy                 429, 503: later; .retry_after seconds
        ├── ServiceFailed        500 and above
        └── NotTheService        somebody else answered: a proxy, a sign-in page
    TimeoutError
    └── WaitedTooLong            the analysis had not ended in time; it goes on

httpx.TransportError: no answer at all, after all retries.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx
from pydantic import ValidationError

from service.problems import Problem, ProblemError, problem


class ApiError(ProblemError):
    """The service answered with a problem."""

    @property
    def retry_after(self) -> float | None:
        """Seconds that the service asks to wait."""
        return seconds_of(self.headers.get("retry-after"))


class Refused(ApiError):
    """What was sent is refused, or the analysis of it failed for what it is."""


class Unauthenticated(ApiError):
    """No API key was sent, or one that is not valid."""


class Forbidden(ApiError):
    """The API key has not the scope."""


class NotFound(ApiError):
    """There is no such thing, or not for this key."""


class Conflict(ApiError):
    """The analysis has not ended yet, or has ended already."""


class Gone(ApiError):
    """The analysis was deleted or cancelled."""


class Busy(ApiError):
    """Not now: a quota is used up, or the service has no room."""


class ServiceFailed(ApiError):
    """The service went wrong."""


class NotTheService(ApiError):
    """Somebody else answered in its place."""


class WaitedTooLong(TimeoutError):
    """The analysis had not ended in time; it goes on."""

    def __init__(self, job_id: str, seconds: float) -> None:
        """Which one, and how long it was waited for."""
        super().__init__(f"analysis {job_id} had not ended in {seconds:g} s")
        self.job_id = job_id


BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    401: Unauthenticated, 403: Forbidden, 404: NotFound, 409: Conflict, 410: Gone, 429: Busy, 503: Busy,
}  # fmt: skip


def failure(response: httpx.Response) -> ApiError:
    """The error of an answer that is no success."""
    try:
        told = Problem.model_validate_json(response.content)
    except ValidationError:
        return not_the_service(response)
    others = ServiceFailed if told.status >= HTTPStatus.INTERNAL_SERVER_ERROR else Refused
    return BY_STATUS.get(told.status, others)(told, response.headers)


def not_the_service(response: httpx.Response) -> NotTheService:
    """The error of an answer that no service of ours gives."""
    detail = f"{response.url} answered {response.status_code}, and not as gradient-health does"
    hint = "is there a proxy in between?"
    return NotTheService(problem("not-the-service", HTTPStatus.BAD_GATEWAY, detail, hint=hint), response.headers)


def seconds_of(retry_after: str | None) -> float | None:
    """A Retry-After header in seconds from now (RFC 9110, 10.2.3: a number or a date); None for neither."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max((date - datetime.now(UTC)).total_seconds(), 0.0) if date.tzinfo else None
