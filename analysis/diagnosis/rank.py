"""Which treatments are worth a training, and which have proven themselves.

Every treatment is measured; the most promising are trained for a few steps. Promising: not red, and a low static
composite (`static8`, smaller is better, fitted on 705 trained repairs). Proven: in the worst seed the loss falls
clearly under what the unchanged model reaches, and given time and minibatches the best one learns; or it was slow, and
learns from minibatches. Of those that are equally good the smallest change comes first, and what redraws trained
weights last, where SGD does not train them at any rate. A remedy that adds a new error-level finding is refused.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from analysis.diagnosis.score import HOPELESS, memory, static8
from analysis.diagnosis.snippet import training_snippet
from analysis.facts import Effect, Flow, Measurement, Outcome, Probe, Run, VariantInfo, Zone
from analysis.facts.zones import zone
from analysis.report import Finding, Remedy, Severity, Verdict
from analysis.report.parts import Decades, Proof

STATIC_WEIGHT: Final = 0.15
PROVEN: Final = 0.9
"""A remedy's worst seed must fall under this share of what the unchanged model reaches."""
FORGOTTEN: Final = -5.0
"""Decades of memory from which one in twenty recurrent networks trains."""
BLOWN_UP: Final = 2.0
"""Over chance: nothing an optimiser comes to counts for more."""
EQUIVALENT: Final = 0.02
"""Scores closer than this are equal even if the seeds agree better."""
AS_GOOD: Final = 0.05
"""Scores further apart than this are not, whatever the seeds say, where the smaller change is to come first."""
EFFECTS: Final = (Effect.PRESERVES_OUTPUT, Effect.TRAINING_ONLY, Effect.CHANGES_FUNCTION)
"""From the mildest."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A measured variant, as ranking sees it."""

    info: VariantInfo
    measurement: Measurement
    findings: tuple[Finding, ...]


