"""Cells measured and cells derived."""

from dataclasses import replace

import pytest
import torch

from analysis.facts import Status
from analysis.options import AnalysisOptions
from tests.analysis.experiment.experiments import experiment
from tests.gallery import Recurrent, export, he, mlp, seeded, sequences, xavier


def test_a_treatment_that_changes_nothing_is_not_applicable_and_says_why() -> None:
    cells = experiment(mlp(4, "Relu", he()))
    cells.run_plan(cures=False)
    info = cells.cells["relu+he"].info
    assert info.status is Status.NOT_APPLICABLE
    assert info.reason == "every hidden activation is ReLU already"
    assert sum(each.info.status is Status.NOT_APPLICABLE for each in cells.cells.values()) == 12


def test_clipping_is_derived_and_linked_where_it_does_nothing() -> None:
    loose = experiment(mlp(4, "Tanh", xavier()), options=AnalysisOptions(clip_norm=1e6))
    loose.run_plan(cures=False)
    assert loose.cells["clip"].info.same_as == "baseline"
    tight = experiment(mlp(4, "Tanh", xavier()), options=AnalysisOptions(clip_norm=1e-3))
    tight.run_plan(cures=False)
    clipped = tight.cells["he+clip"]
    assert clipped.info.status is Status.DERIVED
    assert clipped.info.same_as is None
    assert clipped.measurement is not None
    assert clipped.measurement.total_gradient_norm == pytest.approx(1e-3)


def test_a_gradient_step_beside_a_redraw_costs_nothing_more() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    cells.run_plan(cures=False)
    assert cells.cells["he+clip"].info.cost == cells.cells["he"].info.cost
    assert cells.cells["clip"].info.cost == "no change to the model"


def test_recurrent_networks_get_initialisations_and_no_swaps() -> None:
    cells = experiment(export(seeded(Recurrent), torch.zeros(2, 20, 8)), sequences())
    cells.run_plan(cures=False)
    status = {name: each.info.status for name, each in cells.cells.items()}
    assert status["he"] is Status.MEASURED
    assert status["relu"] is Status.NOT_APPLICABLE
    assert status["batch_norm"] is Status.NOT_APPLICABLE


def test_trained_weights_make_a_redraw_destructive() -> None:
    untrained = experiment(mlp(3, "Tanh", xavier()))
    trained = experiment(mlp(3, "Tanh", xavier()))
    trained.structures.unchanged = replace(trained.structures.unchanged, trained=True)
    for cells, expected in ((untrained, False), (trained, True)):
        cells.run_plan(cures=False)
        assert cells.cells["he"].info.destructive is expected
        assert not cells.cells["relu"].info.destructive
