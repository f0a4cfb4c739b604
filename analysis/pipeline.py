"""The table of contents: bytes in, report out. The two rooms meet here and nowhere else."""

from pathlib import Path

from analysis.batch import Batch
from analysis.clock import Clock, Progress
from analysis.diagnosis.assemble import assemble
from analysis.diagnosis.diagnosis import Diagnosis
from analysis.diagnosis.judge import Judge
from analysis.diagnosis.policy import policy
from analysis.diagnosis.rows import rows_of
from analysis.errors import refusing_lack_of_memory
from analysis.experiment.experiment import Experiment
from analysis.experiment.export import Destination, export
from analysis.interventions.variants import asked_for
from analysis.measure.examine import examine
from analysis.model import CheckedModel, check_model
from analysis.options import AnalysisOptions
from analysis.report import Report
from analysis.subject.describe import describe
from analysis.subject.parity import check_parity
from analysis.subject.preparation import prepare


@refusing_lack_of_memory()
def analyze(
    model: bytes | Path | CheckedModel,
    batch: bytes | Path | Batch | None = None,
    options: AnalysisOptions = AnalysisOptions(),
    *,
    models_dir: Path | None = None,
    models: Destination | None = None,
    progress: Progress | None = None,
    processes: int = 1,
) -> Report:
    """Analyse a model on a batch (a synthetic one where none is given). Raises AnalysisError, see `analysis.errors`.

    Every measured variant that lives in a graph goes to `models_dir`, or where `models` says. `processes`: see `Crew`.
    """
    clock, rules = Clock(options.budget_seconds, progress), policy(options)
    asked_for(options)  # what it refuses is refused before the work
    with clock.stage("check", 0.05):
        checked = model if isinstance(model, CheckedModel) else check_model(model)
    with clock.stage("convert", 0.1):
        subject = prepare(checked, batch, options, clock.look)
    with clock.stage("parity", 0.15):
        parity = check_parity(subject, clock.look)
    with clock.stage("measure", 0.2):
        subject, unprobed = examine(subject, parity, options, clock)
    experiment = Experiment(subject, unprobed, options, clock, processes)
    with clock.stage("probe", 0.35):
        known = Diagnosis.of(experiment.probe_baseline(), experiment.larger_rate, rules, options)
    with clock.stage("experiment", 0.6):
        experiment.run_plan(cures=known.calls_for_cures(options.effort))
    with clock.stage("prove", 0.95):
        remedies = Judge(experiment, known).remedies_of_trainings()
    with clock.stage("export", 1.0):
        files = export(experiment, [each.variant for each in remedies], models or Destination.of(models_dir))
    return assemble(describe(subject, options), known, rows_of(experiment.cells, files), remedies, clock, options)
