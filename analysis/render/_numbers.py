"""The one place where a number of the report becomes text: the same number reads the same everywhere on the page.

Decades are powers of ten with their sign and one decimal; everything else has three digits. A dash stands for what was
not measured, words for what is no number. Each carries all of its digits in `value`, to be copied.
"""

import math
from typing import Final

from markupsafe import Markup

from analysis.diagnosis.words import loss_words
from analysis.report import Evidence
from analysis.report.parts import Bound

MINUS: Final = "\N{MINUS SIGN}"
ABOUT_THE_SAME: Final = 0.1
"""Decades: a factor of 1.26."""
NAMED: Final = ((12, "trillion"), (9, "billion"), (6, "million"))
"""Powers of ten with a name of their own, largest first."""
NO_NUMBER: Final = "not finite"
NOT_MEASURED: Final = Markup('<span class="absent" title="not measured">\N{EN DASH}</span>')


def number_of(value: float | None) -> Markup:
    """Three digits to read, all of them to copy; a dash for what was not measured."""
    return NOT_MEASURED if value is None else _data(value, short_number(value))


def signed_number(value: float | None) -> Markup:
    """Decades, with their sign and one decimal."""
    return NOT_MEASURED if value is None else _data(value, decades(value))


def loss_of(value: float | None) -> Markup:
    """A loss over chance, as the recipe words it."""
    if value is None or not math.isfinite(value):
        return number_of(value)
    return _data(value, loss_words(value))


def power_of_ten(value: float | None) -> Markup:
    """Decades as a factor: ten to the power of them."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED if value is None else _data(value, "none" if value < 0 else NO_NUMBER)
    return Markup('<data value="{}">10<sup>{}</sup></data>').format(value, decades(value).removeprefix("+"))


def short_number(value: float) -> str:
    """Three digits; whole numbers whole."""
    if isinstance(value, int):
        return _minus(f"{value:,}")
    if math.isnan(value):
        return NO_NUMBER
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else f"{MINUS}\N{INFINITY}"
    return _minus(f"{value:.3g}")


def decades(value: float) -> str:
    """One decimal with its sign; what rounds to nothing is 0."""
    if not math.isfinite(value):
        return short_number(value)
    text = f"{value:+.1f}"
    return "0" if float(text) == 0 else _minus(text)


def times(value: float | None) -> str:
    """Decades as a factor in words: 16 million times smaller."""
    if value is None or math.isnan(value):
        return "not measured" if value is None else NO_NUMBER
    if math.isinf(value):
        return "no gradient arrives" if value < 0 else "an infinite gradient arrives"
    if abs(value) < ABOUT_THE_SAME:
        return "about as large"
    return f"{_spoken(abs(value))} times {'smaller' if value < 0 else 'larger'}"


def limit_words(evidence: Evidence) -> Markup:
    """The limit with its direction: what a healthy network shows."""
    least = bound_of(evidence) is Bound.LEAST
    words = Markup("at {} {}").format("least" if least else "most", number_of(evidence.threshold))
    return words if is_crossed(evidence) else words + Markup(" (kept)")


def bound_of(evidence: Evidence) -> Bound:
    """As the rule says; of reports older than that, the side on which the value is not."""
    if evidence.bound is not None:
        return evidence.bound
    return Bound.LEAST if evidence.value < evidence.threshold else Bound.MOST


def is_crossed(evidence: Evidence) -> bool:
    """Whether the value lies beyond its limit; one that is no number does."""
    if bound_of(evidence) is Bound.LEAST:
        return not evidence.value >= evidence.threshold
    return not evidence.value <= evidence.threshold


def _data(value: float, text: str) -> Markup:
    return Markup('<data value="{}">{}</data>').format(value, text)


def _minus(text: str) -> str:
    """A minus that is as wide as a plus; the one of an exponent stays."""
    return f"{MINUS}{text[1:]}" if text.startswith("-") else text


def _spoken(value: float) -> str:
    """Ten to that power, with two digits and the name of its millions."""
    for power, name in NAMED:
        if power <= value < power + 3:
            return f"{float(f'{10 ** (value - power):.2g}'):g} {name}"
    if value >= NAMED[0][0] + 3:
        return f"10^{value:.0f}"
    return f"{float(f'{10**value:.2g}'):,g}"
