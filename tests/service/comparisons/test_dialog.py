from http import HTTPStatus

import pytest
from pydantic import ValidationError

from service.comparisons.dialog import SAID, Compared, Refused, Wanted
from service.problems import problem

SAYINGS = (
    Wanted(side="old", job_id="\0 any string é"),
    Compared(regression=True, verdict="unhealthy"),
    Refused(problem=problem("bad-report", HTTPStatus.UNPROCESSABLE_ENTITY, "no report", where="old")),
)


@pytest.mark.parametrize("said", SAYINGS, ids=lambda said: said.kind)
def test_what_is_said_is_heard(said: Wanted | Compared | Refused) -> None:
    assert SAID.validate_json(said.model_dump_json()) == said


@pytest.mark.parametrize(
    "said", [b"", b"{}", b'{"kind": "other"}', b'{"kind": "wanted", "side": "third", "job_id": "a"}']
)
def test_anything_else_is_not(said: bytes) -> None:
    with pytest.raises(ValidationError):
        SAID.validate_json(said)
