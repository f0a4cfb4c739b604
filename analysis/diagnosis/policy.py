"""Which rules apply, and with which thresholds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from analysis.diagnosis.contract import Rule
from analysis.diagnosis.rules import BY_ID, RULES
from analysis.errors import BadOptions
from analysis.options import AnalysisOptions


@dataclass(frozen=True, slots=True)
class Policy:
    """Which rules apply, and the thresholds that differ from their own."""

    rules: tuple[Rule, ...] = RULES
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By rule id, then by name."""

    def limits(self, rule_id: str) -> Mapping[str, float]:
        """The thresholds in force of a rule, by name."""
        return {**BY_ID[rule_id].thresholds, **self.thresholds.get(rule_id, {})}


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
