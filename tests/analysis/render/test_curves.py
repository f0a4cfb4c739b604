"""Loss curves by hand: 240 wide, 90 high, chance at 0.8 of the height."""

import math
from dataclasses import replace

from analysis.render._curves import CHANCE_AT, curves_of
from tests.analysis.diagnosis.builders import LEARNS, measurement, run
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import page_of


def paths(*losses: tuple[float, ...]) -> list[str]:
    runs = (replace(run("sgd", 1.0, seed), curve=curve) for seed, curve in enumerate(losses))
    (found,) = curves_of(report_of(measurement(probe=replace(LEARNS, runs=tuple(runs)))))
    return [line.path for line in found.lines]


def test_chance_and_perfect_are_where_the_axes_say() -> None:
    assert CHANCE_AT == 18.0
    assert paths((1.0, 0.5, 0.0)) == ["M0 18L120 54L240 90"]


def test_a_shorter_run_is_shorter_and_what_leaves_the_scale_runs_along_its_edge() -> None:
    assert paths((1.0, 0.5, 0.0), (1.0, 7.0)) == ["M0 18L120 54L240 90", "M0 18L120 0"]


def test_a_curve_ends_where_the_loss_is_no_number_any_more() -> None:
    assert paths((1.0, math.nan, 1.0)) == ["M0 18h0"]
    assert paths((math.inf, 1.0)) == [""]


def test_what_was_not_trained_has_no_curves() -> None:
    assert curves_of(report_of()) == ()


def test_each_line_says_which_run_it_is() -> None:
    (found,) = curves_of(report_of(measurement(probe=LEARNS)))
    assert [line.words for line in found.lines] == [
        "sgd, rate 0.1, seed 0: learnt", "adam, rate 0.1, seed 0: learnt",
    ]  # fmt: skip
    assert found.steps == 1
    (box,) = page_of(report_of(measurement(probe=LEARNS))).all("ul", **{"class": "curves"})
    assert len(box.all("title")) == 2
