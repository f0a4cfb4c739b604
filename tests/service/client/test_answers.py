"""Bodies of answers."""

import httpx
import pytest

from service.client.answers import read, succeeded
from service.client.errors import NotFound, NotTheService
from service.problems import problem
from service.schemas import ProgressView

WHERE = httpx.Request("GET", "http://localhost/")


def test_a_body_is_what_it_is_expected_to_be() -> None:
    response = httpx.Response(200, json={"stage": "probe", "fraction": 0.5}, request=WHERE)
    assert read(ProgressView, response) == ProgressView(stage="probe", fraction=0.5)
    assert succeeded(response) is response


@pytest.mark.parametrize("body", [b"{}", b"<h1>Sign in</h1>", b""])
def test_a_success_with_another_body_is_somebody_else_s(body: bytes) -> None:
    with pytest.raises(NotTheService):
        read(ProgressView, httpx.Response(200, content=body, request=WHERE))


def test_a_redirection_is_no_success_and_a_problem_is_raised() -> None:
    with pytest.raises(NotTheService):
        succeeded(httpx.Response(302, request=WHERE))
    told = problem("not-found", httpx.codes.NOT_FOUND, "no such thing")
    with pytest.raises(NotFound, match="no such thing"):
        succeeded(httpx.Response(404, content=told.model_dump_json(), request=WHERE))
