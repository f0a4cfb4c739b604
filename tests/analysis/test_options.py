import json
import math
from contextlib import suppress
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from analysis.errors import BadOptions
from analysis.options import AnalysisOptions, Device, Effort, Limits, LossName, OptimizerName, parse_options

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def refusal(source: object) -> BadOptions:
    with pytest.raises(BadOptions) as caught:
        parse_options(source)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("nothing", ["", b"", "{}", b"{}", {}])
def test_nothing_chosen_gives_the_defaults(nothing) -> None:
    assert parse_options(nothing) == AnalysisOptions()


@pytest.mark.parametrize("form", [json.dumps, lambda chosen: json.dumps(chosen).encode(), dict])
def test_choices_are_read_from_text_bytes_and_mappings_alike(form) -> None:
    chosen = {
        "seed": 7,
        "effort": "quick",
        "budget_seconds": 3.5,
        "device": "auto",
        "loss": "bce",
        "train": ["a*", "b"],
        "freeze": ["c"],
        "batch_size": 4,
        "optimizer": "adam",
        "learning_rate": 0.01,
        "minibatch_size": 8,
        "select": ["GH1"],
        "ignore": ["GH104"],
        "thresholds": {"GH101.flow_decades": -3.0},
        "required_horizon": 40,
        "clip_norm": 2.0,
        "clip_value": 0.1,
        "weight_decay": 0.001,
        "variants": ["only", "selu+lsuv"],
        "without": ["batch_norm"],
    }
    options = parse_options(form(chosen))
    assert options == AnalysisOptions(
        seed=7,
        effort=Effort.QUICK,
        budget_seconds=3.5,
        device=Device.AUTO,
        loss=LossName.BCE,
        train=("a*", "b"),
        freeze=("c",),
        batch_size=4,
        optimizer=OptimizerName.ADAM,
        learning_rate=0.01,
        minibatch_size=8,
        select=("GH1",),
        ignore=("GH104",),
        thresholds={"GH101.flow_decades": -3.0},
        required_horizon=40,
        clip_norm=2.0,
        clip_value=0.1,
        weight_decay=0.001,
        variants=("only", "selu+lsuv"),
        without=("batch_norm",),
    )
    assert set(chosen) == set(AnalysisOptions.model_fields)


@pytest.mark.parametrize(
    ("field", "accepted", "refused"),
    [
        ("seed", [0, 2**31 - 1], [-1, 2**31, 1.5, "a", None]),
        (
            "thresholds",
            [{"GH101.flow_decades": -3.5}],
            [{"GH101.flow_decades": x} for x in (math.nan, math.inf, "nan")],
        ),
        ("budget_seconds", [1.0, 86_400.0], [0.99, 86_400.1, math.nan, math.inf, "soon"]),
        ("batch_size", [1, 4096], [0, 4097, 2.5]),
        ("learning_rate", [1e-12, 100.0, None], [0.0, -1.0, 100.1, math.nan]),
        ("minibatch_size", [1, 65_536, None], [0, -1, 65_537, 2.5]),
        ("clip_norm", [1e-9, 1e9], [0.0, -1.0, 1.1e9, math.inf]),
        ("clip_value", [1e-9, 1e9], [0.0, -1.0, 1.1e9, math.inf]),
        ("weight_decay", [0.0, 1e3], [-1.0, 1.1e3, math.nan]),
        ("effort", ["quick", "standard", "thorough"], ["QUICK", "", 1, None]),
        ("loss", ["automatic", "cross_entropy", "nll", "mse", "bce", "graph"], ["l1", None]),
        ("device", ["auto", "cpu", "cuda"], ["tpu"]),
        ("optimizer", ["sgd", "adam", None], ["lion"]),
        ("train", [[], ["a"], ["x" * 500]], [[""], ["x" * 501], "a", [1], {"a": 1}]),
        ("freeze", [[], ["a", "b*"]], [[""], ["x" * 501], None]),
    ],
)
def test_bounds_hold_exactly(field: str, accepted: list, refused: list) -> None:
    for value in accepted:
        parse_options({field: value})
    for value in refused:
        error = refusal({field: value})
        assert error.where.startswith(f"options.{field}")
        assert field in error.detail
        assert "given" in error.detail


