"""The shelf of rules: RULES, in the order of their ids, which of them apply, and `diagnose`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from analysis.diagnosis.contract import Rule
from analysis.diagnosis.rules.cancelled_parameter import cancelled_parameter
from analysis.diagnosis.rules.chaotic_gradient import chaotic_gradient
from analysis.diagnosis.rules.collapsed_tokens import collapsed_tokens
from analysis.diagnosis.rules.converged import converged
from analysis.diagnosis.rules.dead_units import dead_units
from analysis.diagnosis.rules.does_not_learn import does_not_learn
from analysis.diagnosis.rules.exploding_gradient import exploding_gradient
from analysis.diagnosis.rules.exploding_memory import exploding_memory
from analysis.diagnosis.rules.fading_memory import fading_memory
from analysis.diagnosis.rules.flat_output import flat_output
from analysis.diagnosis.rules.folded_normalization import folded_normalization
from analysis.diagnosis.rules.ill_conditioned_parity import ill_conditioned_parity
from analysis.diagnosis.rules.input_blind import input_blind
from analysis.diagnosis.rules.input_scale import input_scale
from analysis.diagnosis.rules.layer_scale import layer_scale
from analysis.diagnosis.rules.loss_head import loss_head
from analysis.diagnosis.rules.low_signal import low_signal
from analysis.diagnosis.rules.narrow_deep import narrow_deep
from analysis.diagnosis.rules.no_gradient import no_gradient
from analysis.diagnosis.rules.non_finite import non_finite
from analysis.diagnosis.rules.poor_initialization import poor_initialization
from analysis.diagnosis.rules.rank_collapse import rank_collapse
from analysis.diagnosis.rules.saturated_attention import saturated_attention
from analysis.diagnosis.rules.saturated_units import saturated_units
from analysis.diagnosis.rules.scale_imbalance import scale_imbalance
from analysis.diagnosis.rules.shattered_gradient import shattered_gradient
from analysis.diagnosis.rules.stalled_early_layers import stalled_early_layers
from analysis.diagnosis.rules.straight_through import straight_through
from analysis.diagnosis.rules.symmetric_units import symmetric_units
from analysis.diagnosis.rules.synthetic_batch import synthetic_batch
from analysis.diagnosis.rules.unstable_training import unstable_training
from analysis.diagnosis.rules.update_ratio import update_ratio
from analysis.diagnosis.rules.vanishing_gradient import vanishing_gradient
from analysis.diagnosis.rules.zero_initialized_branch import zero_initialized_branch
from analysis.errors import BadOptions
from analysis.facts import Measurement
from analysis.options import AnalysisOptions
from analysis.report import Finding, Severity

RULES: Final[tuple[Rule, ...]] = (
    vanishing_gradient,
    exploding_gradient,
    chaotic_gradient,
    shattered_gradient,
    does_not_learn,
    non_finite,
    stalled_early_layers,
    unstable_training,
    dead_units,
    saturated_units,
    input_blind,
    rank_collapse,
    collapsed_tokens,
    flat_output,
    saturated_attention,
    poor_initialization,
    symmetric_units,
    scale_imbalance,
    update_ratio,
    input_scale,
    narrow_deep,
    fading_memory,
    exploding_memory,
    loss_head,
    low_signal,
    no_gradient,
    converged,
    zero_initialized_branch,
    layer_scale,
    cancelled_parameter,
    folded_normalization,
    straight_through,
    synthetic_batch,
    ill_conditioned_parity,
)
PRECEDENCE: Final = (
    ("GH106",),
    ("GH601",),
    ("GH305",),
    ("GH501",),
    ("GH302",),
    ("GH301", "GH306"),
    ("GH201", "GH202", "GH207"),
    ("GH101", "GH102", "GH103", "GH401", "GH402"),
    ("GH303", "GH304"),
    ("GH104", "GH203", "GH204", "GH205", "GH206"),
    ("GH107", "GH108"),
    ("GH105",),
)
"""Causes before consequences: a finding is explained by those in earlier groups that are as serious."""
ROOTS: Final = frozenset({"GH301", "GH302", "GH305", "GH306", "GH501"})
"""How the network was made or fed: a warning of these explains an error, too."""

BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
_repeated = [rule_id for rule_id, count in Counter(rule.id for rule in RULES).items() if count > 1]
if _repeated:
    raise ValueError(f"rule ids used twice: {_repeated}")


@dataclass(frozen=True, slots=True)
class Policy:
    """Which rules apply, and the thresholds that differ from their own."""

    rules: tuple[Rule, ...] = RULES
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By rule id, then by name."""


