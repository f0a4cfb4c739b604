"""Which finding explains which: rules that say what they are told to, and the order that a reader would expect."""

from collections.abc import Iterator

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.contract import Draft, Limits, Place, Rule
from analysis.diagnosis.policy import Policy
from analysis.diagnosis.rules import BY_ID
from analysis.facts import Measurement
from analysis.report import Finding, Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, stats, with_activation
from tests.analysis.diagnosis.rules.patients import LOW_LEVERAGE

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


def saying(rule_id: str, severity: Severity) -> Rule:
    """A rule that always finds something."""

    def detect(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
        yield Draft(severity=severity)

    return Rule(rule_id, rule_id, "", "", detect, {}, BY_ID[rule_id].place if rule_id in BY_ID else Place.ASIDE)


def found(**severities: Severity) -> dict[str, Finding]:
    """What comes of findings of these rules, in whatever order the rules are asked."""
    rules = [saying(rule_id, severity) for rule_id, severity in severities.items()]
    findings = diagnose(measurement(), Policy(tuple(rules)))
    assert findings == diagnose(measurement(), Policy(tuple(reversed(rules))))
    return {finding.rule: finding for finding in findings}


def test_a_healthy_measurement_has_no_finding() -> None:
    assert diagnose(measurement()) == ()
    assert diagnose(measurement(probe=LEARNS)) == ()


def test_causes_come_before_consequences_and_the_worst_finding_first() -> None:
    patient = measurement(
        flow=flow(-6.0, leverage_log10=LOW_LEVERAGE),
        stats=(stats(1), with_activation(2, dead_fraction=1.0), stats(3)),
        probe=FAILS,
    )
    found = {finding.rule: finding for finding in diagnose(patient)}
    assert found["GH201"].caused_by == ()
    assert found["GH101"].caused_by == ("GH201",)
    assert found["GH105"].caused_by == ("GH201",)  # which explains GH101, too


def test_a_warning_does_not_cause_an_error() -> None:
    patient = measurement(
        flow=flow(-6.0, leverage_log10=LOW_LEVERAGE), stats=(stats(1), with_activation(2, dead_fraction=0.6), stats(3))
    )
    found = {finding.rule: finding for finding in diagnose(patient)}
    assert found["GH201"].severity is Severity.WARNING
    assert found["GH101"].caused_by == ()


def test_findings_stand_worst_first_and_then_by_their_ids() -> None:
    told = found(GH108=INFO, GH203=WARNING, GH101=WARNING, GH402=ERROR, GH105=ERROR, GH901=INFO)
    assert list(told) == ["GH105", "GH402", "GH101", "GH203", "GH108", "GH901"]


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        ("GH106", "GH601"),  # what is no number sends no gradient
        ("GH601", "GH305"),
        ("GH305", "GH501"),
        ("GH501", "GH302"),
        ("GH302", "GH301"),
        ("GH301", "GH201"),
        ("GH306", "GH202"),
        ("GH201", "GH101"),
        ("GH202", "GH102"),
        ("GH207", "GH401"),
        ("GH101", "GH303"),
        ("GH402", "GH304"),
        ("GH303", "GH203"),
        ("GH304", "GH104"),
        ("GH203", "GH107"),
        ("GH206", "GH108"),
        ("GH107", "GH105"),
        ("GH105", "GH908"),  # what has no place among causes is the last
        ("GH106", "GH105"),
    ],
)
def test_what_stands_earlier_explains_what_stands_later_and_never_the_reverse(cause: str, effect: str) -> None:
    told = found(**{cause: ERROR, effect: ERROR})
    assert (told[cause].caused_by, told[effect].caused_by) == ((), (cause,))


@pytest.mark.parametrize(
    "ids",
    [
        ("GH301", "GH306"), ("GH201", "GH202", "GH207"), ("GH101", "GH102", "GH103", "GH401", "GH402"),
        ("GH303", "GH304"), ("GH104", "GH203", "GH204", "GH205", "GH206"), ("GH107", "GH108"), ("GH908", "GH999"),
    ],
)  # fmt: skip
def test_neighbours_do_not_explain_each_other(ids: tuple[str, ...]) -> None:
    assert {finding.caused_by for finding in found(**dict.fromkeys(ids, ERROR)).values()} == {()}


@pytest.mark.parametrize(
    ("cause", "effect", "explained"),
    [
        (ERROR, ERROR, True), (ERROR, WARNING, True), (WARNING, WARNING, True), (WARNING, ERROR, False),
        (INFO, WARNING, False), (INFO, ERROR, False), (ERROR, INFO, False), (WARNING, INFO, False), (INFO, INFO, False),
    ],
)  # fmt: skip
def test_a_cause_is_as_serious_as_its_effect_and_a_remark_is_neither(
    cause: Severity, effect: Severity, *, explained: bool
) -> None:
    assert found(GH201=cause, GH101=effect)["GH101"].caused_by == (("GH201",) if explained else ())


@pytest.mark.parametrize("root", ["GH301", "GH302", "GH305", "GH306", "GH501"])
def test_how_the_network_was_made_or_fed_explains_an_error_by_a_warning_but_not_by_a_remark(root: str) -> None:
    assert found(**{root: WARNING, "GH101": ERROR})["GH101"].caused_by == (root,)
    assert found(**{root: INFO, "GH101": ERROR})["GH101"].caused_by == ()


@pytest.mark.parametrize("milder", ["GH201", "GH101", "GH304", "GH203", "GH108"])
def test_what_a_training_comes_to_is_explained_by_a_milder_finding_but_not_by_a_remark(milder: str) -> None:
    assert found(**{milder: WARNING, "GH105": ERROR})["GH105"].caused_by == (milder,)
    assert found(**{milder: INFO, "GH105": ERROR})["GH105"].caused_by == ()


def test_a_finding_may_stand_elsewhere_than_its_rule_and_does_not_explain_its_like() -> None:
    def two(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
        yield Draft(severity=WARNING, layers=("cause",))
        yield Draft(severity=WARNING, layers=("consequence",), place=Place.SIGNAL)

    moved = Rule("GH501", "x", "", "", two, {}, Place.LOSS)
    told = diagnose(measurement(), Policy((moved, saying("GH101", WARNING))))
    assert {each.layers: each.caused_by for each in told} == {
        ("cause",): (), ("consequence",): ("GH101",), (): ("GH501",),
    }  # fmt: skip


def test_only_the_first_of_a_chain_is_named_and_all_that_nothing_explains() -> None:
    chain = found(GH305=WARNING, GH201=ERROR, GH101=ERROR, GH105=ERROR)
    assert {rule: finding.caused_by for rule, finding in chain.items()} == {
        "GH305": (), "GH201": ("GH305",), "GH101": ("GH305",), "GH105": ("GH305",),
    }  # fmt: skip
    two = found(GH306=WARNING, GH301=WARNING, GH101=ERROR)
    assert two["GH101"].caused_by == ("GH301", "GH306")
    five = ("GH402", "GH103", "GH101", "GH401", "GH102")
    assert found(GH303=WARNING, **dict.fromkeys(five, ERROR))["GH303"].caused_by == tuple(sorted(five))
    broken = found(GH303=WARNING, GH101=WARNING, GH203=ERROR)
    assert (broken["GH303"].caused_by, broken["GH203"].caused_by) == (("GH101",), ())
