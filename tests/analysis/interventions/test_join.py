"""Two recipes, one after the other: every part by hand."""

from dataclasses import replace

import pytest

from analysis.facts import Clip, ClipKind, Effect, GradientStep
from analysis.interventions.contract import NormalizationSite, Recipe, UnitVariance
from analysis.interventions.draws import Constant, Normal, Scaled
from analysis.interventions.join import join
from analysis.model import check_model
from tests.analysis.experiment.experiments import experiment
from tests.analysis.interventions.builders import applied
from tests.gallery import he, mlp

FIRST, SECOND = (check_model(mlp(depth, "Relu", he())) for depth in (2, 3))
NOTHING = Recipe(model=FIRST, effect=Effect.PRESERVES_OUTPUT, words="", cost="nothing changed")
MILD, STEP, STRONG = Effect.PRESERVES_OUTPUT, Effect.TRAINING_ONLY, Effect.CHANGES_FUNCTION
BY_NORM, BY_VALUE = (Clip(kind=kind, max_norm=1.0) for kind in (ClipKind.GLOBAL_NORM, ClipKind.VALUE))


def recipe(**parts: object) -> Recipe:
    return replace(NOTHING, words="do it", cost="2 nodes changed", **parts)


def test_clipping_and_decay_go_together() -> None:
    cells = experiment(mlp(3, "Relu", he()))
    found = applied("clip+decay", mlp(3, "Relu", he()))
    assert found.gradient_step.clip is not None
    assert found.gradient_step.weight_decay == 0.01
    assert cells.structures.unchanged.model.sha256 == found.model.sha256


def test_the_second_edits_what_the_first_left() -> None:
    assert join(recipe(), recipe(model=SECOND)).model is SECOND


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (MILD, MILD, MILD), (MILD, STEP, STEP), (STEP, MILD, STEP), (STEP, STEP, STEP),
        (STEP, STRONG, STRONG), (STRONG, STEP, STRONG), (STRONG, MILD, STRONG), (MILD, STRONG, STRONG),
    ],
)  # fmt: skip
def test_both_do_what_the_stronger_of_them_does(first: Effect, second: Effect, both: Effect) -> None:
    assert join(recipe(effect=first), recipe(effect=second)).effect is both


def test_words_follow_each_other_and_what_says_nothing_adds_nothing() -> None:
    assert join(recipe(), replace(recipe(), words="then that")).words == "do it, then that"
    assert join(NOTHING, recipe()).words == "do it"
    assert join(recipe(), NOTHING).words == "do it"


def test_a_gradient_step_costs_nothing_beside_another_change() -> None:
    one, other = recipe(), replace(recipe(effect=STRONG), cost="3 weights redrawn")
    step = replace(recipe(effect=STEP), cost="no change to the model")
    assert join(one, other).cost == "2 nodes changed, 3 weights redrawn"
    assert join(one, step).cost == "2 nodes changed"
    assert join(NOTHING, step).cost == "no change to the model"
    assert join(NOTHING, other).cost == "3 weights redrawn"


def test_a_draw_takes_the_place_of_the_one_before_and_a_factor_applies_to_it() -> None:
    first = recipe(draws={"a": Normal(1.0), "b": Normal(1.0), "c": Normal(1.0)})
    second = recipe(draws={"b": Constant(0.0), "c": Scaled(0.5), "d": Scaled(0.5)})
    assert join(first, second).draws == {
        "a": Normal(1.0), "b": Constant(0.0), "c": Scaled(0.5, Normal(1.0)), "d": Scaled(0.5),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (GradientStep(), GradientStep(), GradientStep()),
        (GradientStep(clip=BY_NORM), GradientStep(), GradientStep(clip=BY_NORM)),
        (GradientStep(clip=BY_NORM), GradientStep(clip=BY_VALUE), GradientStep(clip=BY_VALUE)),
        (GradientStep(weight_decay=0.1), GradientStep(), GradientStep(weight_decay=0.1)),
        (GradientStep(weight_decay=0.1), GradientStep(weight_decay=0.2), GradientStep(weight_decay=0.2)),
        (GradientStep(clip=BY_NORM), GradientStep(weight_decay=0.2), GradientStep(clip=BY_NORM, weight_decay=0.2)),
        (GradientStep(weight_decay=0.2), GradientStep(clip=BY_NORM), GradientStep(clip=BY_NORM, weight_decay=0.2)),
    ],
)
def test_of_two_steps_the_later_one_counts_where_it_says_something(
    first: GradientStep, second: GradientStep, both: GradientStep
) -> None:
    assert join(recipe(gradient_step=first), recipe(gradient_step=second)).gradient_step == both


def test_what_is_taken_from_the_batch_is_taken_in_order() -> None:
    sites = [NormalizationSite(name, "mean", "variance") for name in "ab"]
    scales = [UnitVariance(name, "z") for name in "ab"]
    one, other = (
        recipe(sites=(site,), unit_variance=(scale,)) for site, scale in zip(sites, scales, strict=True)
    )  # fmt: skip
    assert join(one, other).sites == tuple(sites)
    assert join(one, other).unit_variance == tuple(scales)


def test_nodes_that_both_insert_are_counted_together() -> None:
    one = replace(recipe(effect=STRONG), cost="2 nodes inserted, 2 of them scaled")
    other = replace(recipe(effect=STRONG), cost="3 nodes inserted, 3 weights redrawn")
    kind = replace(recipe(effect=STRONG), cost="4 Add nodes inserted")
    assert join(one, other).cost == "5 nodes inserted, 2 of them scaled, 3 weights redrawn"
    assert join(join(one, kind), other).cost == (
        "5 nodes inserted, 2 of them scaled, 4 Add nodes inserted, 3 weights redrawn"
    )
