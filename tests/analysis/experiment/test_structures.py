"""Recipes of cells, and the structures that they share."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx.numpy_helper
import onnx.parser
import pytest
import torch

from analysis.experiment.structures import Structures
from analysis.facts import Effect, Factor
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.variants import cell_of
from analysis.model import CheckedModel, check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.interventions.builders import acting
from tests.gallery import he, mlp, vectors, xavier

PATIENT = measurement()


def structures_of(model: bytes, **options: Any) -> Structures:
    chosen = AnalysisOptions(**options)
    return Structures(prepare(check_model(model), vectors(), chosen), chosen, lambda: PATIENT)


def composed(structures: Structures, name: str) -> tuple[Recipe, Subject]:
    found = structures.compose(cell_of(name))
    assert not isinstance(found, NotApplicable)
    return found


def test_no_treatment_is_the_unchanged_model() -> None:
    structures = structures_of(mlp(3, "Tanh", xavier()))
    assert structures.compose(()) == (structures.nothing, structures.unchanged)
    assert (structures.nothing.words, structures.nothing.cost) == ("", "nothing changed")
    assert structures.nothing.effect is Effect.PRESERVES_OUTPUT
    assert not structures.nothing.draws
    assert structures.nothing.model is structures.unchanged.model


def test_cells_that_differ_in_draws_or_steps_share_a_structure() -> None:
    structures = structures_of(mlp(3, "Tanh", xavier()))
    for names in (("he", "xavier+clip", "decay"), ("relu", "relu+he", "relu+xavier+clip"), ("relu+batch_norm",) * 2):
        subjects = [composed(structures, name)[1] for name in names]
        assert all(each is subjects[0] for each in subjects)
    plain, relu, both = (composed(structures, name)[1] for name in ("he", "relu", "relu+batch_norm"))
    assert plain is structures.unchanged
    assert len({id(plain), id(relu), id(both), id(composed(structures, "batch_norm")[1])}) == 4
    assert [node.op_type for node in both.model.nodes][:3] == ["Gemm", "BatchNormalization", "Relu"]


def test_the_structure_of_a_recipe_is_found_again() -> None:
    structures = structures_of(mlp(3, "Tanh", xavier()))
    for name in ("he", "relu", "relu+he", "relu+batch_norm+xavier+clip"):
        recipe, subject = composed(structures, name)
        assert structures.subject_of(recipe) is subject
        assert recipe.model is subject.model


def test_a_cell_with_a_treatment_that_does_not_apply_does_not_either() -> None:
    structures = structures_of(mlp(3, "Relu", he()))
    for name in ("relu", "relu+he", "relu"):
        found = structures.compose(cell_of(name))
        assert isinstance(found, NotApplicable)
        assert found.reason == "every hidden activation is ReLU already"
    assert not isinstance(structures.compose(cell_of("tanh+he")), NotApplicable)


def test_weights_that_are_stored_as_integers_are_not_drawn() -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N,8] x) => (float[N,2] y) {
        d = DequantizeLinear(w, s) h = MatMul(x, d) r = Relu(h) y = MatMul(r, v) }"""
    proto, random = onnx.parser.parse_model(text), np.random.default_rng(0)
    weights = {
        "w": random.integers(-90, 90, (8, 6)).astype(np.int8), "s": np.array(0.01, np.float32),
        "v": random.standard_normal((6, 2)).astype(np.float32),
    }  # fmt: skip
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in weights.items())
    chosen = AnalysisOptions()
    structures = Structures(prepare(check_model(proto.SerializeToString()), None, chosen), chosen, lambda: PATIENT)
    found = structures.compose(cell_of("he"))
    assert isinstance(found, NotApplicable)
    assert found.reason == "w is stored as integers: initialise the network that was quantised"


def breaking(model: CheckedModel, _: Context) -> Recipe:
    editor = Editor(model)
    editor.insert_after("z0", "NobodyKnows")
    return Recipe(model=editor.finish(), effect=Effect.CHANGES_FUNCTION, words="break it", cost="")


def test_a_graph_that_is_refused_after_its_edit_is_not_applicable_and_the_others_go_on() -> None:
    structures = structures_of(mlp(3, "Tanh", xavier()))
    broken = acting("broken", Factor.ACTIVATION, breaking)
    for cell in ((broken,), (broken, *cell_of("he"))):
        found = structures.compose(cell)
        assert isinstance(found, NotApplicable)
        assert found.reason.startswith("the edited graph is refused")
        assert "NobodyKnows" in found.reason
    assert not isinstance(structures.compose(cell_of("he")), NotApplicable)


def test_a_treatment_is_told_what_the_one_before_it_left(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[CheckedModel, Context]] = []

    def note(model: CheckedModel, context: Context) -> NotApplicable:
        told.append((model, context))
        return NotApplicable("asked only")

    structures = structures_of(
        mlp(3, "Tanh", xavier()), clip_norm=0.5, clip_value=0.25, weight_decay=0.125, batch_size=9
    )
    structures.compose((*cell_of("relu"), acting("asking", Factor.BRANCH_ENDS, note)))
    ((model, context),) = told
    assert model is composed(structures, "relu")[1].model
    assert {layer.activation for layer in context.layers} == {"Relu", None}
    assert (context.clip_norm, context.clip_value, context.weight_decay) == (0.5, 0.25, 0.125)
    assert context.batch_size == 256
    assert context.baseline is PATIENT
    seen = count_passes(composed(structures, "relu")[1], monkeypatch)
    shapes: Mapping[str, tuple[int, ...]] = context.shapes()
    assert {name: shapes[name] for name in ("z0", "z1", "z2")} == {"z0": (256, 64), "z1": (256, 64), "z2": (256, 10)}
    assert context.shapes() is shapes
    assert len(seen) == 2  # of one sample, and of two
    np.testing.assert_array_equal(context.inputs["x"], structures.unchanged.tensors()[0][0].numpy())


def count_passes(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    seen: list[bool] = []
    observe = type(subject.converted).observe

    def noted(module: torch.nn.Module, *arguments: Any) -> Any:
        seen.append(module.training)
        return observe(module, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(subject.converted), "observe", noted)
    return seen
