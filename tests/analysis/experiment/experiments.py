"""Experiments on small models, and clocks that end them."""

import pytest

from analysis.clock import Clock, OutOfTime
from analysis.experiment.experiment import Experiment
from analysis.facts import Parity, ParityStatus
from analysis.measure.examine import examine
from analysis.model import CheckedModel, check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from tests.gallery import vectors

PARITY = Parity(reference="", status=ParityStatus.EQUAL)
OPTIONS = AnalysisOptions()
VECTORS = vectors()


def experiment(
    model: CheckedModel | bytes,
    batch: bytes | None = VECTORS,
    options: AnalysisOptions = OPTIONS,
    clock: Clock | None = None,
) -> Experiment:
    """Ready to treat: the unchanged model is measured, on a batch made up where there is none."""
    checked = check_model(model) if isinstance(model, bytes) else model
    subject, measurement = examine(prepare(checked, batch, options), PARITY, options)
    return Experiment(subject, measurement, options, clock or Clock(options.budget_seconds, None))


def out_of_time_after(cells: Experiment, ticks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter(range(ticks))

    def check() -> None:
        if next(left, None) is None:
            raise OutOfTime

    monkeypatch.setattr(cells.clock, "check", check)
