"""The tree of findings, from lists written by hand."""

import pytest

from analysis.diagnosis.evidence import below
from analysis.facts import Confidence
from analysis.render._findings import Node, tree_of
from analysis.report import Evidence, Finding, Report, Severity
from analysis.report.parts import Bound, Cause
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement
from tests.analysis.diagnosis.reports import report_of

Shape = tuple[str, tuple["Shape", ...]]


def finding(rule: str, severity: str = "warning", *causes: str, **evidence: Evidence) -> Finding:
    return Finding(
        rule=rule, name=f"is-{rule}", severity=Severity(severity), confidence=Confidence.HIGH, layers=(), message="x.",
        evidence=evidence, affects=(), caused_by=causes, remedies=(),
    )  # fmt: skip


def with_findings(*findings: Finding, cause: str | None = None) -> Report:
    named = None if cause is None else Cause(rule=cause, layers=())
    return report_of(measurement(flow=flow(-7.2, -6.7), probe=LEARNS)).model_copy(
        update={"findings": findings, "cause": named}
    )


def shape(nodes: tuple[Node, ...]) -> tuple[Shape, ...]:
    return tuple((node.finding.rule, shape(node.below)) for node in nodes)


def test_what_one_finding_explains_stands_below_it() -> None:
    tree = tree_of(with_findings(finding("A", "error"), finding("B", "error", "A"), finding("C", "warning", "A")))
    assert shape(tree.causes) == (("A", (("B", ()), ("C", ()))),)
    assert tree.causes[0].name == "is A"


def test_what_follows_is_counted_by_how_bad_it_is() -> None:
    tree = tree_of(
        with_findings(finding("A"), finding("B", "error", "A"), *(finding(each, "warning", "A") for each in "CD"))
    )
    assert tree.causes[0].follow == "1 error and 2 warnings follow from it"
    assert (
        tree_of(with_findings(finding("A"), finding("B", "warning", "A"))).causes[0].follow
        == "1 warning follows from it"
    )


def test_a_milder_cause_stands_over_the_worse_finding_that_it_explains() -> None:
    tree = tree_of(with_findings(finding("B", "error", "A"), finding("A")))
    assert shape(tree.causes) == (("A", (("B", ()),)),)


def test_the_cause_that_the_report_opens_with_comes_first_then_the_worst() -> None:
    three = finding("A"), finding("B", "error"), finding("C")
    assert [rule for rule, _ in shape(tree_of(with_findings(*three)).causes)] == ["B", "A", "C"]
    assert [rule for rule, _ in shape(tree_of(with_findings(*three, cause="C")).causes)] == ["C", "B", "A"]


def test_a_finding_with_two_causes_stands_under_the_first_and_names_the_other() -> None:
    tree = tree_of(with_findings(finding("A"), finding("B"), finding("C", "warning", "A", "B")))
    assert shape(tree.causes) == (("A", (("C", ()),)), ("B", ()))
    assert tree.causes[0].below[0].also == ("B",)


def test_every_finding_is_there_once_also_where_its_cause_is_not() -> None:
    lost = finding("A", "error", "gone"), finding("B", "warning", "C"), finding("C", "warning", "B")
    tree = tree_of(with_findings(*lost))
    assert shape(tree.causes) == (("A", ()), ("B", (("C", ()),)))


def test_remarks_stand_apart() -> None:
    tree = tree_of(with_findings(finding("A", "info"), finding("B"), finding("C", "info", "B")))
    assert shape(tree.causes) == (("B", ()),)
    assert shape(tree.remarks) == (("A", ()), ("C", ()))


@pytest.mark.parametrize(
    ("name", "evidence", "words", "value", "limit"),
    [
        (
            "flow_decades", below(-6.7, -2.8),
            "decades of gradient flow, the measure nearer to the healthy range (by norm)",
            "\N{MINUS SIGN}6.7", "at least \N{MINUS SIGN}2.8",
        ),
        (
            "best_loss_over_chance", Evidence(value=0.5907, threshold=0.2, bound=Bound.MOST),
            "loss over chance that the unchanged model comes to (50 steps on minibatches of 32 samples)",
            "0.59", "at most 0.2",
        ),
        ("layers_of_zeros", Evidence(value=2, threshold=0), "layers of zeros", "2", "at most 0"),
    ],
)  # fmt: skip
def test_a_number_says_what_it_is_and_its_limit_on_which_side_is_health(
    name: str, evidence: Evidence, words: str, value: str, limit: str
) -> None:
    (number,) = tree_of(with_findings(finding("A", **{name: evidence}))).causes[0].numbers
    assert (number.words, number.value.striptags(), number.limit.striptags()) == (words, value, limit)


@pytest.mark.parametrize(
    ("name", "evidence", "value", "beyond"),
    [
        ("gain_decades", Evidence(value=1.25, threshold=1.0, margin_decades=0.25), "+1.2", "+0.2"),
        ("least_leverage_log10", Evidence(value=-5.0, threshold=-1.0, margin_decades=4.0), "\N{MINUS SIGN}5.0", "+4.0"),
        ("final_loss_over_chance", Evidence(value=0.002567, threshold=0.7), "0.0026", "no ratio"),
        ("median_update_ratio", Evidence(value=0.002567, threshold=0.1), "0.00257", "no ratio"),
    ],
)
def test_a_number_is_written_as_its_kind_is_and_how_far_it_is_beyond(
    name: str, evidence: Evidence, value: str, beyond: str
) -> None:
    (number,) = tree_of(with_findings(finding("A", **{name: evidence}))).causes[0].numbers
    assert (number.value.striptags(), number.beyond.striptags()) == (value, beyond)


@pytest.mark.parametrize(("value", "measure"), [(-7.2, " (by RMS)"), (-6.7, " (by norm)"), (-3.0, "")])
def test_flow_is_told_by_the_measure_that_it_is_the_number_of(value: float, measure: str) -> None:
    (number,) = tree_of(with_findings(finding("A", flow_decades=below(value, -2.8)))).causes[0].numbers
    assert number.words == f"decades of gradient flow, the measure nearer to the healthy range{measure}"


def test_a_remark_names_all_its_causes_and_a_cause_none() -> None:
    tree = tree_of(with_findings(finding("A"), finding("C", "info", "A", "B")))
    assert (tree.remarks[0].also, tree.causes[0].also) == (("A", "B"), ())
    looped = tree_of(with_findings(finding("A", "warning", "A"), finding("B", "error")))
    assert shape(looped.causes) == (("B", ()), ("A", ()))


def test_a_loss_without_a_training_is_named_all_the_same() -> None:
    report = with_findings(finding("A", best_loss_over_chance=Evidence(value=1.0, threshold=0.7)))
    bare = report.variants[0].model_copy(update={"probe": None})
    (number,) = tree_of(report.model_copy(update={"variants": (bare,)})).causes[0].numbers
    assert number.words == "loss over chance that the unchanged model comes to"