EVERY_RULE: Final = Policy()


def policy(options: AnalysisOptions) -> Policy:
    """What the options choose: `select` and `ignore` take ids, prefixes of ids and names, `thresholds` GH101.name.

    Raises BadOptions for what matches no rule or threshold.
    """
    selected = _matching(options.select, "select") if options.select else RULES
    ignored = _matching(options.ignore, "ignore")
    thresholds: dict[str, dict[str, float]] = {}
    for key, value in options.thresholds.items():
        known, name = _threshold(key)
        thresholds.setdefault(known.id, {})[name] = value
    if options.required_horizon is not None:
        thresholds.setdefault("GH401", {})["required_horizon"] = options.required_horizon
    return Policy(tuple(rule for rule in selected if rule not in ignored), thresholds)


def find_rule(name: str) -> Rule | None:
    """By id, in either case, or by name."""
    return BY_ID.get(name.upper()) or next((rule for rule in RULES if rule.name == name), None)


def _matching(patterns: Iterable[str], option: str) -> tuple[Rule, ...]:
    chosen = {
        pattern: [rule for rule in RULES if rule.id.startswith(pattern) or rule.name == pattern] for pattern in patterns
    }
    for pattern, rules in chosen.items():
        if not rules:
            raise BadOptions(
                f"{pattern!r} is no rule",
                where=f"options.{option}",
                hint="for example GH101, GH1 or vanishing-gradient",
            )
    return tuple(rule for rule in RULES if any(rule in rules for rules in chosen.values()))


def _threshold(key: str) -> tuple[Rule, str]:
    """The rule and the name of a threshold such as GH101.flow_decades."""
    head, _, name = key.partition(".")
    rule = find_rule(head)
    if rule is None:
        raise BadOptions(
            f"{head!r} is no rule", where=f"options.thresholds.{key}", hint="for example GH101.flow_decades"
        )
    if name not in rule.thresholds:
        known = ", ".join(rule.thresholds) or "none"
        raise BadOptions(
            f"{rule.id} has no threshold {name!r}", where=f"options.thresholds.{key}", hint=f"it has: {known}"
        )
    return rule, name


def diagnose(measurement: Measurement, chosen: Policy = EVERY_RULE) -> tuple[Finding, ...]:
    """All findings, worst first, each told what explains it."""
    found = [finding for rule in chosen.rules for finding in rule.findings(measurement, chosen.thresholds.get(rule.id))]
    found.sort(key=lambda finding: (-finding.severity.rank, finding.rule))
    causes = {finding.rule: _causes(finding, found) for finding in found}
    return tuple(finding.model_copy(update={"caused_by": _roots(causes[finding.rule], causes)}) for finding in found)


def _causes(finding: Finding, found: Iterable[Finding]) -> frozenset[str]:
    """Earlier in precedence and as serious, or made so; a remark neither has nor is a cause."""
    if finding.severity is Severity.INFO:
        return frozenset()
    serious = [other for other in found if other.severity is not Severity.INFO]
    earlier = [other for other in serious if _group(other.rule) < _group(finding.rule)]
    return frozenset(
        other.rule for other in earlier if other.rule in ROOTS or other.severity.rank >= finding.severity.rank
    )


def _roots(causes: frozenset[str], of: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """Those of the causes that none of the others explains."""
    return tuple(sorted(cause for cause in causes if of[cause].isdisjoint(causes)))


def _group(rule_id: str) -> int:
    return next((place for place, group in enumerate(PRECEDENCE) if rule_id in group), len(PRECEDENCE))
