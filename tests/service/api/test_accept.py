"""Which form of a report an Accept header asks for."""

import pytest

from analysis.render.formats import BY_NAME, FORMATS, Format
from service.api.accept import preferred, takes, takes_gzip
from service.problems import ProblemError

JSON, HTML = BY_NAME["json"], BY_NAME["html"]


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
def test_the_form_a_client_likes_best(accept: str, expected: Format) -> None:
    assert preferred([accept]) is expected


def test_several_headers_are_one_list() -> None:
    assert preferred(["application/json;q=0.1", "text/html;q=0.2"]) == HTML
    assert preferred([]) == JSON


@pytest.mark.parametrize("accept", ["image/png", "text/css", "text/html;q=0", "*/*;q=0", "application/problem+json"])
def test_a_client_that_accepts_neither_is_told_what_there_is(accept: str) -> None:
    with pytest.raises(ProblemError) as caught:
        preferred([accept])
    assert caught.value.problem.status == 406
    assert all(each.essence in caught.value.problem.detail for each in FORMATS)
    assert caught.value.headers == {"Vary": "Accept, Accept-Encoding"}


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("text/markdown", "md"),
        ("text/plain", "text"),
        ("application/xml", "junit"),
        ("application/sarif+json", "sarif"),
        ("application/openmetrics-text; version=1.0.0, text/plain;q=0.5", "openmetrics"),
        ("application/sarif+json;q=0.4, application/xml;q=0.6", "junit"),
    ],
)
def test_every_media_type_means_the_first_format_that_has_it(accept: str, name: str) -> None:
    assert preferred([accept]) is BY_NAME[name]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("GZIP;q=0.1", True),
        ("x-gzip", True),
        ("*", True),
        ("br;q=1, *;q=0.1", True),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("gzip;q=0.000", False),
        ("gzip;q=x", False),
        ("gzipped", False),
    ],
)
def test_compression_is_for_those_who_take_it(accept: str, expected: bool) -> None:
    assert takes_gzip([accept]) is expected
    assert takes_gzip(["br", accept]) is expected


@pytest.mark.parametrize(
    ("accept", "taken"),
    [([], True), (["*/*"], True), (["text/*;q=0.1"], True), (["application/json"], False),
     (["application/json", "text/html"], True), (["*/*, text/html;q=0"], False)],
)  # fmt: skip
def test_a_media_type_is_taken_or_not(accept: list[str], taken: bool) -> None:
    assert takes("text/html", accept) is taken
