"""The variants of one analysis over shared structures, in the order they are worth their time."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from analysis.clock import Clock
from analysis.experiment.cells import Cells, Measured, describe_cell
from analysis.experiment.measuring import Measuring
from analysis.experiment.proving import Proving, Ranked
from analysis.experiment.structures import Structures
from analysis.experiment.unfolding import probe_unfolded
from analysis.facts import LargerRate, Measurement, Probe, ProbeKind, VariantInfo
from analysis.interventions.contract import NotApplicable
from analysis.interventions.plan import input_is_unscaled, is_factorial, make_plan
from analysis.interventions.variants import BASELINE, asked_for, cell_of, together, variant_id
from analysis.options import AnalysisOptions
from analysis.subject.subject import Subject
from analysis.training.crew import Crew
from analysis.training.own_loss import train_by_own_loss
from analysis.training.target_reading import read_targets
from analysis.training.trainer import Trainer, labels_are_readable
from analysis.training.with_dropout import try_dropout
from analysis.training.with_normalization import try_normalization
from analysis.training.with_standard_inputs import own_rate_fails, try_standard_inputs


class Experiment:
    """Structures converted once, cells measured on them, treatments proven; each pass ends where the budget does."""

    def __init__(
        self, subject: Subject, measurement: Measurement, options: AnalysisOptions, clock: Clock, processes: int = 1
    ) -> None:
        """The unchanged model is the first structure and the first cell. Raises BadOptions (variants, without)."""
        self.options = options
        self.clock = clock
        self.structures = Structures(subject, options, lambda: self.cells.baseline)
        nothing = self.structures.nothing
        info = describe_cell((), nothing, seed=options.seed, trained=subject.trained)
        self.cells = Cells(Measured(info, measurement, nothing))
        self.measuring = Measuring(self.cells, self.structures, options)
        crew = Crew(processes)
        self.trainer = Trainer(
            subject, options, clock, holds_out=labels_are_readable(measurement), minibatch=options.minibatch_size,
            crew=crew,
        )  # fmt: skip
        self.proving = Proving(self.measuring, self.trainer, clock, crew)
        self.larger_rate: LargerRate | None = None
        """The unchanged model at a rate that blows it up, and with clipping, where clipping mends it."""
        make_plan(measurement, options)  # what it refuses is refused before the probe, which it may ask for more
        subject.converted.interrupt = clock.look  # and that of every variant made from it

    def probe_baseline(self) -> Measurement:
        """Train the unchanged model, as far as effort, budget and targets allow, and clipped where that may mend it."""
        proof = self.trainer.probe_unchanged(self.cells.baseline)
        if proof is not None:
            self.cells.put_probe(BASELINE, proof)
            self._read_targets(proof)
            self._try_clipping(proof)
            self._try_dropout()
            self._try_normalization()
            self._try_standard_inputs()
            unfolded = probe_unfolded(self.measuring, self.trainer)
            cell = self.cells[BASELINE]
            self.cells.put(replace(cell, measurement=replace(self.cells.baseline, unfolded=unfolded)))
        else:
            own = train_by_own_loss(self.trainer, self.cells.baseline)
            cell = self.cells[BASELINE]
            self.cells.put(replace(cell, measurement=replace(self.cells.baseline, own_loss=own)))
        return self.cells.baseline

    def _try_clipping(self, proof: Probe) -> None:
        """Train clipped at the largest rate, where that blows up."""
        self.larger_rate = self.trainer.probe_larger_rate(self.cells.baseline)
        if self.larger_rate is not None:
            self.cells.put_probe(BASELINE, replace(proof, clipped_at=self.larger_rate.max_norm))

    def _try_dropout(self) -> None:
        """Train with the Dropout of the graph on; where that fails, treatments are trained with Dropout on, too."""
        trial = try_dropout(self.trainer, self.cells.baseline)
        cell = self.cells[BASELINE]
        self.cells.put(replace(cell, measurement=replace(self.cells.baseline, dropout=trial)))
        if trial is not None and not trial.learns:
            self.trainer = self.proving.trainer = self.trainer.dropping()

    def _try_normalization(self) -> None:
        """Train with BatchNormalization as the user does; frozen in treatments, too, where that fails."""
        trial = try_normalization(self.trainer, self.cells.baseline)
        cell = self.cells[BASELINE]
        self.cells.put(replace(cell, measurement=replace(self.cells.baseline, normalization=trial)))
        if trial is not None and trial.frozen and not trial.learns:
            self.trainer = self.proving.trainer = self.trainer.freezing()

    def _try_standard_inputs(self) -> None:
        """The user's own training behind standardised inputs, where it fails as these are far off."""
        measured = self.cells.baseline
        if not (own_rate_fails(measured) and input_is_unscaled(measured)):
            return
        composed = self.structures.compose(cell_of("standardized"))
        if not isinstance(composed, NotApplicable) and measured.probe is not None:
            run = try_standard_inputs(self.trainer, composed[1], measured)
            self.cells.put_probe(BASELINE, replace(measured.probe, standardized=run))

    def _read_targets(self, proof: Probe) -> None:
        """Whether the targets follow at all, where plain gradient descent does not learn promptly from minibatches."""
        if proof.kind is not ProbeKind.LEARNING or (proof.learns("sgd") and not proof.late):
            return
        read = partial(read_targets, self.structures.unchanged, self.options.seed, self.clock.check)
        reading = self.clock.finished("reading of the targets", read)
        cell = self.cells[BASELINE]
        self.cells.put(replace(cell, measurement=replace(self.cells.baseline, target_reading=reading)))

    def run_plan(self, *, cures: bool) -> None:
        """Measure the factorial and what the user asked for with pass A, and with `cures` the rest of the plan."""
        asked = asked_for(self.options)
        plan = make_plan(self.cells.baseline, self.options)
        wanted = [cell for cell in plan if cures or is_factorial(cell) or cell in asked]
        for done, cell in enumerate(wanted):
            self.clock.between("experiment", 0.35, 0.6, done, len(wanted))
            if self.clock.allows(what := f"variant {variant_id(cell)}"):
                measured = self.clock.finished(what, partial(self.measuring.run, cell))
                if measured is not None:
                    self.cells.put(measured)

    @property
    def baseline(self) -> Measurement:
        """What was measured of the unchanged model so far."""
        return self.cells.baseline

    @property
    def unchanged(self) -> Probe | None:
        """The unchanged model in the training that treatments are put to."""
        return self.proving.unchanged

    def treated(self, names: Iterable[str] | None = None) -> list[tuple[VariantInfo, Measurement]]:
        """Of these variants, or of all, those that are a treatment and were measured."""
        return self.cells.treated(names)

    def combine(self, names: Sequence[str]) -> tuple[str, ...]:
        """Measure two of these variants together, as often as that is something new; the first one's levels win."""
        made: list[str] = []
        for first, second in itertools.combinations(names, 2):
            cell = together(cell_of(first), cell_of(second))
            name = variant_id(cell)
            if name in self.cells or any(each.token in self.options.without for each in cell):
                continue
            measured = self.clock.finished(f"variant {name}", partial(self.measuring.run, cell))
            if measured is not None:
                self.cells.put(measured)
                made.append(name)
        return tuple(made)

    def prove_until(self, hopeful: Sequence[str], proven: Ranked, furthest: Ranked) -> tuple[str, ...]:
        """Train treatments until one holds, see Proving; the ids of those that were trained."""
        return self.proving.prove_until(hopeful, proven, furthest)
