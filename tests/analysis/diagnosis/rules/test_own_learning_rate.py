from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.root import cause_of
from analysis.facts import Outcome, Range, Run
from analysis.report import Severity
from tests.analysis.diagnosis.builders import flow, measurement, probe, run
from tests.analysis.diagnosis.rules.patients import HIGH_LEVERAGE, LOW_LEVERAGE, found, ratios, severity

WARNING, INFO = Severity.WARNING, Severity.INFO
LEARNS, STUCK = replace(run("sgd", 0.3), learning_rate=0.01), replace(run("sgd", 1.0), learning_rate=0.01)


def own(end: float, outcome: Outcome, optimizer: str = "sgd") -> Run:
    return replace(run(optimizer, end, outcome=outcome), learning_rate=1.0, own=True)


@pytest.mark.parametrize(
    ("mine", "other", "expected"),
    [
        (own(9.0, Outcome.DIVERGED), LEARNS, WARNING),
        (own(1.2, Outcome.OSCILLATING), LEARNS, WARNING),
        (own(1.0, Outcome.STALLED), LEARNS, WARNING),
        (own(0.9, Outcome.SLOW), LEARNS, INFO),
        (own(0.3, Outcome.LEARNT), STUCK, None),
        (own(9.0, Outcome.DIVERGED), STUCK, WARNING),
        (own(1.0, Outcome.STALLED), STUCK, None),  # GH105 speaks
        (run("sgd", 9.0, outcome=Outcome.DIVERGED), LEARNS, None),  # nobody trains with it
    ],
)
def test_the_own_rate_is_judged_beside_what_learns(mine: Run, other: Run, expected: Severity | None) -> None:
    assert severity("GH109", measurement(probe=probe(mine, other))) is expected


@pytest.mark.parametrize(("working", "decades"), [(0.01, 2.0), (1000.0, 3.0)])
def test_it_says_how_far_the_rate_is_from_one_that_learns_on_either_side(working: float, decades: float) -> None:
    trained = probe(own(9.0, Outcome.DIVERGED), replace(LEARNS, learning_rate=working))
    finding = found("GH109", measurement(probe=trained))
    assert finding.affects == ("sgd",)
    loss = finding.evidence["own_loss_over_chance"]
    assert (loss.value, loss.threshold) == (9.0, 0.7)
    rate = finding.evidence["own_learning_rate"]
    assert (rate.value, rate.threshold, rate.margin_decades) == (1.0, working, pytest.approx(decades))


def test_a_warm_up_that_learns_is_told_and_is_reason_enough_to_speak() -> None:
    stalled = probe(own(1.0, Outcome.STALLED, "adam"), STUCK)
    assert severity("GH109", measurement(probe=stalled)) is None
    warmed = replace(stalled, warmed=replace(own(0.1, Outcome.LEARNT, "adam"), warm_up=100))
    finding = found("GH109", measurement(probe=warmed))
    assert finding.severity is WARNING
    assert finding.evidence["loss_over_chance_after_warm_up"].value == 0.1


@pytest.mark.parametrize("helps", [True, False])
def test_a_rate_that_standardised_inputs_bear_is_explained_by_the_inputs(*, helps: bool) -> None:
    """The network learns at another rate: without that run the inputs are a remark, which explains nothing."""
    trained = probe(own(9.0, Outcome.DIVERGED), LEARNS)
    trained = replace(trained, standardized=own(0.3, Outcome.LEARNT) if helps else None)
    findings = diagnose(measurement(flow=flow(input_rms=148.0), probe=trained))
    told = {each.rule: each for each in findings}
    assert told["GH305"].severity is (WARNING if helps else INFO)
    assert told["GH109"].caused_by == (("GH305",) if helps else ())
    assert ("own_loss_over_chance_standardised" in told["GH305"].evidence) is helps
    cause = cause_of(findings)
    assert cause is not None
    assert cause.rule == ("GH305" if helps else "GH109")


def test_rates_of_two_optimisers_are_not_compared() -> None:
    finding = found("GH109", measurement(probe=probe(own(9.0, Outcome.DIVERGED, "adam"), LEARNS)))
    assert (finding.affects, [*finding.evidence]) == (("adam",), ["own_loss_over_chance"])


@pytest.mark.parametrize(("rate", "root"), [(1e-6, "GH109"), (None, "GH304")])
def test_a_step_that_the_own_rate_makes_is_explained_by_it(rate: float | None, root: str) -> None:
    trained = probe(own(1.0, Outcome.STALLED, "adam"), LEARNS if rate else STUCK)
    told = {
        each.rule: each.caused_by
        for each in diagnose(measurement(**ratios(1e-7, 1e-7, 1e-7), learning_rate=rate, probe=trained))
    }
    assert told["GH304"] == (() if root == "GH304" else (root,))


def test_with_several_seeds_the_worst_counts() -> None:
    mine = (own(0.3, Outcome.LEARNT), replace(own(9.0, Outcome.DIVERGED), seed=1))
    assert severity("GH109", measurement(probe=probe(*mine, LEARNS, replace(LEARNS, seed=1)))) is WARNING
    assert severity("GH109", measurement()) is None


@pytest.mark.parametrize(
    ("working", "end", "expected"),
    [(0.01, 0.95, WARNING), (0.01, 0.9, INFO), (100.0, 0.95, INFO)],
)
def test_a_rate_that_hardly_moves_beside_a_smaller_one_that_learns_is_too_large_and_not_slow(
    working: float, end: float, expected: Severity
) -> None:
    trained = probe(own(end, Outcome.SLOW), replace(LEARNS, learning_rate=working))
    assert severity("GH109", measurement(probe=trained)) is expected


@pytest.mark.parametrize(
    ("decades", "leverage", "working", "root"),
    [
        (-4.0, LOW_LEVERAGE, 0.01, "GH109"),
        (-4.0, LOW_LEVERAGE, 100.0, "GH101"),
        (4.0, HIGH_LEVERAGE, 0.01, "GH102"),
    ],
)
def test_a_rate_over_one_that_learns_is_no_consequence_of_gradients_that_vanish(
    decades: float, leverage: Range, working: float, root: str
) -> None:
    trained = probe(own(9.0, Outcome.DIVERGED), replace(LEARNS, learning_rate=working))
    cause = cause_of(diagnose(measurement(flow=flow(decades, leverage_log10=leverage), probe=trained)))
    assert cause is not None
    assert cause.rule == root
