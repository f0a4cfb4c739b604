"""The contract of a rule: a pure function from a Measurement to what it shows.

A rule file is one illness: its docstring is the public page, its constants the thresholds with their sources, its
function the test. The function is handed the measurement and the thresholds in force (a user may set others) and yields
drafts; identity, message and the cap on confidence are added here, so that no rule can forget them.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from analysis.facts import Confidence, Factor, Measurement
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


class Place(IntEnum):
    """Where an illness stands between cause and consequence: those at earlier places explain it.

    A finding is explained by findings at earlier places that are as serious. How the network was fed, read and made
    (`is_root`) explains a worse finding, too, and what a training comes to (OUTCOME) is explained by a milder one: by
    itself it says that something is wrong, and not what.
    """

    NUMBERS = 0
    """NaN or infinity: no other number means anything."""
    GRADIENT = 1
    """No gradient arrives at all."""
    INPUT = 2
    """What the network is fed."""
    LOSS = 3
    """How its output is read."""
    SYMMETRY = 4
    """Units that were made alike."""
    MAKING = 5
    """How its weights were drawn and its layers laid out."""
    UNITS = 6
    """Units and attentions that let nothing through."""
    TRANSPORT = 7
    """What becomes of gradients on their way."""
    BALANCE = 8
    """How layers compare with each other."""
    SIGNAL = 9
    """What the outputs still tell of the inputs."""
    MOTION = 10
    """How a training goes."""
    OUTCOME = 11
    """What a training comes to."""
    ASIDE = 12
    """Explains nothing."""

    @property
    def is_root(self) -> bool:
        """Whether a warning from here explains an error."""
        return Place.INPUT <= self <= Place.MAKING


@dataclass(frozen=True, slots=True)
class Draft:
    """What a rule saw."""

    severity: Severity
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    affects: tuple[str, ...] = ("sgd", "adam")
    confidence: Confidence = Confidence.HIGH
    place: Place | None = None
    """Where this one stands among causes, if elsewhere than its rule."""


Limits = Mapping[str, float]
"""Thresholds in force, by name."""
Detector = Callable[[Measurement, Limits], Iterator[Draft]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One illness."""

    id: str
    name: str
    """Of the illness, never of the cure."""
    message: str
    page: str
    detect: Detector
    thresholds: Limits
    """Defaults."""
    place: Place
    of_inputs: bool = False
    """Whether what it says is about the numbers that went in as much as about the network."""
    of_targets: bool = False
    """The same of the targets."""
    factors: tuple[Factor, ...] = ()
    """Those that a treatment has to choose to mend the illness itself: such treatments are trained first."""
    treatable: bool = True
    """Whether any treatment of the network may mend it; where it is the cause and none may, only those are trained that
    choose one of `factors`."""

    @property
    def sections(self) -> Mapping[str, tuple[str, ...]]:
        """Paragraphs of the page, by heading, each on one line."""
        parts = [section.partition("\n") for section in self.page.split("\n## ")[1:]]
        return {
            heading: tuple(" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip())
            for heading, _, text in parts
        }

    def findings(self, measurement: Measurement, limits: Limits | None = None) -> Iterator[Finding]:
        """What this rule has to say; remedies and causes are added when all findings are known."""
        return (finding for finding, _ in self.placed(measurement, limits))

    def placed(self, measurement: Measurement, limits: Limits | None = None) -> Iterator[tuple[Finding, Place]]:
        """The findings, each with its place among causes."""
        for draft in self.detect(measurement, {**self.thresholds, **(limits or {})}):
            finding = Finding(
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
            yield finding, self.place if draft.place is None else draft.place


def rule(
    rule_id: str,
    name: str,
    message: str,
    *,
    place: Place = Place.ASIDE,
    of_inputs: bool = False,
    of_targets: bool = False,
    factors: tuple[Factor, ...] = (),
    treatable: bool = True,
    **thresholds: float,
) -> Callable[[Detector], Rule]:
    """Make a rule of a detector; the page is the docstring of its module."""

    def build(detect: Detector) -> Rule:
        page = sys.modules[detect.__module__].__doc__ or ""
        return Rule(rule_id, name, message, page, detect, thresholds, place, of_inputs, of_targets, factors, treatable)

    return build