def test_an_unknown_field_is_named_with_the_list_of_known_ones() -> None:
    error = refusal('{"efort": "quick"}')
    assert error.where == "options.efort"
    assert "efort: unknown option" in error.detail
    assert all(field in error.hint for field in AnalysisOptions.model_fields)


def test_the_list_of_options_is_told_to_nobody_who_knows_them() -> None:
    assert refusal({"seed": -1}).hint == "left out, seed is 0"
    assert refusal({"effort": "quik"}).hint == "left out, effort is standard"
    assert refusal({"learning_rate": 0}).hint == "learning_rate may be left out"
    assert refusal({"freeze": [""]}).hint == "freeze may be left out"
    assert refusal({"thresholds": {"GH101.flow_decades": "x"}}).hint == "thresholds may be left out"
    assert "learning_rate" in refusal({"seed": -1, "lr": 1}).hint


def test_every_complaint_is_listed() -> None:
    error = refusal({"seed": -1, "colour": "red", "batch_size": 0})
    assert all(field in error.detail for field in ("seed", "colour", "batch_size"))


def test_what_was_given_is_quoted_but_not_at_length() -> None:
    assert "given 'x" in refusal({"seed": "x" * 10_000}).detail
    assert len(refusal({"seed": "x" * 10_000}).detail) < 200


@pytest.mark.parametrize("text", ["{", "quick", b"\xff\xfe\x00", "{'seed': 1}", '{"seed": 1,}', "[" * 100_000])
def test_text_that_is_not_json_is_refused(text) -> None:
    error = refusal(text)
    assert error.where == "options"
    assert "not JSON" in error.detail


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ('{"seed": 1, "effort": "quick", "seed": 1}', "options.seed", "given twice"),
        ('{"thresholds": {"GH101.flow_decades": -3, "GH101.flow_decades": -4}}', "options.GH101.flow_decades", "twice"),
        ('{"loss": "\\ud800"}', "options", "surrogate"),
        ('{"\\udfff": 1}', "options", "surrogate"),
        ("[" * 10_000, "options", "nested too deeply"),
        ('{"seed": ' + "9" * 5_000 + "}", "options", "5000 digits"),
    ],
)
def test_json_that_means_nothing_is_refused_in_plain_words(text: str, where: str, words: str) -> None:
    error = refusal(text)
    assert error.where == where
    assert words in error.detail
    assert "sys." not in error.detail
    assert error.hint


@pytest.mark.parametrize("text", ["[]", "3", "null", '"quick"', "true"])
def test_json_that_is_no_object_is_refused(text: str) -> None:
    error = refusal(text)
    assert "must be a JSON object" in error.detail
    assert json.loads(error.hint.removeprefix("for example "))


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j])
def test_a_mapping_of_what_json_cannot_say_is_refused(value) -> None:
    assert refusal({"seed": value}).where.startswith("options")


@given(JSON)
def test_whatever_json_is_sent_gives_options_or_a_refusal(value) -> None:
    with suppress(BadOptions):
        assert isinstance(parse_options(json.dumps(value)), AnalysisOptions)


@given(st.binary(max_size=60))
def test_whatever_bytes_are_sent_give_options_or_a_refusal(content: bytes) -> None:
    with suppress(BadOptions):
        assert isinstance(parse_options(content), AnalysisOptions)


def test_options_are_frozen_and_can_be_keys() -> None:
    options = AnalysisOptions()
    with pytest.raises(ValidationError):
        options.seed = 1  # type: ignore[misc]
    assert {options: 1}[AnalysisOptions()] == 1


def test_options_survive_their_own_json() -> None:
    options = AnalysisOptions(seed=3, train=("a", "b"), learning_rate=0.5)
    assert parse_options(options.model_dump_json()) == options


def test_the_schema_documents_and_bounds_every_field() -> None:
    schema = AnalysisOptions.model_json_schema()
    assert schema["additionalProperties"] is False
    assert all(entry.get("description") for entry in schema["properties"].values())


def test_limits_are_on_by_default_and_frozen() -> None:
    limits = Limits()
    assert all(getattr(limits, name) > 0 for name in Limits.__slots__)
    with pytest.raises(FrozenInstanceError):
        limits.nodes = 1  # type: ignore[misc]
