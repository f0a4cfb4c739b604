"""Measurements, findings and remedies -> Report: the verdict, the summary, and everything behind them."""

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from analysis.clock import Clock
from analysis.diagnosis.brief import brief_of
from analysis.diagnosis.rules import BY_ID
from analysis.facts import (
    Effect,
    EngineFacts,
    Flow,
    Layer,
    LayerStats,
    Measurement,
    ModelFacts,
    Status,
    VariantInfo,
    Zone,
)
from analysis.facts.zones import zone
from analysis.options import AnalysisOptions
from analysis.report import Advice, Finding, Remedy, Report, Severity, Variant, Verdict
from analysis.report.document import SCHEMA_VERSION, BatchInfo, LeftOut, ModelFile, Overall
from analysis.report.parts import Decades
from analysis.version import VERSION

KEPT: Final = "kept"


@dataclass(frozen=True, slots=True)
class Row:
    """A variant as the report lists it."""

    info: VariantInfo
    measurement: Measurement | None
    model: ModelFile | None = None


def verdict_of(measurement: Measurement, findings: Sequence[Finding]) -> Verdict:
    """Any error: unhealthy. Any warning, or grey without a probe: at risk.

    Inconclusive: neither flow nor probe could be measured, or the cotangents disagree and no probe decides.
    """
    worst = max((finding.severity.rank for finding in findings), default=0)
    if worst >= Severity.ERROR.rank:
        return Verdict.UNHEALTHY
    light = zone(measurement.flow)
    undecided = light is Zone.UNKNOWN or (light is Zone.RED and not cotangents_agree(measurement.flow))
    if undecided and measurement.probe is None:
        return Verdict.INCONCLUSIVE
    if worst >= Severity.WARNING.rank or (light is not Zone.GREEN and measurement.probe is None):
        return Verdict.AT_RISK
    return Verdict.HEALTHY


def cotangents_agree(flow: Flow) -> bool:
    """Whether both random cotangents see the second witness of an error, or neither does."""
    weak = {each.least < BY_ID["GH101"].thresholds["leverage_log10"] for each in flow.leverage_by_seed}
    strong = {
        each.largest - math.log10(flow.input_rms) > BY_ID["GH102"].thresholds["leverage_log10"]
        for each in flow.leverage_by_seed
        if flow.input_rms
    }
    return len(weak) < 2 and len(strong) < 2


def assemble(
    *,
    engine: EngineFacts,
    model: ModelFacts,
    baseline: Measurement,
    findings: Sequence[Finding],
    advice: Sequence[Advice],
    rows: Sequence[Row],
    remedies: Sequence[Remedy],
    clock: Clock,
    options: AnalysisOptions,
) -> Report:
    """The report."""
    verdict = verdict_of(baseline, findings)
    findings = [_with_remedies(finding, remedies) for finding in findings]
    report = Report(
        schema_version=SCHEMA_VERSION,
        id=_report_id(model.sha256, baseline.batch.sha256, options.model_dump_json()),
        verdict=verdict,
        summary="",
        engine=engine,
        options=options.model_dump(mode="json", exclude_defaults=True),
        model=model,
        batch=BatchInfo(
            sha256=baseline.batch.sha256,
            size=baseline.batch.size,
            provenance=baseline.batch.provenance.value,
            targets=baseline.loss.targets.value,
            notes=(*baseline.batch.notes, *baseline.cap_reasons),
        ),
        parity=baseline.parity,
        loss=baseline.loss,
        gradient_flow=replace(baseline.flow, zone=zone(baseline.flow)),
        anatomy=baseline.anatomy,
        attention=baseline.attention,
        through_time=baseline.through_time,
        sample_gradients=baseline.sample_gradients,
        absent=baseline.absent,
        layers=baseline.layers,
        variants=tuple(_variant(row, findings, baseline) for row in rows),
        factor_effects=factor_effects(rows),
        factor_interactions=factor_interactions(rows),
        findings=tuple(findings),
        advice=tuple(advice),
        remedies=tuple(remedies),
        left_out=tuple(LeftOut(what=what, why=why) for what, why in clock.left_out),
        timings_seconds={stage: round(spent, 4) for stage, spent in clock.total().items()},
    )
    return report.model_copy(update={"summary": brief_of(report).summary})


# ------------------------------------------------------------------ parts


Choices = tuple[tuple[str, str], ...]
"""Factor and level, for each factor."""


def factor_effects(rows: Sequence[Row]) -> dict[str, Decades]:
    """How many decades each level moved flow, on average over pairs of variants that differ in nothing else."""
    flows = _flows(rows)
    changes: dict[str, list[tuple[float, float]]] = {}
    for choices, flow in flows.items():
        for place, (factor, level) in _levels(choices):
            plain = flows.get(_without(choices, place))
            if plain is not None:
                changes.setdefault(f"{factor}={level}", []).append((flow[0] - plain[0], flow[1] - plain[1]))
    return _averages(changes)


