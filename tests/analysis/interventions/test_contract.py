"""What a treatment and a recipe are before anybody fills them in."""

from analysis.facts import Effect, GradientStep
from analysis.interventions.contract import Recipe
from analysis.model import check_model
from tests.gallery import he, mlp


def test_a_recipe_does_nothing_that_it_does_not_say() -> None:
    recipe = Recipe(model=check_model(mlp(2, "Relu", he())), effect=Effect.PRESERVES_OUTPUT, words="", cost="")
    assert dict(recipe.draws) == {}
    assert recipe.gradient_step == GradientStep(clip=None, weight_decay=0.0)
    assert recipe.sites == recipe.unit_variance == ()
