"""Which form of a report an Accept header asks for."""

import pytest

from service.api.accept import HTML, JSON, preferred
from service.problems import ProblemError


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("application/*", JSON),
        ("text/html", HTML),
        ("TEXT/HTML", HTML),
        ("text/*", HTML),
        ("text/html; charset=utf-8", HTML),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
        ("text/html;q=0.5, application/json", JSON),
        ("text/html, application/json;q=0.9", HTML),
        ("text/html, application/json", JSON),
        ("text/html;q=0.9, */*;q=0.9", JSON),
        ("application/json;q=0, */*", HTML),
        ("text/html;q=0, */*;q=0.1", JSON),
        ("*/*, text/html;q=0.1", JSON),
        ("text/*;q=0.2, text/html;q=0.9, application/json;q=0.5", HTML),
        ("text/html;level=1;Q=0.3, application/json;q=0.2", HTML),
        ("text/html ; q=1.000", HTML),
        ("image/png, text/html;q=0.001", HTML),
        ("json", JSON),
        (";;,,q=1", JSON),
        ("text/html;q=2, application/json;q=0.1", JSON),
        ("text/html;q=nan", JSON),
        ("text / html", JSON),
        ("a" * 100_000, JSON),
        ("text/html" + ";" * 50_000, HTML),
    ],
)
def test_the_form_a_client_likes_best(accept: str, expected: str) -> None:
    assert preferred([accept]) == expected


def test_several_headers_are_one_list() -> None:
    assert preferred(["application/json;q=0.1", "text/html;q=0.2"]) == HTML
    assert preferred([]) == JSON


@pytest.mark.parametrize("accept", ["image/png", "text/plain", "text/html;q=0", "*/*;q=0", "application/problem+json"])
def test_a_client_that_accepts_neither_is_told_what_there_is(accept: str) -> None:
    with pytest.raises(ProblemError) as caught:
        preferred([accept])
    assert caught.value.problem.status == 406
    assert "application/json or text/html" in caught.value.problem.detail
    assert caught.value.headers == {"Vary": "Accept"}
