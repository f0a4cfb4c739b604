import math

import pytest

from analysis.diagnosis.rules import BY_ID
from analysis.render._words import (
    MOST_NAMES,
    first_names,
    grouped_reasons,
    marked_up,
    number_of,
    short_number,
    signed_number,
    threshold_words,
)


@pytest.mark.parametrize(
    ("value", "plain", "signed"),
    [
        (0.0, "0", "+0.0"),
        (-2.75, "-2.75", "-2.8"),
        (1234.5678, "1.23e+03", "+1234.6"),
        (12_345, "12,345", "+12345.0"),
        (math.inf, "\N{INFINITY}", "\N{INFINITY}"),
        (-math.inf, "-\N{INFINITY}", "-\N{INFINITY}"),
        (math.nan, "NaN", "NaN"),
    ],
)
def test_a_short_number_has_three_digits_or_a_sign_and_one_decimal(value: float, plain: str, signed: str) -> None:
    assert short_number(value, sign=False) == plain
    assert short_number(value) == signed


def test_a_number_can_be_copied_whole_and_what_was_not_measured_is_a_dash() -> None:
    assert number_of(0.123456) == '<data value="0.123456">0.123</data>'
    assert signed_number(0.5) == '<data value="0.5">+0.5</data>'
    assert signed_number(-0.5) == '<data value="-0.5">-0.5</data>'
    assert signed_number(0.0) == '<data value="0.0">0</data>'
    assert signed_number(None) == number_of(None)
    assert "not measured" in number_of(None)


def test_prose_is_escaped_and_only_code_and_emphasis_are_marked() -> None:
    assert marked_up("a `<b>` *c* & 2 * 3 * 4") == "a <code>&lt;b&gt;</code> <em>c</em> &amp; 2 * 3 * 4"


def test_those_who_lack_the_same_for_the_same_reason_stand_together() -> None:
    absent = [("a", {"x": "why"}), ("b", {"x": "why", "y": "why"}), ("c", {"x": "else"})]
    assert grouped_reasons(absent) == (("x", "why", ("a", "b")), ("y", "why", ("b",)), ("x", "else", ("c",)))


def test_a_cell_has_the_first_names_and_how_many_more_there_are() -> None:
    names = [str(number) for number in range(MOST_NAMES + 2)]
    assert first_names(names) == (names[:MOST_NAMES], 2)
    assert first_names(names[:MOST_NAMES]) == (names[:MOST_NAMES], 0)


def test_thresholds_are_listed_by_name() -> None:
    assert threshold_words(BY_ID["GH305"]) == "least_rms 0.2, largest_rms 5, mean_over_std 3"
