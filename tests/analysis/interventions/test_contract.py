"""What a treatment and a recipe are before anybody fills them in."""

from analysis.facts import Effect, Factor, GradientStep
from analysis.interventions.contract import NotApplicable, Recipe, Treatment
from analysis.interventions.shelf import INTERVENTIONS
from analysis.model import check_model
from tests.gallery import he, mlp


def test_a_title_is_the_first_line_of_the_page() -> None:
    page = "Swap it for another: one line.\n\nMore about it.\n"
    treatment = Treatment("swap", Factor.ACTIVATION, page, lambda _, __: NotApplicable("never"))
    assert treatment.title == "Swap it for another: one line."
    assert Treatment("swap", Factor.ACTIVATION, "Alone", treatment.apply).title == "Alone"


def test_every_treatment_on_the_shelf_has_a_title_that_is_a_sentence() -> None:
    for treatment in INTERVENTIONS:
        assert treatment.title[0].isupper()
        assert treatment.title.endswith((".", ":"))


def test_a_recipe_does_nothing_that_it_does_not_say() -> None:
    recipe = Recipe(model=check_model(mlp(2, "Relu", he())), effect=Effect.PRESERVES_OUTPUT, words="", cost="")
    assert dict(recipe.draws) == {}
    assert recipe.gradient_step == GradientStep(clip=None, weight_decay=0.0)
    assert recipe.sites == recipe.unit_variance == ()
