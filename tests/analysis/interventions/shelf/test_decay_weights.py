from tests.analysis.interventions.builders import composed
from tests.gallery import he, mlp


def test_decay_says_how_much_and_shares_the_structure() -> None:
    recipe, subject = composed("decay", mlp(3, "Relu", he()))
    assert recipe.model is subject.model
    assert recipe.gradient_step.weight_decay == 0.01
    assert "0.01" in recipe.words
