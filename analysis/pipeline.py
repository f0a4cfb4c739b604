"""The table of contents: bytes in, report out. The two rooms meet here and nowhere else."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from analysis.batch import Batch
from analysis.clock import Clock, Progress
from analysis.diagnosis.advise import advise
from analysis.diagnosis.assemble import assemble
from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.policy import Policy, policy
from analysis.diagnosis.rank import ROUNDS, SHORTLIST, SLOW, Trial, rank, score, shortlist
from analysis.diagnosis.rows import Row
from analysis.diagnosis.verdict import verdict_of
from analysis.experiment.experiment import Experiment, Measured
from analysis.experiment.export import Destination, export
from analysis.interventions.variants import asked_for
from analysis.measure.examine import examine
from analysis.model import CheckedModel, check_model
from analysis.options import AnalysisOptions, Effort
from analysis.report import Finding, Remedy, Report, Verdict
from analysis.subject.describe import describe_engine, describe_model
from analysis.subject.parity import check_parity
from analysis.subject.preparation import prepare

DEFAULT_OPTIONS = AnalysisOptions()


def analyze(
    model: bytes | Path | CheckedModel,
    batch: bytes | Path | Batch | None = None,
    options: AnalysisOptions = DEFAULT_OPTIONS,
    *,
    models: Destination | None = None,
    progress: Progress | None = None,
) -> Report:
    """Analyse a model on a batch (a synthetic one where none is given).

    `models`: where repaired models are written. Raises AnalysisError, see `analysis.errors`.
    """
    clock, rules = Clock(options.budget_seconds, progress), policy(options)
    asked_for(options)  # what it refuses is refused before the work
    with clock.stage("check", 0.05):
        checked = model if isinstance(model, CheckedModel) else check_model(model)
    with clock.stage("convert", 0.1):
        subject = prepare(checked, batch, options)
    with clock.stage("parity", 0.15):
        parity = check_parity(subject)
    with clock.stage("measure", 0.2):
        subject, unprobed = examine(subject, parity, options)
    experiment = Experiment(subject, unprobed, options, clock)
    with clock.stage("probe", 0.35):
        baseline = experiment.probe_baseline()
        advice = advise(baseline, experiment.probe_larger_rate(), options.weight_decay)
    findings = diagnose(baseline, rules)
    verdict = verdict_of(baseline, findings)
    with clock.stage("experiment", 0.6):
        cells = experiment.run_plan(cures=verdict is not Verdict.HEALTHY and options.effort is not Effort.QUICK)
    with clock.stage("prove", 0.95):
        remedies = _prove(experiment, shortlist(verdict, _judged(cells, rules)), rules, findings)
    with clock.stage("export", 1.0):
        files = export(experiment, (remedy.variant for remedy in remedies), models)
    return assemble(
        engine=describe_engine(subject, options),
        model=describe_model(subject),
        baseline=baseline,
        findings=findings,
        advice=advice,
        rows=[Row(each.info, each.measurement, files.get(each.info.id)) for each in experiment.cells.values()],
        remedies=remedies,
        clock=clock,
        options=options,
    )


def _prove(
    experiment: Experiment, hopeful: Sequence[Trial], rules: Policy, findings: Sequence[Finding]
) -> tuple[Remedy, ...]:
    """A shortlist at a time, until the best remedy of one learns from minibatches, too.

    Where no treatment learnt a batch in 20 steps, the two that came furthest may only be slow: they get minibatches, if
    the unchanged model does not learn from them.
    """
    tried: list[str] = []
    for start in range(0, min(len(hopeful), ROUNDS * SHORTLIST), SHORTLIST):
        more = experiment.prove(trial.info.id for trial in hopeful[start : start + SHORTLIST])
        tried += [each.info.id for each in more]
        ranked = _rank(experiment, tried, rules, findings)
        if not more or experiment.confirm(remedy.variant for remedy in ranked):
            break
    ranked = _rank(experiment, tried, rules, findings)
    probe = experiment.baseline_measurement().probe
    if not ranked and probe is not None and not probe.learns("sgd"):
        furthest = sorted(_trials(experiment, tried, rules), key=score)[:SLOW]
        experiment.confirm(trial.info.id for trial in furthest)
        ranked = _rank(experiment, tried, rules, findings)
    return ranked


def _rank(
    experiment: Experiment, tried: Sequence[str], rules: Policy, findings: Sequence[Finding]
) -> tuple[Remedy, ...]:
    trials = _trials(experiment, tried, rules)
    return rank(experiment.baseline_measurement(), experiment.unchanged, trials, findings)


def _trials(experiment: Experiment, tried: Sequence[str], rules: Policy) -> list[Trial]:
    return _judged((experiment.cells[name] for name in tried), rules)


def _judged(measured: Iterable[Measured], rules: Policy) -> list[Trial]:
    """Measured variants with what the rules say of them."""
    return [
        Trial(each.info, each.measurement, diagnose(each.measurement, rules))
        for each in measured
        if each.measurement is not None and each.recipe is not None
    ]
