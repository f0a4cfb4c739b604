"""How a number is said in a sentence, and in a table beside it."""

from typing import Final

SMALL_LOSS: Final = 0.095
"""Over chance."""


def loss_words(loss: float) -> str:
    """A loss over chance: two decimals, and two digits of one that they would round to nothing."""
    return f"{loss:.2f}" if loss >= SMALL_LOSS or loss == 0 else f"{loss:.2g}"
