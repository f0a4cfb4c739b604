"""Cells and their ids."""

import pytest

from analysis.errors import BadOptions
from analysis.interventions.shelf import BY_TOKEN
from analysis.interventions.variants import BASELINE, asked_for, cell_of, plain_cell, together, variant_id
from analysis.options import AnalysisOptions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variants": ["he+relu+magic"]}, "options.variants: 'magic' is no treatment"),
        ({"variants": ["he+xavier"]}, "options.variants: 'he+xavier' chooses initialization twice"),
        ({"variants": ["relu+he+xavier"]}, "options.variants: 'relu+he+xavier' chooses initialization twice"),
        ({"without": ["magic"]}, "options.without: 'magic' is no treatment"),
    ],
)
def test_a_choice_that_is_none_is_refused_with_the_list(options: dict[str, list[str]], words: str) -> None:
    with pytest.raises(BadOptions, match=words.replace("+", "[+]").replace(".", "[.]", 1)) as caught:
        asked_for(AnalysisOptions(**options))  # type: ignore[arg-type]
    if "no treatment" in words:
        assert caught.value.hint is not None
        assert all(token in caught.value.hint for token in BY_TOKEN)


def test_an_id_names_its_treatments_in_the_order_of_the_factors() -> None:
    assert variant_id(cell_of("decay+clip+he+batch_norm+relu+standardized")) == (
        "standardized+relu+batch_norm+he+clip+decay"
    )
    assert [each.token for each in cell_of("clip+zero_ends+he")] == ["he", "zero_ends", "clip"]
    assert variant_id(()) == BASELINE == "baseline"
    assert variant_id(reversed(cell_of("relu+he"))) == "relu+he"


@pytest.mark.parametrize("token", BY_TOKEN)
def test_a_treatment_alone_is_a_cell_by_its_token(token: str) -> None:
    assert cell_of(token) == (BY_TOKEN[token],)
    assert variant_id(cell_of(token)) == token


def test_the_plain_cell_is_the_one_without_clipping_and_decay() -> None:
    for name in ("relu+he+clip", "relu+he+clip_value+decay", "relu+he+clip_adaptive", "relu+he"):
        assert variant_id(plain_cell(cell_of(name))) == "relu+he"
    assert plain_cell(cell_of("clip+decay")) == ()


def test_cells_that_are_asked_for_come_in_the_order_they_are_named() -> None:
    asked = asked_for(AnalysisOptions(variants=("he+relu", "only", "clip"), without=("he",)))
    assert [variant_id(cell) for cell in asked] == ["relu+he", "clip"]
    assert asked_for(AnalysisOptions()) == []


@pytest.mark.parametrize("name", ["", "relu+", "he+he", "clip+clip_value"])
def test_an_id_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadOptions):
        cell_of(name)


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("he", "batch_norm", "batch_norm+he"),
        ("residual+he", "batch_norm+xavier", "batch_norm+residual+he"),
        ("batch_norm+xavier", "residual+he", "batch_norm+residual+xavier"),
        ("relu", "tanh", "relu"),
    ],
)
def test_of_two_cells_together_the_first_ones_levels_win(first: str, second: str, both: str) -> None:
    assert variant_id(together(cell_of(first), cell_of(second))) == both
