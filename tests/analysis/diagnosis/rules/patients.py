"""What several rules are shown, and what they say of it."""

from dataclasses import replace

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.policy import Policy
from analysis.diagnosis.rules import BY_ID
from analysis.facts import (
    Anatomy,
    Layer,
    LossFacts,
    Measurement,
    ParameterInfo,
    Provenance,
    Range,
    TimeProfile,
    WeightStats,
)
from analysis.report import Finding, Severity
from tests.analysis.diagnosis.builders import flow, measurement, stats

LOW_LEVERAGE = Range(least=-3.0, largest=1.0)
HIGH_LEVERAGE = Range(least=0.0, largest=4.5)
VANISHING = {"flow": flow(-7.0, leverage_log10=Range(least=-4.0, largest=1.0))}
EXPLODING = {"flow": flow(9.0, leverage_log10=Range(least=0.0, largest=9.0), nonlinearity_coefficient=1e6)}
PROFILE = TimeProfile(
    node="cells", direction="forward", gradient_log10=(-1.0,) * 30, growth_decades=0.0, horizon_steps=29,
    memory_decades=-0.5, informative_step=3,
)  # fmt: skip
ENDING = LossFacts(name="cross_entropy", chosen="", value=0.001, chance=2.3, targets=Provenance.UPLOADED)


Numbers = dict[str, tuple[float, float, float | None]]


def fired(rule: str, patient: Measurement, **limits: float) -> Finding | None:
    """What a rule finds by itself, with the thresholds that a user may set; at most one finding."""
    findings = diagnose(patient, Policy((BY_ID[rule],), {rule: limits}))
    assert len(findings) <= 1
    return next(iter(findings), None)


def severity(rule: str, patient: Measurement, **limits: float) -> Severity | None:
    finding = fired(rule, patient, **limits)
    return None if finding is None else finding.severity


def found(rule: str, patient: Measurement, **limits: float) -> Finding:
    """What a rule finds where it is to find something."""
    finding = fired(rule, patient, **limits)
    assert finding is not None
    return finding


def evidence(finding: Finding) -> Numbers:
    """Value, limit and decades beyond it, to nine digits."""
    return {
        name: (_rounded(each.value), _rounded(each.threshold), _rounded(each.margin_decades))
        for name, each in finding.evidence.items()
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.9g}")


def owning(place: int, **parameters: str) -> dict[str, object]:
    """All three layers, the one at this place with these parameters more: role to initialiser."""
    more = {role: ParameterInfo(initializer=name, shape=(8,)) for role, name in parameters.items()}
    return changed(place, parameters={**measurement().layers[place - 1].parameters, **more})


def changed(place: int, **changes: object) -> dict[str, tuple[Layer, ...]]:
    """All three layers, the one at this place changed."""
    layers = list(measurement().layers)
    layers[place - 1] = replace(layers[place - 1], **changes)  # type: ignore[arg-type]
    return {"layers": tuple(layers)}


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
