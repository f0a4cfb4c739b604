"""Measured variants made of plain numbers, as ranking sees them."""

from analysis.diagnosis.rank import Trial
from analysis.facts import (
    Choices,
    Confidence,
    Effect,
    Factor,
    GradientStep,
    Measurement,
    Probe,
    Range,
    Status,
    VariantInfo,
)
from analysis.report import Finding, Severity
from tests.analysis.diagnosis.builders import FAILS, flow, measurement, probe, run
from tests.variant_ids import STEPS, without_steps


def trial(name: str, patient: Measurement, findings: tuple[Finding, ...] = (), *, destructive: bool = False) -> Trial:
    info = VariantInfo(
        id=name,
        plain=without_steps(name),
        choices=_choices(name),
        gradient_step=GradientStep(),
        status=Status.MEASURED,
        effect=Effect.CHANGES_FUNCTION,
        destructive=destructive,
        cost="1 node changed",
        recipe="Do it.",
    )
    return Trial(info, patient, findings)


def _choices(name: str) -> Choices:
    """Gradient steps as what they are, every other token as the next factor."""
    tokens = name.split("+")
    steps = {Factor.DECAY if token == "decay" else Factor.CLIP: token for token in tokens if token in STEPS}
    return {**dict(zip(Factor, (token for token in tokens if token not in STEPS), strict=False)), **steps}


def trained(*ends: float) -> Probe:
    return probe(*(run("sgd", end, seed) for seed, end in enumerate(ends)))


def error(rule: str) -> Finding:
    return Finding(
        rule=rule, name="x", severity=Severity.ERROR, confidence=Confidence.HIGH, layers=(), message="x.",
        evidence={}, affects=(), caused_by=(), remedies=(),
    )  # fmt: skip


VANISHING = flow(-6.0, leverage_log10=Range(least=-4.0, largest=1.0), decades_per_layer=-0.5)
SICK = measurement(flow=VANISHING, probe=FAILS)
CURED = trial("he", measurement(flow=flow(-0.25), probe=trained(0.2, 0.25)))


def warning(rule: str, name: str = "x") -> Finding:
    return error(rule).model_copy(update={"name": name, "severity": Severity.WARNING})


def remark(rule: str) -> Finding:
    return error(rule).model_copy(update={"severity": Severity.INFO})
