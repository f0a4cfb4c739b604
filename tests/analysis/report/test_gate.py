import pytest

from analysis.errors import BadOptions
from analysis.report import Finding, Report, Severity, Verdict
from analysis.report.gate import Gate
from tests.analysis.diagnosis.trials import error
from tests.analysis.report.analyses import healthy_report


@pytest.fixture(scope="module")
def healthy() -> Report:
    return healthy_report()


def with_finding(report: Report, severity: Severity, verdict: Verdict) -> Report:
    finding: Finding = error("GH101").model_copy(update={"severity": severity})
    return report.model_copy(update={"findings": (finding,), "verdict": verdict})


@pytest.mark.parametrize(
    ("text", "info", "warning", "failure"),
    [("error", False, False, True), ("warning", False, True, True), ("info", True, True, True)],
)
def test_a_gate_fails_findings_at_or_over_its_severity(
    healthy: Report, text: str, info: bool, warning: bool, failure: bool
) -> None:
    gate = Gate.parse(text)
    assert not gate.fails(healthy)
    assert gate.fails(with_finding(healthy, Severity.INFO, Verdict.HEALTHY)) is info
    assert gate.fails(with_finding(healthy, Severity.WARNING, Verdict.AT_RISK)) is warning
    assert gate.fails(with_finding(healthy, Severity.ERROR, Verdict.UNHEALTHY)) is failure


def test_too_little_evidence_fails_only_where_asked(healthy: Report) -> None:
    unknown = healthy.model_copy(update={"verdict": Verdict.INCONCLUSIVE})
    assert not Gate.parse("error").fails(unknown)
    assert Gate.parse("error,inconclusive").fails(unknown)
    assert Gate.parse("inconclusive").fails(unknown)
    assert Gate.parse("inconclusive").fails(with_finding(healthy, Severity.ERROR, Verdict.UNHEALTHY))


def test_a_grey_zone_without_findings_fails_a_warning_gate(healthy: Report) -> None:
    grey = healthy.model_copy(update={"verdict": Verdict.AT_RISK})
    assert Gate.parse("warning").fails(grey)
    assert not Gate.parse("error").fails(grey)


@pytest.mark.parametrize("text", ["", "critical", "error,warning", "Error", ","])
def test_what_is_no_gate_is_refused(text: str) -> None:
    with pytest.raises(BadOptions, match="no gate"):
        Gate.parse(text)


@pytest.mark.parametrize("text", ["info", "warning", "error", "error,inconclusive", "info,inconclusive"])
def test_a_gate_says_what_it_was_read_from(text: str) -> None:
    assert str(Gate.parse(text)) == text


def test_inconclusive_alone_says_that_errors_count_too() -> None:
    assert str(Gate.parse("inconclusive")) == "error,inconclusive"


@pytest.mark.parametrize(
    "text", [" error , inconclusive ", "inconclusive,error", "error,inconclusive,,", "error,error,inconclusive"]
)
def test_spaces_order_and_repetition_do_not_matter_to_a_gate(text: str) -> None:
    assert Gate.parse(text) == Gate(Severity.ERROR, inconclusive=True)


def test_a_gate_that_nobody_chose_fails_errors_only() -> None:
    assert Gate() == Gate.parse("error")


@pytest.mark.parametrize("text", ["error", "warning", "info", "error,inconclusive", "warning,inconclusive"])
@pytest.mark.parametrize("verdict", Verdict)
def test_of_verdicts_a_gate_refuses_too_little_evidence_and_risk_and_leaves_the_rest_to_findings(
    text: str, verdict: Verdict
) -> None:
    refused = set()
    if "inconclusive" in text:
        refused.add(Verdict.INCONCLUSIVE)
    if not text.startswith("error"):
        refused.add(Verdict.AT_RISK)
    assert Gate.parse(text).refuses(verdict) is (verdict in refused)


@pytest.mark.parametrize(("gate", "counted"), [("info", 3), ("warning", 2), ("error", 1)])
def test_a_severity_counts_from_that_of_the_gate_on(gate: str, counted: int) -> None:
    assert [Gate.parse(gate).counts(severity) for severity in Severity] == [False] * (3 - counted) + [True] * counted


def test_one_finding_over_the_gate_is_enough(healthy: Report) -> None:
    remark, failure = error("GH907").model_copy(update={"severity": Severity.INFO}), error("GH101")
    both = healthy.model_copy(update={"findings": (remark, failure), "verdict": Verdict.UNHEALTHY})
    assert Gate.parse("error").fails(both)


def test_what_is_no_gate_is_refused_with_its_place_and_the_words_that_are() -> None:
    with pytest.raises(BadOptions) as refused:
        Gate.parse("loud")
    assert refused.value.where == "fail_on"
    assert refused.value.hint == "info, warning or error, with or without ,inconclusive"
