"""The recipe in words: verdict, cause, the one change to make, what it moved, what it costs, how sure.

These are the words of the report's summary, of the terminal and of the page; nobody words them again.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from analysis.diagnosis.made_up import FOLDED
from analysis.diagnosis.root import root_cause, serious
from analysis.diagnosis.unproven import unproven, why_untrained
from analysis.diagnosis.words import loss_words
from analysis.facts import (
    ENOUGH_HELD_OUT,
    LOOKS_TRAINED,
    Flow,
    Outcome,
    ParityStatus,
    Probe,
    ProbeKind,
    Provenance,
    ValueFacts,
    Zone,
)
from analysis.options import LossName
from analysis.report import Finding, Remedy, Report, Severity, Verdict
from analysis.report.parts import AdviceKind, Decades, RuledOut

OF_TIME: Final = frozenset({"GH401", "GH402"})
"""Rules about the way back through time, which the flow by depth says nothing of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """Sentences; empty where there is nothing to say."""

    verdict: str
    """In one word, and how many findings there are."""
    reading: str
    """How the output was read by the loss; of reports that tell it, where there is an activation to be read past."""
    batch: str
    """Where the inputs were made up: what could not be judged on them, and what to send instead."""
    cause: str
    first: str
    """What leaves the network as it is and was proven to help: to be tried before the change."""
    change: str
    """The one change to make: the best remedy, or what is known where none was proven."""
    moved: str
    """What the change did, from before to after."""
    cost: str
    certainty: str
    """How far cause and change may be believed, and why."""

    @property
    def summary(self) -> str:
        """What it was measured on where nobody sent a batch; what is wrong, what was proven to help, by how much."""
        return " ".join(filter(None, (self.batch, self.cause, self.first, self.change, self.moved, self.reading)))


def brief_of(report: Report) -> Brief:
    """The recipe of a report; its `summary` is not read."""
    ill = report.verdict in {Verdict.UNHEALTHY, Verdict.AT_RISK}
    best = report.remedies[0] if report.remedies and ill else None
    root = root_cause(report.findings)
    return Brief(
        verdict=_verdict(report),
        reading=report.outputs.reading if report.outputs is not None and report.outputs.link else "",
        batch=_batch(report) if is_made_up(report) else "",
        cause=_cause(report, root),
        first=" ".join(card.words for card in report.advice if card.kind is not AdviceKind.WEIGHT_DECAY),
        change=best.recipe if best is not None else unproven(report, root) if ill else "",
        moved="" if best is None else _moved(best),
        cost="" if best is None else _cost(best),
        certainty=" ".join(_certainty(report, root, best)),
    )


def is_made_up(report: Report) -> bool:
    """Whether nobody sent a batch."""
    return report.batch.provenance == Provenance.SYNTHETIC.value


# ------------------------------------------------------------------ the batch


def _batch(report: Report) -> str:
    """What is not judged on made-up inputs, and what to send."""
    judged = "The batch was made up: the scale of the inputs is not judged on it, and what the network should learn is"
    judged += " unknown."
    if LOOKS_TRAINED in report.model.notes:
        judged = (
            "The batch was made up, and these weights look trained on another: units, inputs, outputs and what can be"
            " learnt are not judged, and what is found all the same counts for less."
        )
    inputs = ", ".join(f"{value.name} {value.dtype}{_shape(value)}" for value in report.model.inputs)
    return f"{judged} For sure statements send your own, npz with {inputs} and target."


def _shape(value: ValueFacts) -> str:
    return (
        "" if value.shape is None else f" [{', '.join('any' if size is None else str(size) for size in value.shape)}]"
    )


# ------------------------------------------------------------------ verdict and cause


def _verdict(report: Report) -> str:
    counts = [
        (sum(finding.severity is severity for finding in report.findings), word)
        for severity, word in ((Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.INFO, "remark"))
    ]
    said = ", ".join(f"{count} {word}{'s' * (count > 1)}" for count, word in counts if count)
    return f"{report.verdict.value.replace('_', ' ')}{': ' * bool(said)}{said}"


def _cause(report: Report, root: Finding | None) -> str:
    flow = report.gradient_flow
    if report.verdict is Verdict.HEALTHY:
        return f"No gradient-flow problem found.{_excused(report)}{_own_loss(report)}"
    if report.verdict is Verdict.INCONCLUSIVE:
        if flow.decades_rms is None:
            why = "; ".join(filter(None, (flow.absent.get("decades_rms"), why_untrained(report))))
            return f"Neither gradient flow nor a training probe could be measured{': ' * bool(why)}{why}."
        if report.loss.name == LossName.GRAPH:
            return f"Gradients flow; the graph ends in its own loss, and it was not trained: {why_untrained(report)}."
        return "The random directions disagree about the flow of gradients, and no training probe was run to decide."
    if root is None:
        return "The flow of gradients is out of its usual range and no training probe was run to decide."
    way = _time_words(report) if root.rule in OF_TIME else _flow_words(flow)
    shown = f"{_first_broken(report)}{_own_loss(report)}{way}"
    if root.rule == FOLDED and report.unfolded is not None:
        learnt = f"{report.unfolded.best_loss_over_chance:.2f}"
        shown = f" With it put back the network learns ({learnt} of chance), as it stands it does not."
    return f"{root.message}{shown}{_others(report.findings, root)}{_ruled_out(report)}"


