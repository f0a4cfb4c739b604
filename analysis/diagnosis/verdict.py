"""The verdict: what the findings, the flow and the probe come to."""

import math
from collections.abc import Sequence

from analysis.diagnosis.made_up import is_out_of_place
from analysis.diagnosis.policy import EVERY_RULE, Policy
from analysis.diagnosis.readings import was_trained
from analysis.facts import Flow, Measurement, Zone
from analysis.facts.zones import zone
from analysis.options import LossName
from analysis.report import Finding, Severity, Verdict


def verdict_of(measurement: Measurement, findings: Sequence[Finding], rules: Policy = EVERY_RULE) -> Verdict:
    """Any error: unhealthy. Any warning, or grey without a probe: at risk.

    Of trained weights that were shown made-up inputs, flow says nothing by itself.

    Inconclusive: neither flow nor probe could be measured, or the cotangents disagree and no probe decides, or nothing
    is found of a graph that ends in its own loss and was not trained.
    """
    worst = max((finding.severity.rank for finding in findings), default=0)
    if worst >= Severity.ERROR.rank:
        return Verdict.UNHEALTHY
    light = zone(measurement.flow)
    telling = not was_trained(measurement) and not is_out_of_place(measurement)
    split = light is Zone.RED and not cotangents_agree(measurement.flow, rules)
    if (light is Zone.UNKNOWN and not was_trained(measurement)) or (split and telling):
        return Verdict.INCONCLUSIVE
    if worst >= Severity.WARNING.rank or (light is not Zone.GREEN and telling):
        return Verdict.AT_RISK
    if measurement.loss.name == LossName.GRAPH and not was_trained(measurement):
        return Verdict.INCONCLUSIVE
    return Verdict.HEALTHY


def cotangents_agree(flow: Flow, rules: Policy = EVERY_RULE) -> bool:
    """Whether both random cotangents see the second witness of an error, or neither does, by the limits in force."""
    vanishing, exploding = (rules.limits(rule)["leverage_log10"] for rule in ("GH101", "GH102"))
    weak = {each.least < vanishing for each in flow.leverage_by_seed}
    strong = {each.largest - math.log10(flow.input_rms) > exploding for each in flow.leverage_by_seed if flow.input_rms}
    return len(weak) < 2 and len(strong) < 2
