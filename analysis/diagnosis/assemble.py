"""Measurements, findings and remedies -> Report: the verdict, the summary, and everything behind them."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from analysis.clock import Clock
from analysis.diagnosis.brief import brief_of
from analysis.diagnosis.diagnosis import Diagnosis
from analysis.diagnosis.effects import factor_effects, factor_interactions
from analysis.diagnosis.root import cause_of
from analysis.diagnosis.rows import Row
from analysis.diagnosis.ruled_out import ruled_out
from analysis.facts import Effect, EngineFacts, Layer, LayerStats, Measurement, ModelFacts, VariantInfo
from analysis.facts.after_step import as_trained
from analysis.facts.zones import zone
from analysis.options import AnalysisOptions
from analysis.report import Finding, Remedy, Report, Severity, Variant
from analysis.report.document import SCHEMA_VERSION, BatchInfo, LeftOut, Overall, ParameterChoice, Structure
from analysis.report.parts import Decades
from analysis.version import VERSION


def assemble(
    header: tuple[EngineFacts, ModelFacts],
    known: Diagnosis,
    rows: Sequence[Row],
    remedies: Sequence[Remedy],
    clock: Clock,
    options: AnalysisOptions,
) -> Report:
    """The report; `header`: what was analysed and what with."""
    (engine, model), baseline = header, as_trained(known.baseline)
    findings = [_with_remedies(finding, remedies) for finding in known.findings]
    report = Report(
        schema_version=SCHEMA_VERSION,
        id=_report_id(model.sha256, baseline.batch.sha256, options.model_dump_json()),
        verdict=known.verdict,
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
        confidence_cap=baseline.confidence_cap,
        parity=baseline.parity,
        loss=baseline.loss,
        outputs=baseline.outputs,
        targets=baseline.targets,
        gradient_flow=replace(baseline.flow, zone=zone(baseline.flow)),
        anatomy=baseline.anatomy,
        attention=baseline.attention,
        through_time=baseline.through_time,
        sample_gradients=baseline.sample_gradients,
        unfolded=baseline.unfolded,
        own_loss=baseline.own_loss,
        dropout=baseline.dropout,
        normalization=baseline.normalization,
        target_reading=baseline.target_reading,
        absent=baseline.absent,
        layers=baseline.layers,
        variants=tuple(_variant(row, findings, baseline) for row in rows),
        factor_effects=factor_effects(rows),
        factor_interactions=factor_interactions(rows),
        findings=tuple(findings),
        cause=cause_of(findings),
        ruled_out=ruled_out(known.baseline, findings, known.rules),
        advice=known.advice,
        remedies=tuple(remedies),
        left_out=tuple(LeftOut(what=what, why=why) for what, why in clock.left_out),
        timings_seconds={stage: round(spent, 4) for stage, spent in clock.total().items()},
    )
    return report.model_copy(update={"summary": brief_of(report).summary})


def _variant(row: Row, findings: Sequence[Finding], baseline: Measurement) -> Variant:
    info = row.info
    if row.measurement is None:
        return Variant(id=info.id, status=info.status, reason=info.reason, absent={"measurement": info.reason or ""})
    measurement = as_trained(row.measurement)
    layers = () if info.same_as else measurement.layers
    return Variant(
        id=info.id,
        status=info.status,
        structure=Structure(**_levels_of(Structure, info)),
        parameters=ParameterChoice(**_levels_of(ParameterChoice, info), seed=info.seed),
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


def _levels_of(part: type[Structure | ParameterChoice], info: VariantInfo) -> dict[str, str]:
    """The levels of the factors that a part of the report has a field for, by the factor's name."""
    return {factor.value: level for factor, level in info.choices.items() if factor.value in part.__annotations__}


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
