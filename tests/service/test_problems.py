"""Errors as problems: which status each has, and what it says."""

import json
from http import HTTPStatus

import pytest

from analysis import errors
from service.problems import MEDIA_TYPE, STATUS, Problem, problem_of, refusal, status_of

EXPECTED = {
    errors.BadInput: HTTPStatus.BAD_REQUEST,
    errors.LimitExceeded: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.Unsupported: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ConversionMismatch: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BadReport: HTTPStatus.UNPROCESSABLE_ENTITY,
}


def below(kind: type[errors.AnalysisError]) -> list[type[errors.AnalysisError]]:
    return [each for child in kind.__subclasses__() for each in (child, *below(child))]


KINDS = [kind for kind in below(errors.AnalysisError) if kind.__module__ == "analysis.errors"]


# ------------------------------------------------------------------ the table


@pytest.mark.parametrize("kind", KINDS)
def test_every_refusal_of_the_library_has_a_status(kind: type[errors.AnalysisError]) -> None:
    expected = {status for ancestor, status in EXPECTED.items() if issubclass(kind, ancestor)}
    assert {status_of(kind)} == expected


def test_the_table_and_the_error_tree_name_the_same_branches() -> None:
    assert dict(STATUS) == EXPECTED
    assert set(STATUS) == set(errors.AnalysisError.__subclasses__())
    assert len(KINDS) >= 14


def test_a_new_refusal_has_the_status_of_its_branch() -> None:
    class Brandnew(errors.BadBatch):
        """Not known to the table."""

    assert status_of(Brandnew) == HTTPStatus.BAD_REQUEST


def test_an_error_outside_of_all_branches_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        status_of(errors.AnalysisError)


@pytest.mark.parametrize("kind", KINDS)
def test_a_problem_says_what_where_and_the_way_out(kind: type[errors.AnalysisError]) -> None:
    told = problem_of(kind("the detail", where="the place", hint="the way out"))
    assert (told.detail, told.where, told.hint) == ("the detail", "the place", "the way out")
    assert told.type == f"urn:gradient-health:problem:{kind.code}"
    assert told.title == (kind.__doc__ or "").strip()
    assert told.status == status_of(kind)
    assert "\n" not in told.title


def test_codes_are_distinct() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)


def test_a_refusal_without_words_speaks_for_its_kind() -> None:
    assert problem_of(errors.NotOnnx()).detail == "The file is not an ONNX model."


def test_a_problem_survives_being_stored() -> None:
    given = problem_of(errors.BadBatch("expected [N, 32]", where="x")).model_copy(update={"instance": "/v1/analyses/1"})
    assert Problem.model_validate(json.loads(json.dumps(given.model_dump()))) == given


def test_the_example_of_the_schema_is_a_problem() -> None:
    schema = Problem.model_json_schema()
    assert Problem.model_validate(schema["example"]).code == "bad-batch"


def test_a_raised_problem_reads_like_its_detail() -> None:
    assert str(refusal("gone", HTTPStatus.GONE, "it was deleted")) == "it was deleted"


def test_the_media_type_is_that_of_rfc_9457() -> None:
    assert MEDIA_TYPE == "application/problem+json"
