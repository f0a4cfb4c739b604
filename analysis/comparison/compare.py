"""Two reports -> what was gained, lost, worsened, eased and moved between them, and whether that is a regression.

A regression is a worse verdict, or a finding gained or worsened at or over the severity of the gate. What else differs
between the two analyses is told beside it: findings come and go with the seed, the effort and the options as well.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Final

from analysis.clock import BUDGET_REACHED
from analysis.comparison.changes import TOLERANCE_DECADES, finding_changes
from analysis.comparison.document import (
    COMPARISON_VERSION,
    Change,
    Comparison,
    Difference,
    FindingChange,
    LayerChange,
    LayerChanges,
    LayerName,
    OldNew,
    RemedyChanges,
    Side,
    Trend,
    VerdictChange,
)
from analysis.comparison.excerpt import Excerpt, LayerExcerpt, StatsExcerpt
from analysis.comparison.match import Match, match_layers
from analysis.facts import Flow
from analysis.report import Report, Verdict
from analysis.report.gate import Gate

DEFAULT_GATE: Final = Gate()
ORDER: Final = (Verdict.HEALTHY, Verdict.AT_RISK, Verdict.UNHEALTHY)
"""Inconclusive stands beside these."""
HARMLESS: Final = frozenset(
    {"seed", "effort", "budget_seconds", "device", "clip_norm", "clip_value", "weight_decay", "variants", "without"}
)
"""Options that no finding depends on, or that the engine tells as well."""
LONGEST_SHOWN: Final = 40
UNTOLD: Final[frozenset[object]] = frozenset({"", None})
ASPECTS: Final[tuple[tuple[str, Callable[[Excerpt], object], bool], ...]] = (
    ("model.sha256", lambda report: report.model.sha256, False),
    ("batch.sha256", lambda report: report.batch.sha256, True),
    ("loss.name", lambda report: report.loss.name, True),
    ("engine.version", lambda report: report.engine.version, True),
    ("engine.effort", lambda report: report.engine.effort, True),
    ("engine.seed", lambda report: report.engine.seed, True),
    ("engine.precision", lambda report: report.engine.precision, False),
    ("engine.device", lambda report: report.engine.device, False),
    ("engine.torch", lambda report: report.engine.torch, False),
    ("engine.onnxruntime", lambda report: report.engine.onnxruntime, False),
)
"""What two analyses may differ in besides options, and whether findings can come and go by it alone."""


def compare(
    old: Report | Excerpt,
    new: Report | Excerpt,
    gate: Gate = DEFAULT_GATE,
    *,
    tolerance_decades: float = TOLERANCE_DECADES,
) -> Comparison:
    """What changed from the old report to the new one; no file or clock is read, so the same reports compare alike."""
    before, after = Excerpt.of(old), Excerpt.of(new)
    same_model = bool(before.model.sha256) and before.model.sha256 == after.model.sha256
    matches = match_layers(before.layers, after.layers, same_model=same_model)
    differences = tuple(_differences(before, after))
    verdict = VerdictChange(old=before.verdict, new=after.verdict, trend=_trend(before.verdict, after.verdict, gate))
    layers = {match.old.id: match.new.id for match in matches}
    changes = finding_changes(before, after, layers, gate, tolerance_decades)
    reasons = tuple(_reasons(verdict, changes))
    return Comparison(
        schema_version=COMPARISON_VERSION,
        regression=bool(reasons),
        fail_on=str(gate),
        reasons=reasons,
        summary=_summary(verdict, changes, reasons),
        verdict=verdict,
        same_model=same_model,
        comparable=not any(each.matters for each in differences),
        notes=tuple(_notes(before, after, differences)),
        old=_side(before),
        new=_side(after),
        differences=differences,
        findings=changes,
        numbers=_numbers(before, after),
        remedies=_remedies(before, after),
        layers=_layers(before, after, matches),
    )


def fails_beyond(comparison: Comparison, gate: Gate) -> bool:
    """Whether the new report fails a gate that accepts what the old one shows; never where the gate alone passes."""
    worse = comparison.verdict.trend is Trend.WORSE and gate.refuses(comparison.verdict.new)
    return worse or any(change.regression for change in comparison.findings)


# ------------------------------------------------------------------ verdict and words


def _trend(old: Verdict, new: Verdict, gate: Gate) -> Trend:
    """Too little evidence is worse only where the gate says so."""
    if old is new:
        return Trend.SAME
    if Verdict.INCONCLUSIVE in {old, new}:
        worse = new is Verdict.INCONCLUSIVE and gate.inconclusive and old is not Verdict.UNHEALTHY
        return Trend.WORSE if worse else Trend.UNKNOWN
    return Trend.WORSE if ORDER.index(new) > ORDER.index(old) else Trend.BETTER


def _reasons(verdict: VerdictChange, changes: Sequence[FindingChange]) -> Iterator[str]:
    if verdict.trend is Trend.WORSE:
        yield _verdict_words(verdict)
    for each in changes:
        if each.regression and each.new is not None:
            yield f"{each.rule} {each.name} {each.change.value} ({each.why or each.new.severity.value})"


def _verdict_words(verdict: VerdictChange) -> str:
    if verdict.trend is Trend.SAME:
        return f"the verdict stays {verdict.new.value}"
    return f"the verdict goes from {verdict.old.value} to {verdict.new.value}"


def _summary(verdict: VerdictChange, changes: Sequence[FindingChange], reasons: Sequence[str]) -> str:
    head = "Regression" if reasons else "No regression"
    counts = [(kind.value, sum(each.change is kind for each in changes)) for kind in Change]
    told = ", ".join(f"{count} {kind}" for kind, count in counts if count)
    return f"{head}: {_verdict_words(verdict)}; {f'findings: {told}' if told else 'no findings'}."


# ------------------------------------------------------------------ how far the reports are alike


def _differences(old: Excerpt, new: Excerpt) -> Iterator[Difference]:
    """What both reports tell, and tell differently."""
    for what, read, matters in ASPECTS:
        before, after = read(old), read(new)
        if before != after and UNTOLD.isdisjoint({before, after}):
            yield Difference(what=what, old=before, new=after, matters=matters)
    yield from _option_differences(old, new)


def _option_differences(old: Excerpt, new: Excerpt) -> Iterator[Difference]:
    """An older report does not tell its options, but its id follows from them."""
    if old.options is None or new.options is None:
        alike = all(read(old) == read(new) for _, read, _ in ASPECTS)
        if alike and old.id != new.id and old.id and new.id:
            yield Difference(what="options", matters=True)
        return
    for name in sorted((old.options.keys() | new.options.keys()) - {"seed", "effort"}):
        before, after = old.options.get(name), new.options.get(name)
        if before != after:
            yield Difference(what=f"options.{name}", old=before, new=after, matters=name not in HARMLESS)


def _notes(old: Excerpt, new: Excerpt, differences: Sequence[Difference]) -> Iterator[str]:
    matter = [_difference_words(each) for each in differences if each.matters]
    if matter:
        yield f"Findings may come and go for other reasons than the model: {', '.join(matter)}."
    for name, report in (("old", old), ("new", new)):
        cut = [item.what for item in report.left_out if item.why == BUDGET_REACHED]
        if cut:
            more = f" and {len(cut) - 1} more" if len(cut) > 1 else ""
            yield f"The {name} report was cut by its budget: {cut[0]}{more} not done."


def _difference_words(difference: Difference) -> str:
    if difference.old is None and difference.new is None:
        return f"{difference.what} differ"
    return f"{difference.what} {_short(difference.old)}, now {_short(difference.new)}"


def _short(value: Any) -> str:
    text = "the default" if value is None else str(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def _side(report: Excerpt) -> Side:
    return Side(
        id=report.id,
        model=report.model.name,
        model_sha256=report.model.sha256,
        batch_sha256=report.batch.sha256,
        version=report.engine.version,
        effort=report.engine.effort,
        seed=report.engine.seed,
        zone=report.gradient_flow.zone.value,
    )


# ------------------------------------------------------------------ numbers, remedies, layers


def _numbers(old: Excerpt, new: Excerpt) -> dict[str, OldNew]:
    before, after = dict(_numbers_of(old)), dict(_numbers_of(new))
    return {name: OldNew(old=before.get(name), new=after.get(name)) for name in {**before, **after}}


def _numbers_of(report: Excerpt) -> Iterator[tuple[str, float]]:
    flow = report.gradient_flow
    for field in fields(Flow):
        value = getattr(flow, field.name)
        if isinstance(value, float):
            yield f"gradient_flow.{field.name}", value
    if flow.leverage_log10 is not None:
        yield "gradient_flow.leverage_log10.least", flow.leverage_log10.least
        yield "gradient_flow.leverage_log10.largest", flow.leverage_log10.largest
    for name, number in (("loss.value", report.loss.value), ("loss.chance", report.loss.chance)):
        if number is not None:
            yield name, number
    probe = None if report.baseline is None else report.baseline.probe
    if probe is not None and probe.best_loss_over_chance is not None:
        yield "probe.best_loss_over_chance", probe.best_loss_over_chance


def _remedies(old: Excerpt, new: Excerpt) -> RemedyChanges:
    before, after = ([remedy.variant for remedy in report.remedies] for report in (old, new))
    known, still = set(before), set(after)
    return RemedyChanges(
        gained=tuple(name for name in after if name not in known),
        lost=tuple(name for name in before if name not in still),
        kept=tuple(name for name in after if name in known),
    )


def _layers(old: Excerpt, new: Excerpt, matches: Sequence[Match]) -> LayerChanges:
    here, there = _stats(old), _stats(new)
    known, still = {match.new.id for match in matches}, {match.old.id for match in matches}
    return LayerChanges(
        matched=tuple(_layer(match, here.get(match.old.id), there.get(match.new.id)) for match in matches),
        gained=tuple(_name(layer) for layer in new.layers if layer.id not in known),
        lost=tuple(_name(layer) for layer in old.layers if layer.id not in still),
    )


def _stats(report: Excerpt) -> dict[str, StatsExcerpt]:
    baseline = report.baseline
    return {} if baseline is None else {each.id: each for each in baseline.layers or ()}


def _layer(match: Match, old: StatsExcerpt | None, new: StatsExcerpt | None) -> LayerChange:
    before, after = old or StatsExcerpt(id=match.old.id), new or StatsExcerpt(id=match.new.id)
    return LayerChange(
        old=_name(match.old),
        new=_name(match.new),
        matched_by=match.by,
        resized=match.resized,
        leverage_log10=_both(before.leverage_log10, after.leverage_log10),
        update_ratio=_both(before.update_ratio, after.update_ratio),
    )


def _both(old: float | None, new: float | None) -> OldNew | None:
    return None if old is None and new is None else OldNew(old=old, new=new)


def _name(layer: LayerExcerpt) -> LayerName:
    return LayerName(id=layer.id, name=layer.name)
