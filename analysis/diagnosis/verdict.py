"""The verdict: what the findings, the flow and the probe come to."""

import math
from collections.abc import Sequence

from analysis.diagnosis.rules import BY_ID
from analysis.facts import Flow, Measurement, Zone
from analysis.facts.zones import zone
from analysis.report import Finding, Severity, Verdict


def verdict_of(measurement: Measurement, findings: Sequence[Finding]) -> Verdict:
    """Any error: unhealthy. Any warning, or grey without a probe: at risk.

    Inconclusive: neither flow nor probe could be measured, or the cotangents disagree and no probe decides.
    """
    worst = max((finding.severity.rank for finding in findings), default=0)
    if worst >= Severity.ERROR.rank:
        return Verdict.UNHEALTHY
    light = zone(measurement.flow)
    undecided = light is Zone.UNKNOWN or (light is Zone.RED and not cotangents_agree(measurement.flow))
    if undecided and measurement.probe is None:
        return Verdict.INCONCLUSIVE
    if worst >= Severity.WARNING.rank or (light is not Zone.GREEN and measurement.probe is None):
        return Verdict.AT_RISK
    return Verdict.HEALTHY


def cotangents_agree(flow: Flow) -> bool:
    """Whether both random cotangents see the second witness of an error, or neither does."""
    weak = {each.least < BY_ID["GH101"].thresholds["leverage_log10"] for each in flow.leverage_by_seed}
    strong = {
        each.largest - math.log10(flow.input_rms) > BY_ID["GH102"].thresholds["leverage_log10"]
        for each in flow.leverage_by_seed
        if flow.input_rms
    }
    return len(weak) < 2 and len(strong) < 2
