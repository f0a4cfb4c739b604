"""The form has every option, as the schema describes it, and says the same as the JSON of the API."""

import json

import pytest

from analysis.errors import BadOptions
from analysis.options import AnalysisOptions, Effort
from service.pages.fields import COMMON, option_fields, options_said

FIELDS = {each.name: each for each in option_fields()}


def test_every_option_has_a_field_with_its_own_words_and_the_common_come_first() -> None:
    assert set(FIELDS) == set(AnalysisOptions.model_fields)
    assert tuple(FIELDS)[: len(COMMON)] == COMMON
    for name, described in AnalysisOptions.model_fields.items():
        assert described.description is not None
        assert FIELDS[name].help.split() == described.description.split()


def test_a_field_is_of_the_kind_of_its_option() -> None:
    kinds = {name: each.kind for name, each in FIELDS.items()}
    assert kinds["seed"] == kinds["required_horizon"] == "integer"
    assert kinds["budget_seconds"] == kinds["learning_rate"] == "number"
    assert kinds["freeze"] == "lines"
    assert kinds["thresholds"] == "json"
    assert (FIELDS["effort"].kind, FIELDS["effort"].choices) == ("choice", tuple(Effort))
    assert FIELDS["optimizer"].choices == ("sgd", "adam")
    assert FIELDS["learning_rate"].label == "Learning rate"


def test_a_default_is_shown_as_it_would_be_typed_and_typed_it_changes_nothing() -> None:
    shown = {f"options.{name}": each.default.encode() for name, each in FIELDS.items()}
    assert shown["options.budget_seconds"] == b"120"
    assert shown["options.optimizer"] == b""
    assert options_said(shown) == options_said({}) == AnalysisOptions()


def test_what_is_typed_is_what_the_api_would_be_sent() -> None:
    said = {
        "options.seed": b" 7 ",
        "options.learning_rate": b"1e-3",
        "options.optimizer": b"adam",
        "options.freeze": "bäckbone.*\r\n\r\n head, too \r\n".encode(),
        "options.thresholds": b'{"GH101.flow_decades": -3.5}',
        "project": b"no option",
    }
    assert options_said({name: bytearray(text) for name, text in said.items()}) == AnalysisOptions(
        seed=7,
        learning_rate=0.001,
        optimizer="adam",
        freeze=("bäckbone.*", "head, too"),
        thresholds={"GH101.flow_decades": -3.5},
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [("seed", b"seven"), ("seed", b"-1"), ("effort", b"heroic"), ("thresholds", b"{"), ("thresholds", b"[1]"),
     ("thresholds", b"[" * 60_000), ("thresholds", b"9" * 5000),
     ("learning_rate", b"\xff")],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_name_of_its_field(name: str, text: bytes) -> None:
    with pytest.raises(BadOptions) as refused:
        options_said({f"options.{name}": text})
    assert refused.value.where == f"options.{name}"
    assert json.dumps(refused.value.detail)
