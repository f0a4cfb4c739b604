"""The numbers of a report, flat: what a metrics format or an experiment tracker takes.

Nothing is computed here: each number is that of the report, under the name of where it stands there. What was not
measured is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Final

from analysis.report.document import Report, Variant
from analysis.report.parts import keyed

BASELINE: Final = "baseline"


@dataclass(frozen=True, slots=True)
class Number:
    """One number."""

    name: str
    """In snake case: layer_weight_gradient_norm."""
    place: str
    """In the report: variants[baseline].layers[].weight_gradient.norm."""
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    """Which one: layer, variant, rule, stage ..."""


def numbers_of(report: Report) -> Iterator[Number]:
    """Of the network, its findings, its layers, the variants that were proven to help, and the time it took."""
    yield from _network(report)
    yield from _findings(report)
    yield from _layers(report)
    yield from _variants(report)
    for remedy in report.remedies:
        yield Number("remedy_rank", "remedies[].rank", remedy.rank, {"variant": remedy.variant})
    for stage, seconds in report.timings_seconds.items():
        yield Number("stage_seconds", f"timings_seconds.{stage}", seconds, {"stage": stage})


def _network(report: Report) -> Iterator[Number]:
    yield Number("model_size_bytes", "model.size_bytes", report.model.size_bytes)
    yield Number("parameters_trainable", "model.parameters.trainable", report.model.parameters.trainable)
    yield from _flat("flow", "gradient_flow", report.gradient_flow)
    yield from _flat("loss", "loss", report.loss)


def _findings(report: Report) -> Iterator[Number]:
    """Evidence and limits; `finding` tells several findings of one rule apart."""
    for key, finding in keyed(report.findings):
        labels = {"finding": key, "rule": finding.rule, "name": finding.name}
        labels["severity"] = finding.severity.value
        for name, evidence in finding.evidence.items():
            said = {**labels, "evidence": name}
            yield Number("finding_value", "findings[].evidence[].value", evidence.value, said)
            yield Number("finding_threshold", "findings[].evidence[].threshold", evidence.threshold, said)


def _layers(report: Report) -> Iterator[Number]:
    """Of the unchanged model, in the order of its layers."""
    names = {layer.id: layer.name for layer in report.layers}
    for stats in report.variants[0].layers or ():
        labels = {"layer": stats.id, "name": names.get(stats.id, "")}
        yield from _flat("layer", f"variants[{BASELINE}].layers[]", stats, labels)


def _variants(report: Report) -> Iterator[Number]:
    """Of the unchanged model and of remedies."""
    told = {BASELINE, *(remedy.variant for remedy in report.remedies)}
    for variant in report.variants:
        if variant.id in told:
            yield from _variant(variant)


def _variant(variant: Variant) -> Iterator[Number]:
    labels, whole = {"variant": variant.id}, variant.measurement
    flow = None if whole is None else whole.gradient_flow
    stated = {
        "loss": ("measurement.loss", whole and whole.loss),
        "flow_decades_rms": ("measurement.gradient_flow.decades_rms", flow and flow.decades_rms),
        "flow_decades_norm": ("measurement.gradient_flow.decades_norm", flow and flow.decades_norm),
        "loss_over_chance": ("probe.best_loss_over_chance", variant.probe and variant.probe.best_loss_over_chance),
    }
    for name, (place, value) in stated.items():
        if isinstance(value, float):
            yield Number(f"variant_{name}", f"variants[].{place}", value, labels)


def _flat(name: str, place: str, facts: object, labels: Mapping[str, str] | None = None) -> Iterator[Number]:
    """The numbers of a fact and of the facts in it."""
    assert is_dataclass(facts)
    for each in fields(facts):
        value, path = getattr(facts, each.name), f"{place}.{each.name}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield Number(f"{name}_{each.name}", path, value, labels or {})
        elif is_dataclass(value):
            yield from _flat(f"{name}_{each.name}", path, value, labels)
