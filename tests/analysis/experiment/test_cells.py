"""What is known of the variants of one analysis, and what a report says of each."""

import math
from dataclasses import replace

import pytest

from analysis.experiment.cells import Cells, describe_cell, with_probe
from analysis.facts import Clip, ClipKind, Effect, Factor, GradientStep, Status
from analysis.interventions.draws import Constant, Normal
from analysis.interventions.variants import cell_of
from tests.analysis.diagnosis.builders import measurement, stats
from tests.analysis.experiment.small_cells import RECIPE, cell, cells_of, probe_of, run


def test_the_unchanged_model_is_there_and_comes_first() -> None:
    cells = cells_of(cell("he"), cell("relu"))
    assert [*cells] == ["baseline", "he", "relu"]
    assert len(cells) == 3
    assert cells.baseline is cells["baseline"].measurement
    assert "xavier" not in cells


def test_what_is_known_by_now_takes_the_place_of_what_was() -> None:
    cells = cells_of(cell("he"), cell("relu"))
    cells.put(replace(cells["he"], info=replace(cells["he"].info, learns=True)))
    assert [*cells] == ["baseline", "he", "relu"]
    assert cells["he"].info.learns
    proof = probe_of(run(0.3))
    cells.put_probe("he", proof)
    assert cells.measurement("he").probe == proof
    assert cells.baseline.probe is None
    assert cells["he"].info.learns


def test_treatments_are_those_that_were_measured_and_have_a_recipe() -> None:
    cells = cells_of(cell("he"), replace(cell("relu"), measurement=None), cell("gone", recipe=None), cell("xavier"))
    assert [info.id for info, _ in cells.treated()] == ["he", "xavier"]
    assert [info.id for info, _ in cells.treated(["xavier", "baseline", "relu", "he"])] == ["xavier", "he"]
    assert [seen for _, seen in cells.treated(["he"])] == [cells.measurement("he")]
    assert Cells(cells["baseline"]).treated() == []


# ------------------------------------------------------------------ what is said of a cell


def test_a_cell_is_described_by_its_treatments_and_its_recipe() -> None:
    step = GradientStep(clip=Clip(kind=ClipKind.VALUE, max_norm=0.5), weight_decay=0.01)
    recipe = replace(RECIPE, words="use ReLU, draw anew", cost="2 nodes changed", gradient_step=step)
    info = describe_cell(cell_of("he+clip_value+relu+decay"), recipe, seed=3, trained=True)
    assert (info.id, info.plain) == ("relu+he+clip_value+decay", "relu+he")
    assert list(info.choices.items()) == [
        (Factor.ACTIVATION, "relu"), (Factor.INITIALIZATION, "he"), (Factor.CLIP, "value"), (Factor.DECAY, "0.01"),
    ]  # fmt: skip
    assert info.gradient_step == step
    assert (info.status, info.effect) == (Status.MEASURED, Effect.CHANGES_FUNCTION)
    assert (info.recipe, info.cost) == ("Use ReLU, draw anew.", "2 nodes changed")


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(
    ("draws", "random"), [({}, False), ({"b": Constant(0.0)}, False), ({"b": Constant(0.0), "w": Normal(1.0)}, True)]
)
def test_a_random_draw_has_a_seed_and_destroys_what_was_trained(
    draws: dict[str, Normal | Constant], random: bool, trained: bool
) -> None:
    info = describe_cell(cell_of("he"), replace(RECIPE, draws=draws), seed=3, trained=trained)
    assert info.seed == (3 if random else None)
    assert info.destructive is (random and trained)


def test_what_does_not_apply_has_no_recipe_and_no_effect() -> None:
    info = describe_cell(cell_of("he+clip"), None, seed=3, trained=True)
    assert (info.seed, info.effect, info.destructive, info.cost, info.recipe) == (None, None, False, "", "")
    assert info.gradient_step == GradientStep()
    assert dict(info.choices) == {Factor.INITIALIZATION: "he"}
    assert describe_cell((), RECIPE, seed=3, trained=True).id == "baseline"
    assert describe_cell((), RECIPE, seed=3, trained=True).recipe == ""


# ------------------------------------------------------------------ trainings


def test_layers_are_told_how_far_they_moved_in_the_run_that_ended_lowest() -> None:
    patient = measurement(stats=(stats(1), stats(2)))
    proof = probe_of(
        run(0.5, moved={"layer-01": 0.5}), run(0.3, moved={"layer-01": 0.3}), run(math.inf, moved={"layer-01": 9.0})
    )
    seen = with_probe(patient, proof)
    assert [each.moved for each in seen.stats] == [0.3, None]
    assert seen.probe is proof
    assert patient.probe is None
