"""The table of contents: bytes in, report out. The two rooms meet here and nowhere else."""

from pathlib import Path

from analysis.batch import Batch
from analysis.clock import Clock, Progress
from analysis.diagnosis.advise import advise
from analysis.diagnosis.assemble import assemble
from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.judge import Judge
from analysis.diagnosis.policy import policy
from analysis.diagnosis.rows import Row
from analysis.diagnosis.verdict import verdict_of
from analysis.errors import refusing_lack_of_memory
from analysis.experiment.experiment import Experiment
from analysis.experiment.export import Destination, export
from analysis.interventions.variants import asked_for
from analysis.measure.examine import examine
from analysis.model import CheckedModel, check_model
from analysis.options import AnalysisOptions, Effort
from analysis.report import Report, Verdict
from analysis.subject.describe import describe_engine, describe_model
from analysis.subject.parity import check_parity
from analysis.subject.preparation import prepare

DEFAULT_OPTIONS = AnalysisOptions()


@refusing_lack_of_memory()
def analyze(
    model: bytes | Path | CheckedModel,
    batch: bytes | Path | Batch | None = None,
    options: AnalysisOptions = DEFAULT_OPTIONS,
    *,
    models_dir: Path | None = None,
    models: Destination | None = None,
    progress: Progress | None = None,
) -> Report:
    """Analyse a model on a batch (a synthetic one where none is given).

    `models_dir`: where every measured variant that lives in a graph is written as `<variant id>.onnx`; `models` says
    where and which. Raises AnalysisError, see `analysis.errors`.
    """
    clock, rules = Clock(options.budget_seconds, progress), policy(options)
    asked_for(options)  # what it refuses is refused before the work
    with clock.stage("check", 0.05):
        checked = model if isinstance(model, CheckedModel) else check_model(model)
    with clock.stage("convert", 0.1):
        subject = prepare(checked, batch, options, clock.look)
    with clock.stage("parity", 0.15):
        parity = check_parity(subject)
    with clock.stage("measure", 0.2):
        subject, unprobed = examine(subject, parity, options, clock)
    experiment = Experiment(subject, unprobed, options, clock)
    with clock.stage("probe", 0.35):
        baseline = experiment.probe_baseline()
        advice = advise(baseline, experiment.larger_rate, options.weight_decay)
    findings = diagnose(baseline, rules)
    verdict, judge = verdict_of(baseline, findings, rules), Judge(experiment, rules, findings)
    with clock.stage("experiment", 0.6):
        experiment.run_plan(cures=verdict is not Verdict.HEALTHY and options.effort is not Effort.QUICK)
    with clock.stage("prove", 0.95):
        remedies = judge.remedies(experiment.prove_until(judge.hopeful(verdict), judge.proven, judge.furthest))
    with clock.stage("export", 1.0):
        wanted = [remedy.variant for remedy in remedies]
        files = export(experiment.cells, experiment.structures, clock, wanted, models or Destination.of(models_dir))
    return assemble(
        engine=describe_engine(subject, options),
        model=describe_model(subject),
        baseline=baseline,
        verdict=verdict,
        findings=findings,
        advice=advice,
        rows=[Row(each.info, each.measurement, files.get(name)) for name, each in experiment.cells.items()],
        remedies=remedies,
        clock=clock,
        options=options,
    )
