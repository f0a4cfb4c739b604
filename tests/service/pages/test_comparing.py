"""Two analyses of one tenant, compared as the API does."""

import asyncio
from http import HTTPStatus

import pytest

from analysis.report import Report
from service.pages.comparing import compared
from service.problems import ProblemError
from tests.service.application import Service, job_of


def test_a_comparison_is_that_of_the_api(service: Service, sick: Report, healthy: Report) -> None:
    sides = {}
    for side, report in (("old", healthy), ("new", sick)):
        sides[side] = job_of(service.submit())
        service.succeed(report)
    comparison = asyncio.run(compared(service.parts, "default", sides))
    assert comparison.to_json() == service.ask("POST", "/v1/comparisons", json=sides).content
    assert comparison.regression


def test_what_cannot_be_compared_is_refused_with_its_side(service: Service, sick: Report) -> None:
    done = job_of(service.submit())
    service.succeed(sick)
    waiting = job_of(service.submit())
    for tenant, new, status in (
        ("default", waiting, HTTPStatus.CONFLICT),
        ("default", "nobody", HTTPStatus.NOT_FOUND),
    ):
        with pytest.raises(ProblemError) as refused:
            asyncio.run(compared(service.parts, tenant, {"old": done, "new": new}))
        assert (refused.value.problem.status, refused.value.problem.where) == (status, "new")
    with pytest.raises(ProblemError) as refused:
        asyncio.run(compared(service.parts, "somebody else", {"old": done, "new": done}))
    assert (refused.value.problem.status, refused.value.problem.where) == (HTTPStatus.NOT_FOUND, "old")
