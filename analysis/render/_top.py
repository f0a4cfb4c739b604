"""The first screen: what the gradient does, what the loss does, how sure it is, and the sentence that explains both.

Three tiles say before and after in the same three numbers that the tables below repeat; each names the measure and the
training that it comes from, because a loss after 20 steps on one batch is not one after 200 steps on minibatches.
"""

import math
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from analysis.diagnosis.brief import OF_TIME, Brief
from analysis.diagnosis.root import root_cause
from analysis.facts import Confidence, ParityStatus, Probe, ProbeKind, Zone
from analysis.render._excerpts import worst_first
from analysis.render._numbers import loss_of, power_of_ten, signed_number, times
from analysis.report import Remedy, Report, Variant, Verdict

MADE_UP: Final = frozenset({"inputs are synthetic", "targets are synthetic"})
"""Notes that repeat where inputs and targets come from."""
TONES: Final = {Zone.RED: "error", Zone.GREY: "warning", Zone.GREEN: "healthy", Zone.UNKNOWN: "info"}


@dataclass(frozen=True, slots=True)
class Tile:
    """One number, before and after, in digits and in words."""

    title: str
    before: Markup
    after: Markup | None
    words: str
    note: str | Markup
    tone: str
    """Class of the left edge."""


@dataclass(frozen=True, slots=True)
class Top:
    """What stands over the first drawing."""

    tiles: tuple[Tile, ...]
    cause: str
    """One sentence."""
    more: str
    """What the brief adds to it."""
    best: Variant | None
    """The network with the one change."""
    notes: tuple[str, ...]
    """About the batch, how the output was read, and the translation, where they matter."""


def top_of(report: Report, brief: Brief) -> Top:
    """The first screen of a report."""
    best = best_remedy(report)
    cause, more = _split(report, brief)
    return Top(
        tiles=(
            _time_tile(report, best) or _flow_tile(report, best),
            _loss_tile(report, best),
            _confidence_tile(report, brief),
        ),
        cause=cause,
        more=more,
        best=None if best is None else variant_of(report, best.variant),
        notes=_notes(report, brief),
    )


def _notes(report: Report, brief: Brief) -> tuple[str, ...]:
    """Each once: a batch that was made up is told of in a sentence, and the detail of the translation with it."""
    parity = _parity(report)
    own = [each for each in report.batch.notes if each not in parity and not (brief.batch and each in MADE_UP)]
    return tuple(filter(None, (brief.batch, brief.reading, parity, *own)))


def best_remedy(report: Report) -> Remedy | None:
    """The one change to make: none for the healthy."""
    ill = report.verdict in {Verdict.UNHEALTHY, Verdict.AT_RISK}
    return report.remedies[0] if report.remedies and ill else None


def variant_of(report: Report, name: str) -> Variant | None:
    """By its id."""
    return next((each for each in report.variants if each.id == name), None)


def training_words(probe: Probe) -> str:
    """Which training a loss comes from: 20 steps on one batch of 64 samples."""
    if probe.held_out:
        trained = probe.samples - probe.held_out
        return f"{probe.steps} steps on {trained} samples, judged by {probe.held_out} others"
    where = "minibatches of" if probe.kind is ProbeKind.LEARNING else "one batch of"
    return f"{probe.steps} steps on {where} {probe.minibatch} samples"


def _split(report: Report, brief: Brief) -> tuple[str, str]:
    """The sentence that names the cause, and the rest of what is said of it."""
    root = root_cause(report.findings)
    if root is not None and brief.cause.startswith(root.message):
        return root.message, brief.cause.removeprefix(root.message).strip()
    return brief.cause, ""


# ------------------------------------------------------------------ tiles


def _flow_tile(report: Report, best: Remedy | None) -> Tile:
    flow = report.gradient_flow
    said = _compared(flow.decades_rms)
    if best is not None and best.after.decades_rms is not None:
        said = f"{said}; after the change {times(best.after.decades_rms)}"
    after = None if best is None else best.after.decades_norm
    note: str | Markup = flow.absent.get("decades_rms", "")
    if flow.decades_norm is not None:
        arrow = Markup(" \N{RIGHTWARDS ARROW} {}").format(signed_number(after)) if after is not None else Markup("")
        note = Markup("By RMS of elements; by norm of tensors {}{}.").format(signed_number(flow.decades_norm), arrow)
    return Tile(
        title="Gradient flow",
        before=power_of_ten(flow.decades_rms),
        after=None if best is None or best.after.decades_rms is None else power_of_ten(best.after.decades_rms),
        words=said,
        note=note,
        tone=TONES[flow.zone],
    )


