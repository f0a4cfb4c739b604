"""The table of operators, with operators of our own whose signatures say what is expected."""

from typing import Any

import pytest
import torch
from onnx import defs

from analysis.convert.registry import (
    _TABLE,
    NEWEST,
    Body,
    DType,
    ElementType,
    InputElements,
    Ints,
    Kind,
    Mode,
    NodeName,
    Number,
    Operator,
    OutputCount,
    OutputElement,
    Tensor,
    lookup,
    op,
    registered,
)


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is forgotten again."""
    monkeypatch.setitem(_TABLE, ("own", "Fold"), [])
    del _TABLE["own", "Fold"]


def fold(x: Tensor) -> Tensor:
    return x


def test_the_newest_registration_that_a_version_knows_serves_it_whatever_came_first() -> None:
    for since in (7, 1, 13):
        assert op("Fold", since, domain="own")(fold) is fold
    served = {version: lookup("own", "Fold", version) for version in (1, 6, 7, 12, 13, 99)}
    assert {version: known.since for version, known in served.items() if known} == {
        1: 1, 6: 1, 7: 7, 12: 7, 13: 13, 99: 13
    }  # fmt: skip
    spans = [(known.since, until) for known, until in registered() if known.domain == "own"]
    assert spans == [(1, 7), (7, 13), (13, NEWEST)]


def test_a_version_before_the_first_registration_is_not_served() -> None:
    op("Fold", 7, domain="own")(fold)
    assert lookup("own", "Fold", 6) is None
    assert lookup("own", "Bend", 7) is None
    assert lookup("", "Fold", 7) is None


def test_the_standard_has_two_names() -> None:
    assert lookup("ai.onnx", "Relu", 14) is lookup("", "Relu", 14) is not None


def test_registering_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        op("Relu")(torch.relu)


def test_an_operator_is_pure_unless_it_says_otherwise() -> None:
    op("Fold", 1, domain="own")(fold)
    op("Fold", 2, domain="own", pure=False)(fold)
    assert [known.pure for known in _TABLE["own", "Fold"]] == [True, False]
    random = {known.name for known, _ in registered() if not known.pure and not known.domain}
    assert random >= {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial"}


def test_registrations_of_the_standard_begin_where_the_standard_changed() -> None:
    changes: dict[str, set[int]] = {}
    for schema in defs.get_all_schemas_with_history():
        if not schema.domain:
            changes.setdefault(schema.name, set()).add(schema.since_version)
    ours = [known for known, _ in registered() if not known.domain and known.name in changes]
    assert len(ours) > 150
    assert {known.since for known in ours if known.since not in changes[known.name]} <= {1}  # from the first on


def everything(
    x: Tensor,
    shape: Ints,
    ratio: Number | None = None,
    axes: Ints | None = None,
    *rest: Tensor,
    to: DType,
    kind: ElementType | None = None,
    body: Body,
    alpha: float = 1.0,
    must: int,
    outputs: OutputCount,
    mode: Mode,
    name: NodeName,
    written: OutputElement,
    read: InputElements,
) -> tuple[Tensor, ...]:
    return (x,)


def test_a_signature_is_a_specification() -> None:
    operator = Operator("own", "Everything", 1, everything, pure=True)
    assert operator.inputs == (Kind.VALUE, Kind.INTS, Kind.NUMBER, Kind.INTS)
    assert operator.attributes == {
        "to": Kind.DTYPE, "kind": Kind.ELEMENT, "body": Kind.BODY, "alpha": Kind.VALUE, "must": Kind.VALUE,
        "outputs": Kind.OUTPUT_COUNT, "mode": Kind.MODE, "name": Kind.NAME, "written": Kind.OUTPUT_ELEMENT,
        "read": Kind.INPUT_ELEMENTS,
    }  # fmt: skip
    assert operator.required == {"to", "body", "must"}
    assert operator.many


def test_a_single_output_is_no_tuple() -> None:
    def listed(x: Tensor) -> list[Any]:
        return [x]

    assert not Operator("own", "Fold", 1, fold, pure=True).many
    assert not Operator("own", "Fold", 1, listed, pure=True).many
