"""OpenMetrics text, read back by the parser of Prometheus' own client."""

import math

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from analysis.render._visible import visible
from analysis.render.openmetrics import render_openmetrics
from analysis.report import Report
from tests.analysis.diagnosis.builders import FAILS, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import HOSTILE, SHAPES, VANISHING, by_hand, poisoned

Sample = tuple[str, frozenset[tuple[str, str]]]


def samples(report: Report) -> dict[Sample, float]:
    """Values by name and labels; no two samples are the same one."""
    text = render_openmetrics(report)
    assert text.endswith("# EOF\n")
    told = [
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    ]
    assert len(dict(told)) == len(told)
    return dict(told)


def value(told: dict[Sample, float], metric: str, /, **labels: str) -> float:
    (found,) = [
        number for (each, having), number in told.items() if each == metric and labels.items() <= dict(having).items()
    ]
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_every_report_is_read_back(shape: str) -> None:
    report = SHAPES[shape]()
    told = samples(report)
    for verdict in ("healthy", "at_risk", "unhealthy", "inconclusive"):
        state = value(told, "gradient_health_verdict", gradient_health_verdict=verdict)
        assert state == (verdict == report.verdict.value)


def test_numbers_are_those_of_the_report_under_their_names() -> None:
    report = by_hand()
    told = samples(report)
    assert value(told, "gradient_health_flow_decades_rms") == report.gradient_flow.decades_rms == -6.0
    assert value(told, "gradient_health_layer_activation_gradient_rms", layer="layer-02", name="fc2") == 1e-4
    assert value(told, "gradient_health_finding_threshold", rule="GH101", evidence="flow_decades") == -2.8
    assert value(told, "gradient_health_findings", severity="error") == sum(
        each.severity.value == "error" for each in report.findings
    )
    assert value(told, "gradient_health_stage_seconds", stage="factorial") == 1.25
    best = report.remedies[0]
    assert value(told, "gradient_health_remedy_rank", variant=best.variant) == 1
    assert value(told, "gradient_health_variant_loss_over_chance", variant=best.variant) == best.proof.worst


def test_every_metric_says_where_its_number_stands() -> None:
    report = by_hand()
    lines = render_openmetrics(report).splitlines()
    assert lines[:3] == [
        "# HELP gradient_health_report What was analysed, and by which version",
        "# TYPE gradient_health_report info",
        f'gradient_health_report_info{{model="model.onnx",sha256="{"0" * 64}",version="0"}} 1.0',
    ]
    assert lines[3:5] == [
        "# HELP gradient_health_verdict verdict in the report", "# TYPE gradient_health_verdict stateset",
    ]  # fmt: skip
    assert lines[9:14] == [
        "# HELP gradient_health_findings How many findings there are", "# TYPE gradient_health_findings gauge",
        'gradient_health_findings{severity="info"} 0.0', 'gradient_health_findings{severity="warning"} 0.0',
        'gradient_health_findings{severity="error"} 2.0',
    ]  # fmt: skip
    assert (
        lines.count("# HELP gradient_health_layer_update_ratio variants[baseline].layers[].update_ratio in the report")
        == 1
    )
    assert lines.count("# TYPE gradient_health_layer_update_ratio gauge") == 1
    assert [each for each in lines if each.startswith("gradient_health_layer_update_ratio")] == [
        f'gradient_health_layer_update_ratio{{layer="layer-0{each}",name="fc{each}"}} 0.02' for each in (1, 2, 3)
    ]
    assert lines[-1] == "# EOF"


def test_what_is_no_number_is_said_as_the_format_says_it() -> None:
    told = samples(SHAPES["not finite"]())
    assert value(told, "gradient_health_flow_decades_rms") == -math.inf
    assert value(told, "gradient_health_layer_activation_gradient_rms", layer="layer-02") == math.inf
    assert math.isnan(value(told, "gradient_health_layer_activation_gradient_rms", layer="layer-03"))


def test_two_findings_of_a_rule_are_told_apart() -> None:
    report = report_of(measurement(flow=VANISHING, probe=FAILS))
    told = samples(report.model_copy(update={"findings": (report.findings[0], report.findings[0])}))
    assert {dict(labels)["finding"] for (name, labels) in told if name == "gradient_health_finding_value"} == {
        report.findings[0].rule, f"{report.findings[0].rule}#2",
    }  # fmt: skip


@pytest.mark.parametrize("name", [*HOSTILE, 'a"b', "a\\b", "a\\", "x\ny", '{le="1"} 3'], ids=ascii)
def test_no_name_breaks_a_label(name: str) -> None:
    told = samples(poisoned(name))
    named = {dict(labels)["name"] for each, labels in told if each == "gradient_health_layer_update_ratio"}
    assert named == {visible(name)}
