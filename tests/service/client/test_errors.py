"""Problems of the service as exceptions."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from service.client import errors
from service.client.errors import ApiError, failure, seconds_of
from service.problems import ProblemError, problem

WHERE = httpx.Request("GET", "http://localhost/v1/analyses")


def answer(status: int, retry_after: str | None = None) -> httpx.Response:
    body = problem("some-code", httpx.codes(status), "it went wrong", where="x", hint="try y").model_dump_json()
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return httpx.Response(status, content=body, headers=headers, request=WHERE)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Refused), (413, errors.Refused), (415, errors.Refused), (422, errors.Refused),
        (401, errors.Unauthenticated), (403, errors.Forbidden), (404, errors.NotFound), (409, errors.Conflict),
        (410, errors.Gone), (429, errors.Busy), (503, errors.Busy), (500, errors.ServiceFailed),
        (507, errors.ServiceFailed),
    ],
)  # fmt: skip
def test_a_problem_is_raised_by_what_can_be_done_about_it(status: int, kind: type[ApiError]) -> None:
    raised = failure(answer(status))
    assert type(raised) is kind
    assert isinstance(raised, ProblemError)
    told = raised.problem
    assert (told.status, told.code, told.detail, told.where, told.hint) == (
        status, "some-code", "it went wrong", "x", "try y",
    )  # fmt: skip


def test_an_answer_without_a_problem_is_not_the_service_s() -> None:
    raised = failure(httpx.Response(502, html="<h1>Bad gateway</h1>", request=WHERE))
    assert isinstance(raised, errors.NotTheService)
    assert "answered 502" in str(raised)


def test_the_time_that_the_service_asks_for_is_told() -> None:
    assert failure(answer(503, "2")).retry_after == 2.0
    assert failure(answer(503)).retry_after is None


def test_a_retry_after_is_a_number_or_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=100)
    told = seconds_of(format_datetime(later, usegmt=True))
    assert told is not None
    assert 90 < told < 101
    assert seconds_of(format_datetime(later - timedelta(days=1), usegmt=True)) == 0.0
    assert seconds_of("120") == 120.0
    assert seconds_of("soon") is None
    assert seconds_of("-1") is None


def test_every_error_is_in_the_drawing() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ApiError)]
    assert all(f"── {kind.__name__}" in (errors.__doc__ or "") for kind in kinds)