def _time_tile(report: Report, best: Remedy | None) -> Tile | None:
    """The way back through time, where that is the cause; what a change does to it is not measured."""
    root = root_cause(report.findings)
    if root is None or root.rule not in OF_TIME or not report.through_time:
        return None
    chain = report.through_time[0]
    faded = chain.memory_decades if root.rule == "GH401" and chain.memory_decades is not None else chain.growth_decades
    where = "at its peak" if faded is chain.memory_decades else "at the last step"
    step = chain.informative_step if faded is chain.memory_decades else 0
    return Tile(
        title="Gradient through time",
        before=power_of_ten(faded),
        after=None,
        words=f"{times(faded)} at step {step} of {len(chain.gradient_log10)} than {where}",
        note=_by_depth(report, best),
        tone=root.severity.value,
    )


def _by_depth(report: Report, best: Remedy | None) -> Markup:
    """The flow in a line, where another number has its tile."""
    after = None if best is None else best.after.decades_rms
    arrow = Markup(" \N{RIGHTWARDS ARROW} {}").format(signed_number(after)) if after is not None else Markup("")
    return Markup("By depth, from the logits to the first layer: {} decades{}.").format(
        signed_number(report.gradient_flow.decades_rms), arrow
    )


def _compared(decades: float | None) -> str:
    """How much arrives at the first layer beside the logits; of what is no number only that."""
    words = times(decades)
    if decades is None or not math.isfinite(decades):
        return words
    return f"{words} at the first layer {'as' if words.endswith('large') else 'than'} at the logits"


def _loss_tile(report: Report, best: Remedy | None) -> Tile:
    """In one and the same training before and after; of a network without remedy in its own."""
    probe = report.variants[0].probe
    treated = None if best is None else variant_of(report, best.variant)
    if best is not None and best.proof.unchanged is not None and treated is not None and treated.probe is not None:
        seeds = "one seed" if best.proof.seeds == 1 else f"the worst of {best.proof.seeds} seeds"
        return Tile(
            title="Loss over chance",
            before=loss_of(best.proof.unchanged),
            after=loss_of(best.proof.worst),
            words="1 is the best constant answer, 0 is perfect",
            note=f"Both after {training_words(treated.probe)}; {seeds}.",
            tone=_loss_tone(report, probe),
        )
    return Tile(
        title="Loss over chance",
        before=loss_of(None if probe is None else probe.best_loss_over_chance),
        after=None,
        words="1 is the best constant answer, 0 is perfect",
        note="Not trained." if probe is None else f"After {training_words(probe)}.",
        tone=_loss_tone(report, probe),
    )


def _loss_tone(report: Report, probe: Probe | None) -> str:
    """As bad as what is found about the training."""
    if probe is None:
        return "info"
    worst = worst_first([each for each in report.findings if each.rule == "GH105"])
    return worst[0].severity.value if worst else "healthy"


def _confidence_tile(report: Report, brief: Brief) -> Tile:
    root = root_cause(report.findings)
    sure = root.confidence.value if root is not None else _healthy_confidence(report)
    return Tile(
        title="Confidence",
        before=Markup("{}").format(sure),
        after=None,
        words=brief.certainty.partition(". ")[0].rstrip("."),
        note=brief.certainty.partition(". ")[2],
        tone={"high": "healthy", "medium": "info"}.get(sure, "warning"),
    )


def _healthy_confidence(report: Report) -> str:
    """Of a network without a finding that accuses: trained is sure, looked at only is less; never over the cap."""
    if report.verdict is Verdict.INCONCLUSIVE:
        return "none"
    sure = Confidence.MEDIUM if report.variants[0].probe is None else Confidence.HIGH
    return min(sure, report.confidence_cap, key=list(Confidence).index).value


def _parity(report: Report) -> str:
    parity = report.parity
    if parity is None:
        return "The translation to torch was not checked against onnxruntime."
    if parity.status is ParityStatus.EQUAL:
        return ""
    said = parity.status.value.replace("_", " ")
    return f"Translation to torch against {parity.reference}: {said}{': ' * bool(parity.detail)}{parity.detail}"
