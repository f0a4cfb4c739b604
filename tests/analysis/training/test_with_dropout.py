"""Dropout as it will train, on networks whose fate was seen in a real training in torch."""

from typing import Any

import pytest
import torch
from torch import nn

from analysis.experiment.experiment import Experiment
from analysis.facts import DropoutTrial
from analysis.options import AnalysisOptions, Effort
from tests.analysis.experiment.experiments import experiment, out_of_time_after
from tests.gallery import CLASSES, INPUTS, export_for_training, seeded, vectors


def narrow(ratio: float) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((INPUTS, 24), (24, 20), (20, 16), (16, 16)):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(ratio)]
    return nn.Sequential(*layers, nn.Linear(16, CLASSES))


def ready(ratio: float, **options: Any) -> Experiment:
    model = export_for_training(seeded(lambda: narrow(ratio)), torch.zeros(2, INPUTS))
    return experiment(model, vectors(384), AnalysisOptions(**options))


def test_what_learns_without_dropout_and_not_with_it_is_told_apart_from_what_bears_it() -> None:
    strong, weak = (ready(ratio).probe_baseline().dropout for ratio in (0.85, 0.1))
    assert strong is not None
    assert weak is not None
    assert (strong.nodes, strong.most) == (4, pytest.approx(0.85))
    assert not strong.learns
    assert strong.run.end > 0.8
    assert strong.without.end < 0.7
    assert weak.learns


def test_treatments_of_what_fails_by_dropout_train_with_it_and_others_without() -> None:
    strong, weak = ready(0.85), ready(0.1)
    for each in (strong, weak):
        each.probe_baseline()
    assert strong.proving.trainer.drops
    assert not weak.proving.trainer.drops
    strong.run_plan(cures=True)
    assert "weak_dropout" in strong.cells
    weak.run_plan(cures=True)
    assert "weak_dropout" not in weak.cells


def trial_of(cells: Experiment) -> DropoutTrial | None:
    return cells.probe_baseline().dropout


def test_nothing_is_tried_without_dropout_at_effort_quick_or_where_the_budget_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert trial_of(ready(0.0)) is None
    assert trial_of(ready(0.85, effort=Effort.QUICK)) is None
    cells = ready(0.85)
    proof = cells.probe_baseline().probe
    assert proof is not None
    steps = sum(len(run.curve) - 1 for run in proof.runs)
    again = ready(0.85)
    out_of_time_after(again, steps + 20, monkeypatch)
    assert trial_of(again) is None
