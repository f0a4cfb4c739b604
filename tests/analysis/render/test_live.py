"""What a script is told of a figure, and which scripts a page has."""

import hashlib
import json
import math
from typing import Any

import pytest

from analysis.render._chart import Series
from analysis.render._live import live_data, scripts
from tests.analysis.render.pages import HOSTILE, page_of, poisoned

UPLOT = "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"
"""sha256 of dist/uPlot.iife.min.js in uplot 1.6.32, as npm has it."""


def told(*series: Series, labels: tuple[str, ...] = ("a", "b", "c", "d")) -> Any:
    return json.loads(live_data("flow", series, labels=labels, band=(-2.8, 1.8), y_label="gradient"))


def test_a_value_is_a_number_of_decades_or_says_what_became_of_it() -> None:
    (curve,) = told(Series("own", (-7.123456, None, -math.inf, math.nan), role="own"))["curves"]
    assert curve == {"role": "own", "line": [-7.123, None, "lost", "broken"], "beside": {}}


def test_a_place_beside_the_curve_is_passed_over_unless_a_block_ends_there() -> None:
    series = Series("own", (-1.0, -4.0, -math.inf, None), scattered=frozenset({1, 2, 3}), through={2: -2.0})
    (curve,) = told(series)["curves"]
    assert (curve["line"], curve["beside"]) == ([-1.0, "-", -2.0, "-"], {"1": -4.0, "2": "lost"})


def test_rings_bands_and_labels_are_told() -> None:
    shown = told(Series("own", (0.0,), ringed=frozenset({2, 0})), labels=("first\u202e",))
    assert (shown["ringed"], shown["band"], shown["core"]) == ([0, 2], [-2.8, 1.8], None)
    assert shown["labels"] == ["first\\u202e"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_ends_the_element_that_it_stands_in(name: str) -> None:
    text = live_data("flow", [Series(name, (0.0,))], labels=(name,), band=(-1.0, 1.0), y_label="")
    assert "<" not in text
    assert text.isascii()
    for script in page_of(poisoned(name)).all("script", type="application/json"):
        (inside,) = script.children
        assert isinstance(inside, str)
        assert json.loads(inside)["labels"]


def test_the_library_is_the_one_that_was_published_with_its_licence_before_it() -> None:
    library, own = scripts()
    licence, _, code = library.partition("*/\n")
    assert hashlib.sha256(code.encode()).hexdigest() == UPLOT
    assert "MIT License" in licence
    assert "Copyright (c) 2022 Leon Sorokin" in licence
    assert own.startswith('"use strict";')


def test_scripts_end_no_element_build_no_code_and_are_about_as_large_as_the_library() -> None:
    for script in scripts():
        assert "</" not in script.replace("</div", "")
        assert "<!--" not in script
    _, own = scripts()
    for word in ("innerHTML", "insertAdjacentHTML", "eval(", "Function(", "fetch(", "http", "//"):
        assert word not in own
    assert sum(len(script.encode()) for script in scripts()) < 62_000