def shortlist(verdict: Verdict, trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """Treatments worth a training, best first: none that is red or non-finite, and none for the healthy.

    Of a variant and the same with a gradient step, which look alike before training, one place is taken: by the clipped
    one in recurrent networks, where steps explode, by the plain one elsewhere.
    """
    if verdict is Verdict.HEALTHY:
        return ()
    hopeful = [trial for trial in trials if _is_hopeful(trial)]
    chosen: dict[str, Trial] = {}
    for trial in sorted(hopeful, key=lambda trial: (static8(trial.measurement), _comes_second(trial), trial.info.id)):
        chosen.setdefault(trial.info.plain, trial)
    return tuple(chosen.values())


def _is_hopeful(trial: Trial) -> bool:
    """Worth a training: in the range, in reach of what has to be remembered, and not only a gradient step."""
    red = zone(trial.measurement.flow) is Zone.RED or trial.measurement.non_finite is not None
    return not red and memory(trial.measurement) > FORGOTTEN and trial.info.effect is not Effect.TRAINING_ONLY


def _comes_second(trial: Trial) -> bool:
    """Of a variant with a gradient step and the same without: whether it is the one that waits for the other.

    In recurrent networks, where steps explode, that is the plain one; elsewhere it is the one with the step.
    """
    return trial.info.has_step is not trial.measurement.recurrent


def rank(
    baseline: Measurement, unchanged: Probe | None, trials: Sequence[Trial], known: Sequence[Finding]
) -> tuple[Remedy, ...]:
    """Proven remedies, best first, with those that cannot be told apart.

    `unchanged` is the same training of the unchanged model. Where that learns with Adam alone, only what plain
    gradient descent makes of a remedy counts: by Adam's loss there is nothing to mend.
    """
    if unchanged is None:
        return ()
    if baseline.probe is not None and baseline.probe.fails_sgd_alone:
        unchanged, trials = _under_sgd(unchanged), [_trial_under_sgd(trial) for trial in trials]
    before = {finding.rule for finding in known if finding.severity is Severity.ERROR}
    proven = [
        trial
        for trial in trials
        if _is_proven(trial, unchanged) and not _adds_error(trial, before) and may_redraw(trial, baseline.probe)
    ]
    proven = _smallest_change_first(proven)
    return tuple(
        _remedy(place, trial, baseline, unchanged, _equivalent(trial, proven)) for place, trial in enumerate(proven, 1)
    )


def may_redraw(trial: Trial, unchanged: Probe | None) -> bool:
    """Whether nothing trained is lost, or plain gradient descent was searched through and does not train it."""
    searched = unchanged is not None and not unchanged.unfinished and not unchanged.learns("sgd")
    return searched or not trial.info.destructive


def _smallest_change_first(proven: Sequence[Trial]) -> list[Trial]:
    """Best first; of those as good as the best one left, what changes least. Last what redraws trained weights.

    What got fewer seeds than others, as hopeless beside one of them, comes behind those.
    """
    left = sorted(
        proven,
        key=lambda trial: (trial.info.destructive, not trial.info.learns, -_seeds(trial), score(trial), trial.info.id),
    )
    ordered: list[Trial] = []
    while left:
        alike = [trial is left[0] or _is_as_good(trial, left[0]) for trial in left]
        ordered += sorted(itertools.compress(left, alike), key=edit_cost)
        left = [trial for trial, chosen in zip(left, alike, strict=True) if not chosen]
    return ordered


def _is_as_good(trial: Trial, best: Trial) -> bool:
    """Within the spread of the best one's seeds, or a little; as well confirmed, and as little lost."""
    said = [(each.info.destructive, each.info.learns, _seeds(each)) for each in (trial, best)]
    return said[0] == said[1] and score(trial) - score(best) <= min(_spread(best), AS_GOOD)


def _seeds(trial: Trial) -> int:
    assert trial.measurement.probe is not None
    return len({run.seed for run in trial.measurement.probe.runs})


def edit_cost(trial: Trial) -> tuple[int, int, int, float, str]:
    """How much a treatment changes: what the network computes, in how many ways, how many weights; then its score."""
    info = trial.info
    effect = 0 if info.effect is None else EFFECTS.index(info.effect)
    return effect, len(info.choices), info.redrawn, score(trial), info.id


def score(trial: Trial) -> float:
    """Worst seed of the probe, over optimisers, plus a little of the static composite; smaller is better.

    Never infinite: of two that are as ill as can be each is as good as the other.
    """
    assert trial.measurement.probe is not None
    return max(_over_optimizers(trial.measurement.probe)) + STATIC_WEIGHT * min(static8(trial.measurement), HOPELESS)


def _over_optimizers(probe: Probe) -> list[float]:
    """Of each seed the mean over optimisers of the best each comes to: what only Adam can train is half a cure."""
    means = []
    for seed in seed_scores(probe):
        best: dict[str, float] = {}
        for run in probe.runs:
            if run.seed == seed:
                best[run.optimizer] = min(best.get(run.optimizer, BLOWN_UP), run.end)
        means.append(sum(best.values()) / len(best))
    return means


def seed_scores(probe: Probe) -> Mapping[int, float]:
    """Best loss over chance of each seed."""
    ends = [(run.seed, run.end) for run in probe.runs]
    return {seed: min(loss for other, loss in ends if other == seed) for seed, _ in ends}


def _under_sgd(probe: Probe) -> Probe:
    """The same training without the other optimisers."""
    only = replace(probe, runs=tuple(run for run in probe.runs if run.optimizer == "sgd"))
    return replace(only, best_loss_over_chance=max(seed_scores(only).values()))


def _trial_under_sgd(trial: Trial) -> Trial:
    probe = trial.measurement.probe
    return trial if probe is None else replace(trial, measurement=replace(trial.measurement, probe=_under_sgd(probe)))


def _is_proven(trial: Trial, unchanged: Probe) -> bool:
    probe = trial.measurement.probe
    if probe is None or trial.info.learns is not None:
        return trial.info.learns is True
    learns = all(
        any(run.outcome is Outcome.LEARNT for run in probe.runs if run.seed == seed) for seed in seed_scores(probe)
    )
    return learns and probe.best_loss_over_chance < PROVEN * min(unchanged.best_loss_over_chance, 1.0)


def _adds_error(trial: Trial, before: set[str]) -> bool:
    return any(finding.severity is Severity.ERROR and finding.rule not in before for finding in trial.findings)


def _equivalent(trial: Trial, proven: Sequence[Trial]) -> tuple[str, ...]:
    """Others within the spread between seeds."""
    spread = _spread(trial)
    return tuple(other.info.id for other in proven if other is not trial and abs(score(other) - score(trial)) <= spread)


def _spread(trial: Trial) -> float:
    assert trial.measurement.probe is not None
    scores = _over_optimizers(trial.measurement.probe)
    return max(max(scores) - min(scores), EQUIVALENT)


def _remedy(place: int, trial: Trial, baseline: Measurement, unchanged: Probe, equivalent: tuple[str, ...]) -> Remedy:
    probe, info = trial.measurement.probe, trial.info
    assert probe is not None
    seeds = seed_scores(probe)
    return Remedy(
        rank=place,
        variant=info.id,
        proof=Proof(
            kind="probe",
            best_loss_over_chance=min(seeds.values()),
            worst=max(seeds.values()),
            unchanged=unchanged.best_loss_over_chance,
            evaluated=_evaluated(probe),
            seeds=len(seeds),
            learns=True if probe.held_out else info.learns,
        ),
        before=_decades(baseline.flow),
        after=_decades(trial.measurement.flow),
        equivalent_to=equivalent,
        destructive=info.destructive,
        changes_function=info.effect is Effect.CHANGES_FUNCTION,
        training_only=info.effect is Effect.TRAINING_ONLY,
        cost=info.cost,
        recipe=info.recipe,
        score=score(trial),
        snippet=_snippet(info, probe),
    )


def _evaluated(probe: Probe) -> float | None:
    """In eval mode: of each seed the run that ended lowest, of these the worst."""
    best = {run.seed: run.evaluated for run in sorted(probe.runs, key=lambda run: -run.end)}
    known = [loss for loss in best.values() if loss is not None]
    return max((loss if math.isfinite(loss) else math.inf for loss in known), default=None)


def _snippet(info: VariantInfo, probe: Probe) -> str:
    """The training whose worst seed ended lowest, of those with as many seeds as any."""
    ends: dict[tuple[str, float], list[Run]] = {}
    for run in probe.runs:
        ends.setdefault((run.optimizer, run.learning_rate), []).append(run)
    runs = min(ends.values(), key=lambda runs: (-len(runs), max(run.end for run in runs)))
    worst = max(run.end for run in runs)
    what = "minibatches, on samples held out" if probe.held_out else "one batch"
    proof = f"proven by {probe.steps} steps on {what}, worst of {len(runs)} seeds: loss {worst:.2f} of chance"
    return training_snippet(runs[0].optimizer, runs[0].learning_rate, runs[0].momentum, info.gradient_step, proof)


def _decades(flow: Flow) -> Decades:
    return Decades(decades_rms=flow.decades_rms, decades_norm=flow.decades_norm)