def _own_loss(report: Report) -> str:
    """From where to where the graph's own loss came, with the best run of each optimiser."""
    own = report.own_loss
    if own is None:
        return ""
    best = filter(None, (own.best(name) for name in dict.fromkeys(run.optimizer for run in own.runs)))
    ends = ", ".join(f"{run.end * own.unit:.3g} with {run.optimizer} {run.learning_rate:g}" for run in best)
    return f" The graph's own loss went from {own.start:.3g} to {ends or 'no number'} in {own.steps} steps."


def _first_broken(report: Report) -> str:
    """The node and the operation that make the first NaN or infinity."""
    broken = report.variants[0].non_finite if report.variants else None
    if broken is None:
        return ""
    if broken.stage == "backward":
        through = f", behind {broken.operator}" if broken.operator else ""
        return f" The first is the gradient of {broken.value} (node {broken.node}){through}."
    operator = f" ({broken.operator})" if broken.operator else ""
    return f" The first is at node {broken.node}{operator}, {broken.stage}: value {broken.value}."


def _excused(report: Report) -> str:
    """What is seen of the flow of trained weights on made-up inputs, and is no finding; a training would decide."""
    flow = report.gradient_flow
    if report.variants[0].probe is not None or flow.decades_rms is None or flow.zone in {Zone.GREEN, Zone.UNKNOWN}:
        return ""
    seen = f"Its {flow.decades_rms:+.1f} decades are out of the healthy range"
    return f" {seen}, which says little of trained weights on made-up inputs."


def _flow_words(flow: Flow) -> str:
    if flow.decades_rms is None or math.isnan(flow.decades_rms) or abs(flow.decades_rms) < 1:
        return ""
    if not math.isfinite(flow.decades_rms):
        arrives = "No gradient arrives" if flow.decades_rms < 0 else "An infinite gradient arrives"
        return f" {arrives} at the first layer."
    verb = "loses" if flow.decades_rms < 0 else "gains"
    each = f" ({abs(flow.decades_per_layer):.2g} a layer)" if flow.decades_per_layer else ""
    return f" From the logits back to the first layer the gradient {verb} {abs(flow.decades_rms):.1f} decades{each}."


def _time_words(report: Report) -> str:
    """The way back through the steps of the bottom recurrent layer, where that is what is ill."""
    chain = report.through_time[0] if report.through_time else None
    if chain is None:
        return _flow_words(report.gradient_flow)
    steps, said = len(chain.gradient_log10), ""
    if chain.informative_step is not None and chain.memory_decades is not None:
        lost = abs(chain.memory_decades)
        told = (
            f"the gradient there is {lost:.1f} decades below its peak" if math.isfinite(lost) else "no gradient arrives"
        )
        said = f" Step {chain.informative_step} of {steps} tells most about the label; {told}."
    elif chain.growth_decades is not None and math.isfinite(chain.growth_decades):
        verb = "loses" if chain.growth_decades < 0 else "gains"
        said = f" Back through {steps} steps the gradient {verb} {abs(chain.growth_decades):.1f} decades."
    if chain.horizon_steps is not None and chain.horizon_steps < steps - 1:
        said += f" It stays over 1 % of its peak for {chain.horizon_steps} steps back from the last."
    return said


def _ruled_out(report: Report) -> str:
    """What was looked for in vain, and the rates that were tried."""
    probe = report.variants[0].probe if report.variants else None
    if not report.ruled_out or probe is None:
        return ""
    names = ", ".join(f"{each.name} ({_numbers(each)})" for each in report.ruled_out)
    tried = ", ".join(_rates(name, probe) for name in dict.fromkeys(run.optimizer for run in probe.runs))
    return f" Ruled out: {names}. Tried in vain: {tried}."


def _numbers(each: RuledOut) -> str:
    return ", ".join(f"{name} {found.value:.3g}, limit {found.threshold:g}" for name, found in each.evidence.items())


def _rates(optimizer: str, probe: Probe) -> str:
    rates = sorted({run.learning_rate for run in probe.runs if run.optimizer == optimizer})
    return f"{optimizer} at {' and '.join(f'{rate:g}' for rate in rates)}"


