"""What was looked at and found sound, where all that is known is that nothing is learnt.

A list of numbers beside the limits that they keep, so that nobody looks there again. Only what was measured is on it,
and nothing that another finding speaks of.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from analysis.diagnosis.policy import EVERY_RULE, Policy
from analysis.diagnosis.readings import REFERENCE_SHARE, ratio_spread
from analysis.diagnosis.rules import BY_ID
from analysis.facts import Measurement
from analysis.report import Evidence, Finding, Severity
from analysis.report.parts import Bound, RuledOut

LEFT: Final = "GH105"
"""The finding that remains where no other one explains it."""


def ruled_out(
    measurement: Measurement, findings: Sequence[Finding], rules: Policy = EVERY_RULE
) -> tuple[RuledOut, ...]:
    """By rule; empty where something explains what is wrong."""
    serious = {each.rule for each in findings if each.severity is not Severity.INFO}
    if LEFT not in serious or any(each.caused_by for each in findings if each.rule == LEFT):
        return ()
    return tuple(
        RuledOut(rule=rule, name=BY_ID[rule].name, evidence={name: evidence})
        for rule, name, evidence in _sound(measurement, rules)
        if rule not in serious
    )


def _sound(measurement: Measurement, rules: Policy) -> Iterator[tuple[str, str, Evidence]]:
    """Rule, name of the number, and the number on the right side of its limit."""
    asked = {rule.id for rule in rules.rules}
    for rule, name, limit, bound, read in LOOKED_AT:
        value = read(measurement)
        threshold = limit if isinstance(limit, float) else rules.limits(rule)[limit]
        keeps = value is not None and (value >= threshold if bound is Bound.LEAST else value <= threshold)
        if value is not None and keeps and rule in asked:
            yield rule, name, Evidence(value=value, threshold=threshold, bound=bound)


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _activations(measurement: Measurement, name: str) -> float | None:
    return _most(getattr(each.activation, name) for each in measurement.stats if each.activation is not None)


def _duplicates(measurement: Measurement) -> float | None:
    hidden = measurement.stats[:-1]
    return _most(each.weight.duplicate_fraction for each in hidden if each.weight is not None)


Read = Callable[[Measurement], float | None]
LOOKED_AT: Final[Sequence[tuple[str, str, str | float, Bound, Read]]] = (
    ("GH101", "flow_decades", "flow_decades", Bound.LEAST, lambda each: each.flow.decades_rms),
    ("GH102", "flow_decades", "flow_decades", Bound.MOST, lambda each: each.flow.decades_rms),
    ("GH201", "dead_fraction", "dead_fraction", Bound.MOST, lambda each: _activations(each, "dead_fraction")),
    ("GH302", "duplicate_fraction", "duplicate_fraction", Bound.MOST, _duplicates),
    ("GH303", "spread_decades", "spread_decades", Bound.MOST, ratio_spread),
    ("GH306", "width_sum", "width_sum", Bound.MOST, lambda each: each.flow.width_sum),
    (
        "GH505", "reference_network_share", REFERENCE_SHARE, Bound.LEAST,
        lambda each: None if each.target_reading is None else each.target_reading.reference,
    ),
)  # fmt: skip
"""Rule, what the number is called, its limit or the name of that, the side of it that is sound, how it is read."""
