import pytest

from analysis.diagnosis.words import loss_words


@pytest.mark.parametrize(("loss", "words"), [(1.002, "1.00"), (0.096, "0.10"), (0.0422, "0.042"), (0.0, "0.00")])
def test_a_loss_that_two_decimals_would_round_to_nothing_has_two_digits(loss: float, words: str) -> None:
    assert loss_words(loss) == words
