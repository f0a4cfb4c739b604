"""The contract of a rule: a pure function from a Measurement to what it shows.

A rule file is one illness: its docstring is the public page, its constants the thresholds with their sources, its
function the test. The function yields drafts; identity, message and the cap on confidence are added here, so that no
rule can forget them.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from analysis.facts import Confidence, Layer, LayerStats, Measurement
from analysis.report import Evidence, Finding, Severity

HEADINGS: Final = (
    "What it detects",
    "Why it matters",
    "How it is measured",
    "Example",
    "When it is wrong",
    "Remedies",
    "References",
)
"""Every rule page has these, in this order."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a rule saw."""

    severity: Severity
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    affects: tuple[str, ...] = ("sgd", "adam")
    confidence: Confidence = Confidence.HIGH


Detector = Callable[[Measurement], Iterator[Draft]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One illness."""

    id: str
    name: str
    """Of the illness, never of the cure."""
    message: str
    page: str
    detect: Detector

    def findings(self, measurement: Measurement) -> Iterator[Finding]:
        """What this rule has to say; remedies and causes are added when all findings are known."""
        for draft in self.detect(measurement):
            yield Finding(
                rule=self.id,
                name=self.name,
                severity=draft.severity,
                confidence=min(draft.confidence, measurement.confidence_cap, key=list(Confidence).index),
                layers=draft.layers,
                message=self.message,
                evidence=draft.evidence,
                affects=draft.affects,
                caused_by=(),
                remedies=(),
            )


def rule(rule_id: str, name: str, message: str) -> Callable[[Detector], Rule]:
    """Make a rule of a detector; the page is the docstring of its module."""

    def build(detect: Detector) -> Rule:
        page = sys.modules[detect.__module__].__doc__ or ""
        return Rule(rule_id, name, message, page, detect)

    return build


def below(value: float, threshold: float) -> Evidence:
    """Evidence in decades: how far a value lies under a threshold."""
    return Evidence(value=value, threshold=threshold, margin_decades=threshold - value)


def above(value: float, threshold: float) -> Evidence:
    """Evidence in decades: how far a value lies over a threshold."""
    return Evidence(value=value, threshold=threshold, margin_decades=value - threshold)


def over(value: float, threshold: float) -> Evidence:
    """Evidence on a plain scale: the margin is the ratio's logarithm."""
    margin = math.log10(value / threshold) if value > 0 and threshold > 0 else None
    return Evidence(value=value, threshold=threshold, margin_decades=margin)


def learns(measurement: Measurement) -> bool:
    """Whether a training probe was run and some optimiser learnt in it, whatever the seed."""
    probe = measurement.probe
    return probe is not None and any(probe.learns(optimizer) for optimizer in ("sgd", "adam"))


def settled(severity: Severity, measurement: Measurement) -> Severity:
    """A static error is a warning where the network learns in spite of it."""
    return Severity.WARNING if severity is Severity.ERROR and learns(measurement) else severity


def layers_with_stats(measurement: Measurement) -> Iterator[tuple[Layer, LayerStats]]:
    """Layers and what was measured of them."""
    return zip(measurement.layers, measurement.stats, strict=True)