def _others(findings: Sequence[Finding], root: Finding) -> str:
    """What the root does not explain."""
    apart = [each for each in serious(findings) if each.rule != root.rule and root.rule not in each.caused_by]
    names = list(dict.fromkeys(finding.name for finding in apart))
    return f" Also found: {', '.join(names)}." if names else ""


# ------------------------------------------------------------------ the change, its effect, its cost


def _moved(remedy: Remedy) -> str:
    proof, flow = remedy.proof, ""
    before, after = _decades(remedy.before), _decades(remedy.after)
    if before and after:
        flow = f"Gradient flow from {before} to {after} decades; "
    unchanged = "" if proof.unchanged is None else f" from {loss_words(proof.unchanged)}"
    loss = f"loss after a short training{unchanged} to {loss_words(proof.worst)} of chance ({_worst_of(proof.seeds)})."
    return flow + loss if flow else loss[0].upper() + loss[1:]


def _worst_of(seeds: int) -> str:
    return "one seed" if seeds == 1 else f"worst of {seeds} seeds"


def _decades(flow: Decades) -> str:
    if flow.decades_rms is None or math.isnan(flow.decades_rms):
        return ""
    if math.isinf(flow.decades_rms):
        return "no gradient" if flow.decades_rms < 0 else "an infinite one"
    return f"{flow.decades_rms:+.1f}"


def _cost(remedy: Remedy) -> str:
    effect = "the outputs stay as they are"
    if remedy.destructive:
        effect = "weights that look trained are lost: train anew"
    elif remedy.changes_function:
        effect = "the network computes another function: train anew"
    elif remedy.training_only:
        effect = "the graph stays as it is"
    whole = "; ".join(filter(None, (remedy.cost, effect)))
    return f"{whole[0].upper()}{whole[1:]}."


# ------------------------------------------------------------------ how sure


def _certainty(report: Report, root: Finding | None, best: Remedy | None) -> Iterator[str]:
    if root is not None:
        yield f"Cause: {root.confidence.value} confidence ({root.rule} {root.name})."
    if best is not None:
        yield from _proof(best, next((each.probe for each in report.variants if each.id == best.variant), None))
    elif report.verdict is Verdict.HEALTHY:
        yield _unchanged(report)
    if report.parity is not None and report.parity.status is not ParityStatus.EQUAL:
        yield f"Translation to torch against onnxruntime: {report.parity.status.value.replace('_', ' ')}."


def _proof(remedy: Remedy, probe: Probe | None) -> Iterator[str]:
    proof = remedy.proof
    ends = f"{loss_words(proof.best_loss_over_chance)} to {loss_words(proof.worst)} of chance"
    seeds = "its one seed" if proof.seeds == 1 else f"all {proof.seeds} seeds"
    if probe is not None and not any(run.outcome is Outcome.LEARNT for run in probe.runs):
        yield f"Change: slow to learn one batch ({ends}), learnt from minibatches in time."
    else:
        yield f"Change: learnt with {seeds} ({ends}){', and from minibatches' if proof.learns else ''}."
    if proof.evaluated is not None:
        yield f"In eval mode, by running statistics, it came to {loss_words(proof.evaluated)} of chance."
    if probe is not None:
        yield _kind(probe)
    if remedy.equivalent_to:
        yield f"As good, within the spread of seeds: {', '.join(remedy.equivalent_to)}."


def _unchanged(report: Report) -> str:
    probe = report.variants[0].probe
    if probe is None and report.own_loss is not None:
        return "Its own loss came down in a short training; how far it can come down is unknown."
    if probe is None:
        return "By its gradient flow alone: it was not trained."
    learnt = "learnt" if any(run.outcome is Outcome.LEARNT for run in probe.runs) else "did not learn"
    seeds = _worst_of(len({run.seed for run in probe.runs}))
    loss = loss_words(probe.best_loss_over_chance)
    return f"It {learnt} in a short training: {loss} of chance ({seeds}). {_kind(probe)}"


def _kind(probe: Probe) -> str:
    if probe.held_out:
        trained = probe.samples - probe.held_out
        told = f"{probe.steps} steps on {trained} samples, the loss is that of {probe.held_out} it was not trained on."
        more = probe.samples * ENOUGH_HELD_OUT // probe.held_out
        return told if probe.held_out >= ENOUGH_HELD_OUT else f"{told} So few may mislead: send {more} samples or more."
    if probe.kind is ProbeKind.LEARNING:
        return f"{probe.steps} steps on {probe.samples} samples show learning; not generalisation."
    shows = "memorising, which ranks treatments; not generalisation"
    return f"{probe.steps} steps on one batch of {min(probe.minibatch, probe.samples)} samples show {shows}."
