import math
from dataclasses import replace

import pytest

from analysis.facts import Outcome, ParameterInfo, Probe, Run
from analysis.report import Severity
from tests.analysis.diagnosis.builders import layer, measurement, probe, run, stats
from tests.analysis.diagnosis.rules.patients import changed, evidence, found, severity

WARNING, INFO = Severity.WARNING, Severity.INFO
TABLE = ParameterInfo(initializer="w2", shape=(8, 8))


def training(*shares: float, optimizer: str = "sgd", end: float = 1.0) -> Run:
    """A run in which the layers moved by these shares of their weights."""
    told = {f"layer-{place:02d}": share for place, share in enumerate(shares, 1)}
    return replace(run(optimizer, end, outcome=None if math.isfinite(end) else Outcome.DIVERGED), moved=told)


def moved(*shares: float, end: float = 1.0) -> dict[str, object]:
    return {"probe": probe(training(*shares, end=end))}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (moved(1e-5, 0.1, 0.4), WARNING),
        (moved(1e-5, 0.1, 0.4, end=0.4), INFO),
        (moved(1e-2, 0.1, 0.4), None),
        (moved(1e-2, 0.1, 1.0), None),  # a hundredth, and no less
        (moved(0.0, 0.0, 0.0), None),
        (moved(1e-5, 0.4), None),  # of the third nothing is known
        (moved(1e-5, math.nan, 0.4), None),
        ({**moved(1e-5, 0.1, 0.4), **changed(2, on_trunk=False)}, None),
        ({**moved(1e-5, 0.1, 0.4), **changed(2, parameters={"embedding": TABLE})}, None),
        ({**moved(1e-5, 0.1, 0.4), **changed(2, parameters={"scale": TABLE})}, None),
        ({}, None),
    ],
)
def test_first_layers_that_hardly_move_beside_others_are_a_warning(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH107", measurement(**changes)) is expected


@pytest.mark.parametrize(
    ("shares", "decades", "beyond", "early"),
    [
        ((1e-3, 0.1, 1.0), -3, 1, ("layer-01",)),
        ((1e-6, 1e-3, 1.0, 0.1), -3, 1, ("layer-01", "layer-02")),  # a third of four, rounded up
        ((0.0, 0.1, 1.0), -math.inf, math.inf, ("layer-01",)),
    ],
)
def test_the_farthest_of_the_first_third_is_held_against_the_farthest_of_all(
    shares: tuple[float, ...], decades: float, beyond: float, early: tuple[str, ...]
) -> None:
    places = range(1, len(shares) + 1)
    network = {"layers": tuple(map(layer, places)), "stats": tuple(map(stats, places))}
    finding = found("GH107", measurement(**network, **moved(*shares)))
    assert evidence(finding) == {"moved_decades": (decades, -2, beyond)}
    assert finding.layers == early
    assert finding.affects == ("sgd",)


STALLED = training(1e-5, 0.1, 0.4, end=0.9)
EVEN = training(0.1, 0.1, 0.4, end=0.8)


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        (probe(STALLED, EVEN), None),
        (probe(replace(EVEN, curve=(1.0, 0.95)), STALLED), WARNING),
        (probe(STALLED, replace(EVEN, optimizer="adam")), WARNING),
        (probe(replace(STALLED, optimizer="adam")), None),
        (probe(training(0.1, 0.1, 0.4, end=math.inf), STALLED), WARNING),
        (probe(training(1e-5, 0.1, 0.4, end=math.nan)), None),
    ],
)
def test_the_run_of_descent_that_ended_lowest_counts(trained: Probe, expected: Severity | None) -> None:
    assert severity("GH107", measurement(probe=trained)) is expected