def factor_interactions(rows: Sequence[Row]) -> dict[str, Decades]:
    """How far two levels together moved flow beyond what each did alone, on average over what else was chosen."""
    flows = _flows(rows)
    changes: dict[str, list[tuple[float, float]]] = {}
    for choices, both in flows.items():
        for (first, one), (second, other) in itertools.combinations(_levels(choices), 2):
            less = [_without(choices, second), _without(choices, first), _without(_without(choices, first), second)]
            alone = [flows.get(each) for each in less]
            if None not in alone:
                a, b, neither = cast("list[tuple[float, float]]", alone)
                name = f"{'='.join(one)} x {'='.join(other)}"
                changes.setdefault(name, []).append(
                    (both[0] - a[0] - b[0] + neither[0], both[1] - a[1] - b[1] + neither[1])
                )
    return _averages(changes)


def _flows(rows: Sequence[Row]) -> dict[Choices, tuple[float, float]]:
    """Decades of the measured variants, both normalisations, by what they chose."""
    found: dict[Choices, tuple[float, float]] = {}
    for row in rows:
        if row.measurement is not None and row.info.status in {Status.MEASURED, Status.DERIVED}:
            flow = row.measurement.flow
            if flow.decades_rms is not None and flow.decades_norm is not None:
                found[_choices(row.info)] = (flow.decades_rms, flow.decades_norm)
    return found


def _levels(choices: Choices) -> list[tuple[int, tuple[str, str]]]:
    """Place, factor and level of what is not kept."""
    return [(place, choice) for place, choice in enumerate(choices) if choice[1] != KEPT]


def _without(choices: Choices, place: int) -> Choices:
    return (*choices[:place], (choices[place][0], KEPT), *choices[place + 1 :])


def _averages(changes: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, Decades]:
    return {
        name: Decades(
            decades_rms=sum(rms for rms, _ in moved) / len(moved),
            decades_norm=sum(norm for _, norm in moved) / len(moved),
        )
        for name, moved in sorted(changes.items())
    }


def _choices(info: VariantInfo) -> Choices:
    clip = info.gradient_step.clip
    return (
        ("input", info.structure.input),
        ("activation", info.structure.activation),
        ("normalization", info.structure.normalization),
        ("residual", info.structure.residual),
        ("attention", info.structure.attention),
        ("initialization", info.parameters.initialization),
        ("branch_ends", info.parameters.branch_ends),
        ("clip", clip.kind.value if clip is not None else KEPT),
        ("decay", f"{info.gradient_step.weight_decay:g}" if info.gradient_step.weight_decay else KEPT),
    )


def _variant(row: Row, findings: Sequence[Finding], baseline: Measurement) -> Variant:
    info, measurement = row.info, row.measurement
    if measurement is None:
        return Variant(id=info.id, status=info.status, reason=info.reason, absent={"measurement": info.reason or ""})
    layers = () if info.same_as else measurement.layers
    return Variant(
        id=info.id,
        status=info.status,
        structure=info.structure,
        parameters=info.parameters,
        gradient_step=info.gradient_step,
        same_as=info.same_as,
        effect=info.effect,
        replicates=info.replicates,
        measurement=Overall(
            loss=measurement.loss.value,
            gradient_flow=Decades(decades_rms=measurement.flow.decades_rms, decades_norm=measurement.flow.decades_norm),
            logits_gradient_rms=measurement.flow.logits_gradient_rms,
            total_gradient_norm=measurement.total_gradient_norm,
        ),
        layers=() if info.same_as else _flagged(measurement.stats, findings if info.id == "baseline" else ()),
        added_layers=_not_among(layers, baseline.layers),
        removed_layers=_not_among(baseline.layers, layers) if layers else (),
        probe=measurement.probe,
        model=row.model,
        non_finite=measurement.non_finite,
        absent=_absent(info, measurement),
    )


def _not_among(layers: Sequence[Layer], others: Sequence[Layer]) -> tuple[str, ...]:
    """Layers that write a value no other one writes: an edit never renames what was there."""
    written = {layer.output for layer in others}
    return tuple(layer.id for layer in layers if layer.output not in written)


def _absent(info: VariantInfo, measurement: Measurement) -> dict[str, str]:
    absent = dict(measurement.flow.absent)
    if not measurement.cotangents:
        absent["leverage_log10"] = "pass B is run for the baseline and for treatments that are trained"
    if measurement.probe is None:
        absent["probe"] = measurement.loss.absent.get("chance", "not among the treatments that were trained")
    if info.effect is Effect.TRAINING_ONLY:
        absent["model"] = "a gradient step does not live in a graph"
    return absent


def _flagged(stats: Sequence[LayerStats], findings: Sequence[Finding]) -> tuple[LayerStats, ...]:
    """Layers told which findings name them."""
    flags: dict[str, list[str]] = {}
    for finding in findings:
        for layer in finding.layers:
            flags.setdefault(layer, []).append(finding.name)
    return tuple(replace(each, flags=tuple(flags.get(each.id, ()))) for each in stats)


def _with_remedies(finding: Finding, remedies: Sequence[Remedy]) -> Finding:
    if finding.severity is Severity.INFO:
        return finding
    return finding.model_copy(update={"remedies": tuple(remedy.variant for remedy in remedies)})


def _report_id(*parts: str) -> str:
    """A UUID (version 8) that follows from the question."""
    digest = hashlib.sha256("\n".join((*parts, VERSION, SCHEMA_VERSION)).encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"
