"""Measured variants made of plain numbers, as ranking sees them."""

from analysis.diagnosis.rank import Trial
from analysis.facts import (
    Confidence,
    Effect,
    GradientStep,
    Measurement,
    ParameterChoice,
    Probe,
    Status,
    Structure,
    VariantInfo,
)
from analysis.report import Finding, Severity
from tests.analysis.diagnosis.builders import probe, run


def trial(name: str, patient: Measurement, findings: tuple[Finding, ...] = (), *, destructive: bool = False) -> Trial:
    info = VariantInfo(
        id=name,
        structure=Structure(),
        parameters=ParameterChoice(),
        gradient_step=GradientStep(),
        status=Status.MEASURED,
        effect=Effect.CHANGES_FUNCTION,
        destructive=destructive,
        cost="1 node changed",
        recipe="Do it.",
    )
    return Trial(info, patient, findings)


def trained(*ends: float) -> Probe:
    return probe(*(run("sgd", end, seed) for seed, end in enumerate(ends)))


def error(rule: str) -> Finding:
    return Finding(
        rule=rule, name="x", severity=Severity.ERROR, confidence=Confidence.HIGH, layers=(), message="x.",
        evidence={}, affects=(), caused_by=(), remedies=(),
    )  # fmt: skip
