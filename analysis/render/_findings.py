"""Findings as a tree: what nothing explains stands at the top, its consequences below it, remarks apart.

Each finding says its words first; its numbers come with the words for what they are and the limit with its direction.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from analysis.render._numbers import limit_words, loss_of, number_of, signed_number
from analysis.render._top import training_words
from analysis.report import Evidence, Finding, Report, Severity

WORDS: Final[Mapping[str, str]] = {
    "best_loss_over_chance": "loss over chance that the unchanged model comes to",
    "flow_decades": "decades of gradient flow, the measure nearer to the healthy range",
    "larger_flow_decades": "decades of gradient flow, the larger measure",
    "least_leverage_log10": "least leverage of a layer, log10",
    "largest_leverage_log10": "largest leverage of a layer, log10",
    "blindness_log10": "spread of the outputs over samples, log10 of its share",
    "collapse_decades": "how different samples still are at the worst layer, log10",
    "moved_decades": "how far early layers move compared with late ones, decades",
    "spread_decades": "spread between layers, decades",
    "gain_decades": "typical scale of the weights over the right one, decades",
    "logit_std_log10": "standard deviation of the outputs over samples, log10",
    "median_update_ratio": "median ratio of gradient to weight",
    "weight_growth": "times as long as before the weights end",
    "unstable_share_of_runs": "share of the runs that were unstable",
    "dead_fraction": "share of units that are dead",
    "saturated_fraction": "share of activations that are saturated",
}
"""Of evidence whose name does not say it."""


@dataclass(frozen=True, slots=True)
class Number:
    """One row of evidence."""

    words: str
    value: Markup
    limit: Markup
    beyond: Markup


@dataclass(frozen=True, slots=True)
class Node:
    """A finding with what it explains."""

    finding: Finding
    numbers: tuple[Number, ...]
    also: tuple[str, ...]
    """Rules that explain it beside the one it stands under."""
    below: tuple["Node", ...] = ()

    @property
    def name(self) -> str:
        """Of the illness, as words."""
        return self.finding.name.replace("-", " ")

    @property
    def follow(self) -> str:
        """How many findings follow from it, and how bad they are: 1 error and 3 warnings follow from it."""
        counts = Counter(each.finding.severity for each in self.below)
        told = [f"{counts[kind]} {kind.value}{'s' * (counts[kind] > 1)}" for kind in reversed(Severity) if counts[kind]]
        return f"{' and '.join(told)} follow{'s' * (len(self.below) == 1)} from it"


@dataclass(frozen=True, slots=True)
class Tree:
    """All findings of a report."""

    causes: tuple[Node, ...]
    remarks: tuple[Node, ...]


def tree_of(report: Report) -> Tree:
    """Causes worst first, the one that the report opens with before all others; under each what it explains."""
    serious = sorted(
        (each for each in report.findings if each.severity is not Severity.INFO), key=lambda each: -each.severity.rank
    )
    rules = {each.rule for each in serious}
    roots = [each for each in serious if not rules & set(each.caused_by) - {each.rule}]
    headline = None if report.cause is None else report.cause.rule
    roots.sort(key=lambda each: each.rule != headline)
    taken: set[int] = set()
    causes = tuple(_node(report, each, serious, taken) for each in roots if id(each) not in taken)
    rest = tuple(_node(report, each, serious, taken) for each in serious if id(each) not in taken)
    remarks = (each for each in report.findings if each.severity is Severity.INFO)
    return Tree((*causes, *rest), tuple(_leaf(report, each) for each in remarks))


def _node(report: Report, finding: Finding, serious: Sequence[Finding], taken: set[int]) -> Node:
    """A cause with its consequences; each finding is shown once, under the first cause that explains it."""
    taken.add(id(finding))
    below = []
    for other in serious:
        if id(other) not in taken and finding.rule in other.caused_by:
            taken.add(id(other))
            below.append(_leaf(report, other, finding.rule))
    return Node(finding, _numbers(report, finding), (), tuple(below))


def _leaf(report: Report, finding: Finding, under: str = "") -> Node:
    also = tuple(rule for rule in finding.caused_by if rule != under)
    return Node(finding, _numbers(report, finding), also)


def _numbers(report: Report, finding: Finding) -> tuple[Number, ...]:
    return tuple(_number(report, name, each) for name, each in finding.evidence.items())


def _number(report: Report, name: str, evidence: Evidence) -> Number:
    in_decades = name.endswith(("_decades", "_log10"))
    form = signed_number if in_decades else loss_of if "loss_over_chance" in name else number_of
    value = form(evidence.value)
    beyond = Markup("no ratio") if evidence.margin_decades is None else signed_number(evidence.margin_decades)
    return Number(_words(report, name, evidence), value, limit_words(evidence), beyond)


def _words(report: Report, name: str, evidence: Evidence) -> str:
    """What the number is; of a loss also which training it is from."""
    words = WORDS.get(name, name.replace("_", " "))
    probe = report.variants[0].probe
    if name == "best_loss_over_chance" and probe is not None:
        return f"{words} ({training_words(probe)})"
    if name == "flow_decades":
        flow = report.gradient_flow
        measures = {"RMS": flow.decades_rms, "norm": flow.decades_norm}
        by = next((f" (by {measure})" for measure, value in measures.items() if value == evidence.value), "")
        return f"{words}{by}"
    return words
