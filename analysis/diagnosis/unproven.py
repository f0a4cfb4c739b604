"""What is said where no treatment was proven to help: why, what none gives a network, and what usually helps."""

import math
from typing import Final

from analysis.diagnosis.policy import find_rule
from analysis.diagnosis.words import loss_words
from analysis.report import Finding, Report

NARROW: Final = 4
"""Units of a hidden layer, of which one or two that fall silent are half of it."""
MOST: Final = 0.5
"""Of a layer's units."""


def unproven(report: Report, root: Finding | None) -> str:
    """What is known where no treatment was proven to help."""
    rule = None if root is None else find_rule(root.rule)
    usual = "" if rule is None else f" What usually helps: {' '.join(rule.sections['Remedies'])}"
    if rule is not None and not rule.treatable:
        return f"No treatment of the network mends this, and none was trained.{usual}"
    return f"No treatment was proven to help: {_why_unproven(report)}.{_incurable(report)}{usual}"


def _incurable(report: Report) -> str:
    """What no treatment gives a network: width; and which units stay silent."""
    trained = [each for each in report.variants[1:] if each.probe is not None]
    if not trained:
        return ""
    best = min(trained, key=lambda each: each.probe.best_loss_over_chance if each.probe else math.inf)
    assert best.probe is not None
    came = f" The one that came furthest, {best.id}, ended at {loss_words(best.probe.best_loss_over_chance)} of chance."
    hidden = (report.variants[0].layers or ())[:-1]
    widths = {each.id: each.weight.units for each in hidden if each.weight is not None and each.weight.units}
    narrowest = min(widths, key=widths.__getitem__, default="")
    silent = [each.id for each in hidden if each.activation is not None and (each.activation.dead_fraction or 0) > MOST]
    if narrowest and widths[narrowest] <= NARROW:
        units = f"{widths[narrowest]} unit{'s' * (widths[narrowest] > 1)}"
        return (
            f"{came} Its narrowest layer, {narrowest}, has {units}: what that does not let through no treatment brings "
            "back; make it wider."
        )
    if silent:
        return (
            f"{came} Most units of {', '.join(silent)} are silent, and no treatment woke them: draw the network anew."
        )
    return came


def _why_unproven(report: Report) -> str:
    trained = [each for each in report.variants[1:] if each.probe is not None]
    if trained:
        return f"of {len(trained)} that were trained none learnt clearly better than the unchanged model"
    return why_untrained(report) or "none that was measured looked promising enough to be trained"


def why_untrained(report: Report) -> str:
    """Empty where something was trained."""
    return next((item.why for item in report.left_out if item.what.startswith("training")), "")
