"""Cells measured and cells derived."""

import math
from dataclasses import replace

import pytest
import torch

from analysis.facts import Status
from analysis.interventions.variants import cell_of
from analysis.options import AnalysisOptions
from tests.analysis.experiment.experiments import experiment
from tests.gallery import Recurrent, export, he, mlp, seeded, sequences, vectors, xavier


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


@pytest.mark.parametrize(("clip", "limit"), [("clip_value", 1e-4), ("clip_adaptive", None)])
def test_clipping_within_gradients_is_measured_and_not_derived(clip: str, limit: float | None) -> None:
    cells = experiment(mlp(4, "Tanh", xavier()), options=AnalysisOptions(clip_value=1e-4))
    found = cells.measuring.run(cell_of(clip))
    assert found.info.status is Status.MEASURED
    assert found.measurement is not None
    for stats in found.measurement.stats:
        assert stats.weight_gradient is not None
        assert stats.weight is not None
        if limit is not None:
            assert stats.weight_gradient.max_abs == pytest.approx(limit, rel=1e-5)
        else:  # a hundredth of the length of each row, so of them all
            assert stats.weight_gradient.norm <= 0.0101 * stats.weight.norm


def test_decay_is_derived_and_adds_its_part_of_the_weights() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()), options=AnalysisOptions(weight_decay=0.25))
    before, found = cells.baseline, cells.measuring.run(cell_of("decay"))
    assert found.info.status is Status.DERIVED
    assert found.info.same_as is None
    assert found.measurement is not None
    for one, other in zip(before.stats, found.measurement.stats, strict=True):
        assert one.weight_gradient is not None
        assert one.weight is not None
        assert one.gradient_dot_weight is not None
        assert other.weight_gradient is not None
        square = one.weight_gradient.norm**2 + 2 * 0.25 * one.gradient_dot_weight + (0.25 * one.weight.norm) ** 2
        assert other.weight_gradient.norm == pytest.approx(math.sqrt(square), rel=1e-5)


@pytest.mark.parametrize(("name", "part", "active", "same"), [
    ("clip", 1.0, False, "baseline"), ("clip", 0.99, True, None), ("clip+decay", 1.0, False, None),
    ("clip+decay", 0.99, True, None),
])  # fmt: skip
def test_a_clip_is_active_where_the_gradient_is_over_its_limit(
    name: str, part: float, active: bool, same: str | None
) -> None:
    norm = experiment(mlp(4, "Tanh", xavier())).baseline.total_gradient_norm
    cells = experiment(mlp(4, "Tanh", xavier()), options=AnalysisOptions(clip_norm=part * norm))
    info = cells.measuring.run(cell_of(name)).info
    assert info.gradient_step.clip is not None
    assert info.gradient_step.clip.active is active
    assert info.same_as == same
    assert info.status is Status.DERIVED


def test_what_is_derived_of_a_variant_that_was_left_out_is_left_out_too() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    he = cells.measuring.run(cell_of("he"))
    cells.cells.put(replace(he, measurement=None))
    found = cells.measuring.run(cell_of("he+clip"))
    assert (found.info.status, found.info.reason) == (Status.LEFT_OUT, "the same without it was left out")
    assert found.measurement is None


def test_a_training_of_the_unchanged_model_is_none_of_the_clipped_one() -> None:
    cells = experiment(mlp(3, "Tanh", xavier()), vectors(32))
    assert cells.probe_baseline().probe is not None
    found = cells.measuring.run(cell_of("clip"))
    assert found.measurement is not None
    assert found.measurement.probe is None


@pytest.mark.parametrize(("effort", "there"), [("quick", False), ("standard", True)])
def test_gradients_through_time_are_looked_at_unless_effort_is_quick(effort: str, there: bool) -> None:
    model = export(seeded(Recurrent), torch.zeros(2, 20, 8))
    cells = experiment(model, sequences(), AnalysisOptions(effort=effort))  # type: ignore[arg-type]
    found = cells.measuring.run(cell_of("he"))
    assert found.measurement is not None
    assert bool(found.measurement.through_time) is there
    assert found.measurement.cotangents == 0


def test_a_draw_that_was_measured_is_put_back() -> None:
    cells = experiment(mlp(3, "Tanh", xavier()))
    before = cells.structures.unchanged.weights()
    before = {name: array.copy() for name, array in before.items()}
    found = cells.measuring.run(cell_of("he"))
    assert found.measurement is not None
    assert found.measurement.total_weight_norm != pytest.approx(cells.baseline.total_weight_norm, rel=1e-3)
    assert all((array == before[name]).all() for name, array in cells.structures.unchanged.weights().items())
