"""What several rules are shown, and what they say of it."""

from dataclasses import replace

from analysis.diagnosis.causes import diagnose
from analysis.facts import Anatomy, LossFacts, Measurement, Provenance, Range, TimeProfile, WeightStats
from analysis.report import Finding, Severity
from tests.analysis.diagnosis.builders import flow, stats

LOW_LEVERAGE = Range(least=-3.0, largest=1.0)
HIGH_LEVERAGE = Range(least=0.0, largest=4.5)
VANISHING = {"flow": flow(-7.0, leverage_log10=Range(least=-4.0, largest=1.0))}
EXPLODING = {"flow": flow(9.0, leverage_log10=Range(least=0.0, largest=9.0), nonlinearity_coefficient=1e6)}
PROFILE = TimeProfile(
    node="cells", direction="forward", gradient_log10=(-1.0,) * 30, growth_decades=0.0, horizon_steps=29,
    memory_decades=-0.5, informative_step=3,
)  # fmt: skip
ENDING = LossFacts(name="cross_entropy", chosen="", value=0.001, chance=2.3, targets=Provenance.UPLOADED)


def fired(rule: str, patient: Measurement) -> Finding | None:
    return next((finding for finding in diagnose(patient) if finding.rule == rule), None)


def severity(rule: str, patient: Measurement) -> Severity | None:
    finding = fired(rule, patient)
    return None if finding is None else finding.severity


def weighted(**changes: object) -> dict[str, object]:
    """All three layers with these weight statistics."""
    whole = WeightStats(norm=5.0, rms=0.1, **changes)  # type: ignore[arg-type]
    return {"stats": tuple(stats(place, weight=whole) for place in (1, 2, 3))}


def ratios(*values: float) -> dict[str, object]:
    return {"stats": tuple(stats(place, update_ratio=value) for place, value in enumerate(values, 1))}


def remembering(**changes: object) -> dict[str, object]:
    return {"through_time": (replace(PROFILE, **changes),), "recurrent": True}


def anatomy(**changes: object) -> dict[str, object]:
    return {"anatomy": Anatomy(**changes)}  # type: ignore[arg-type]
