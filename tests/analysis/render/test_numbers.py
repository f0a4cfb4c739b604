"""Numbers as a reader sees them, worked out by hand."""

import math

import pytest

from analysis.diagnosis.evidence import above, below, over, under
from analysis.render._numbers import (
    bound_of,
    decades,
    is_crossed,
    limit_words,
    loss_of,
    number_of,
    power_of_ten,
    short_number,
    signed_number,
    times,
)
from analysis.report import Evidence
from analysis.report.parts import Bound

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "plain", "signed"),
    [
        (0.0, "0", "0"),
        (-2.75, f"{MINUS}2.75", f"{MINUS}2.8"),
        (0.04, "0.04", "0"),
        (-0.04, f"{MINUS}0.04", "0"),
        (1234.5678, "1.23e+03", "+1234.6"),
        (1e-07, "1e-07", "0"),
        (12_345, "12,345", "+12345.0"),
        (math.inf, "\N{INFINITY}", "\N{INFINITY}"),
        (-math.inf, f"{MINUS}\N{INFINITY}", f"{MINUS}\N{INFINITY}"),
        (math.nan, "not finite", "not finite"),
    ],
)
def test_a_short_number_has_three_digits_and_decades_a_sign_and_one_decimal(
    value: float, plain: str, signed: str
) -> None:
    assert short_number(value) == plain
    assert decades(value) == signed


def test_a_number_can_be_copied_whole_and_what_was_not_measured_is_a_dash() -> None:
    assert number_of(0.123456) == '<data value="0.123456">0.123</data>'
    assert signed_number(0.5) == '<data value="0.5">+0.5</data>'
    assert signed_number(-0.5) == f'<data value="-0.5">{MINUS}0.5</data>'
    assert signed_number(None) == number_of(None) == power_of_ten(None) == loss_of(None)
    assert number_of(None) == '<span class="absent" title="not measured">\N{EN DASH}</span>'
    assert number_of(math.nan) == loss_of(math.nan) == '<data value="nan">not finite</data>'
    assert loss_of(math.inf) == '<data value="inf">\N{INFINITY}</data>'


def test_decades_are_a_power_of_ten() -> None:
    assert power_of_ten(-7.196) == f'<data value="-7.196">10<sup>{MINUS}7.2</sup></data>'
    assert power_of_ten(-math.inf) == '<data value="-inf">none</data>'
    assert power_of_ten(0.25) == '<data value="0.25">10<sup>0.2</sup></data>'
    assert power_of_ten(math.inf) == '<data value="inf">not finite</data>'
    assert power_of_ten(math.nan) == '<data value="nan">not finite</data>'


@pytest.mark.parametrize(
    ("loss", "text"), [(1.0022, "1.00"), (0.5907, "0.59"), (0.0422, "0.042"), (0.002567, "0.0026"), (0.0, "0.00")]
)
def test_a_loss_has_two_decimals_or_where_these_are_nothing_two_digits(loss: float, text: str) -> None:
    assert loss_of(loss) == f'<data value="{loss}">{text}</data>'


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "not measured"),
        (math.nan, "not finite"),
        (-math.inf, "no gradient arrives"),
        (math.inf, "an infinite gradient arrives"),
        (0.05, "about as large"),
        (-0.09, "about as large"),
        (0.1, "1.3 times larger"),
        (-0.1, "1.3 times smaller"),
        (math.log10(1234), "1,200 times larger"),
        (5.99, "980,000 times larger"),
        (6.0, "1 million times larger"),
        (8.99, "980 million times larger"),
        (12.0, "1 trillion times larger"),
        (14.99, "980 trillion times larger"),
        (15.0, "10^15 times larger"),
        (math.log10(2), "2 times larger"),
        (-3.0, "1,000 times smaller"),
        (-7.196, "16 million times smaller"),
        (9.0, "1 billion times larger"),
        (-14.0, "100 trillion times smaller"),
        (-40.2, "10^40 times smaller"),
    ],
)
def test_decades_are_said_as_a_factor(value: float | None, words: str) -> None:
    assert times(value) == words


@pytest.mark.parametrize(
    ("evidence", "words", "crossed"),
    [
        (below(-6.7, -2.8), f"at least {MINUS}2.8", True),
        (above(2.0, 1.8), "at most 1.8", True),
        (over(2.0, 0.5), "at most 0.5", True),
        (under(0.1, 0.5), "at least 0.5", True),
        (Evidence(value=0.474, threshold=0.92, bound=Bound.MOST), "at most 0.92 (kept)", False),
        (Evidence(value=math.nan, threshold=0.92, bound=Bound.MOST), "at most 0.92", True),
        (Evidence(value=math.nan, threshold=0.92, bound=Bound.LEAST), "at least 0.92", True),
        (Evidence(value=0.92, threshold=0.92, bound=Bound.LEAST), "at least 0.92 (kept)", False),
        (Evidence(value=0.92, threshold=0.92, bound=Bound.MOST), "at most 0.92 (kept)", False),
        (Evidence(value=3.0, threshold=0.0), "at most 0", True),  # older, or a count
        (Evidence(value=0.2, threshold=0.5), "at least 0.5", True),
        (Evidence(value=0.5, threshold=0.5), "at most 0.5 (kept)", False),
    ],
)
def test_a_limit_says_on_which_side_of_it_a_network_is_healthy(evidence: Evidence, words: str, crossed: bool) -> None:
    said = limit_words(evidence)
    assert said.striptags() == words
    assert is_crossed(evidence) is crossed
    assert (bound_of(evidence) is Bound.LEAST) is words.startswith("at least")
