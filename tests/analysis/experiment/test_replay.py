"""Recipes on a module: numpy and onnxruntime say what they must have done."""

import io

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from analysis.experiment.replay import batch_statistics, draw, drawn, scale_to_unit_variance
from analysis.facts import Effect
from analysis.interventions.contract import NormalizationSite, Recipe, UnitVariance
from analysis.interventions.draws import Constant, Normal
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from tests.analysis.experiment.experiments import experiment
from tests.gallery import export, mlp, npz, seeded, vectors, xavier

CONTENT = mlp(4, "Tanh", xavier(), width=16)


def subject_of(model: bytes = CONTENT, batch: bytes | None = None) -> Subject:
    return prepare(check_model(model), batch or vectors(), AnalysisOptions())


def recipe(subject: Subject, **changes: object) -> Recipe:
    return Recipe(model=subject.model, effect=Effect.CHANGES_FUNCTION, words="", cost="", **changes)


def weights(subject: Subject) -> dict[str, np.ndarray]:
    return {name: each.detach().numpy().copy() for name, each in subject.converted.initializers.items()}


def values(model: bytes, present: dict[str, np.ndarray], names: list[str]) -> list[np.ndarray]:
    """What onnxruntime computes with these weights."""
    proto = onnx.load_from_string(model)
    for tensor in proto.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(present[tensor.name], tensor.name))
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    x = np.load(io.BytesIO(vectors()))["x"]
    return onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})


def test_drawn_weights_are_in_place_inside_and_the_own_ones_afterwards() -> None:
    subject = subject_of()
    before = weights(subject)
    with drawn(subject, recipe(subject, draws={"w1": Constant(0.5), "b1": Constant(2.0)}), seed=0):
        inside = weights(subject)
    assert (inside["w1"] == 0.5).all()
    assert (inside["b1"] == 2.0).all()
    assert all(np.array_equal(inside[name], before[name]) for name in before.keys() - {"w1", "b1"})
    assert all(np.array_equal(each, before[name]) for name, each in weights(subject).items())


def test_own_weights_are_neither_copied_nor_written_over() -> None:
    subject = subject_of()
    weight = subject.converted.initializers["w1"]
    own = weight.detach().numpy()  # over the same memory
    before, place = own.copy(), weight.data_ptr()
    with drawn(subject, recipe(subject, draws={"w1": Constant(0.5)}), seed=0):
        assert np.array_equal(own, before)
    assert weight.data_ptr() == place


def test_own_weights_come_back_also_after_a_failure() -> None:
    subject = subject_of()
    before = weights(subject)
    with pytest.raises(ZeroDivisionError), drawn(subject, recipe(subject, draws={"w1": Constant(0.5)}), seed=0):
        _ = 1 / 0
    assert np.array_equal(weights(subject)["w1"], before["w1"])


def test_a_seed_decides_a_draw_and_weights_of_one_shape_differ() -> None:
    subject, found = subject_of(), []
    for seed in (0, 0, 1):
        with drawn(subject, recipe(subject, draws={"w1": Normal(0.1), "w2": Normal(0.1)}), seed):
            found.append(weights(subject))
    assert np.array_equal(found[0]["w1"], found[1]["w1"])
    assert not np.array_equal(found[0]["w1"], found[2]["w1"])
    assert not np.array_equal(found[0]["w1"], found[0]["w2"])
    assert found[0]["w1"].std() == pytest.approx(0.1, rel=0.1)


def test_every_layer_in_turn_has_unit_variance_on_the_batch() -> None:
    """Mishkin and Matas 2016; later layers see the scaled values of earlier ones."""
    subject = subject_of()
    before, wanted = weights(subject), [UnitVariance(f"w{layer}", f"z{layer}") for layer in range(4)]
    scale_to_unit_variance(subject, wanted)
    after = weights(subject)
    for value in values(CONTENT, after, [f"z{layer}" for layer in range(4)]):
        assert value.std() == pytest.approx(1.0, rel=1e-4)
    for name, weight in after.items():
        factors = weight[before[name] != 0] / before[name][before[name] != 0]
        assert np.allclose(factors, factors[:1], rtol=1e-5)
    assert np.array_equal(after["b1"], before["b1"])


def test_a_layer_that_writes_a_constant_is_left_as_it_is() -> None:
    subject = subject_of(mlp(3, "Tanh", lambda _, fan_out, fan_in: np.zeros((fan_out, fan_in))))
    scale_to_unit_variance(subject, [UnitVariance("w0", "z0")])
    assert not weights(subject)["w0"].any()


def test_statistics_are_those_of_the_batch_per_channel() -> None:
    subject = subject_of()
    (z,) = values(CONTENT, weights(subject), ["z1"])
    found = batch_statistics(subject, [NormalizationSite("z1", "mean", "variance")])
    np.testing.assert_allclose(found["mean"].numpy(), z.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["variance"].numpy(), z.var(0), rtol=1e-4)


def test_statistics_behind_a_normalisation_are_taken_as_in_training() -> None:
    """Its running statistics are far off: what is inserted behind it must not inherit them."""

    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))

    module = seeded(build)
    module[1].running_var.fill_(100.0)
    model = export(module, torch.zeros(2, 2, 6, 6), keep_batch_norm=True)
    x = torch.randn(32, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    subject = subject_of(model, npz(x=x.numpy(), target=np.arange(32) % 3))
    (relu,) = [node for node in subject.model.nodes if node.op_type == "Relu"]
    found = batch_statistics(subject, [NormalizationSite(relu.input[0], "mean", "variance")])
    module[1].train()
    normal = module[:2](x).detach()
    torch.testing.assert_close(found["mean"], normal.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["variance"], normal.var((0, 2, 3), correction=0), rtol=1e-4, atol=1e-5)
    assert not subject.converted.training


def test_drawing_scales_and_takes_statistics_of_what_was_drawn() -> None:
    subject = subject_of()
    plan = recipe(subject, draws={"w0": Normal(3.0)}, unit_variance=(UnitVariance("w0", "z0"),))
    draw(subject, plan, seed=0)
    (z,) = values(CONTENT, weights(subject), ["z0"])
    assert z.std() == pytest.approx(1.0, rel=1e-4)


def test_he_and_xavier_share_their_noise() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    cells.run_plan(cures=False)
    recipes = [cells.cells[name].recipe for name in ("he", "xavier")]
    values = []
    for recipe in recipes:
        assert recipe is not None
        with drawn(cells.structures.unchanged, recipe, 0):
            values.append(cells.structures.unchanged.converted.initializers["w1"].detach().clone())
    ratio = values[0] / values[1]
    assert torch.allclose(ratio, ratio.mean(), rtol=1e-4)


def test_another_seed_draws_other_weights() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    cells.run_plan(cures=False)
    recipe = cells.cells["he"].recipe
    assert recipe is not None
    drawn_weights = []
    for seed in (0, 1):
        draw(cells.structures.unchanged, recipe, seed)
        drawn_weights.append(cells.structures.unchanged.converted.initializers["w1"].detach().clone())
    assert not torch.allclose(drawn_weights[0], drawn_weights[1])


@pytest.mark.parametrize(("samples", "taken"), [(31, True), (32, False)])
def test_running_statistics_are_taken_where_the_batch_is_too_small_for_its_own(
    samples: int, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = experiment(mlp(3, "Tanh", xavier()), batch=vectors(samples))
    cells.run_plan(cures=False)
    recipe = cells.cells["batch_norm"].recipe
    assert recipe is not None
    subject, passes = cells.structures.subject_of(recipe), list[int]()
    first, inputs = recipe.sites[0], subject.tensors()[0]
    fresh = torch.zeros(len(subject.model.weights[first.mean]))
    subject.converted.set_constant(first.mean, fresh)
    observe = subject.converted.observe
    monkeypatch.setattr(subject.converted, "observe", lambda *given: (passes.append(1), observe(*given))[1])
    draw(subject, recipe, 0)
    assert len(passes) == taken
    seen: dict[str, torch.Tensor] = {}
    (normal,) = [node.output[0] for node in subject.model.nodes if first.mean in node.input]
    observe(inputs, {normal: [lambda value: seen.setdefault("eval", value.detach())]})
    assert bool(seen["eval"].mean(0).abs().max() < 1e-5) is taken


def test_inserted_batch_norm_carries_the_statistics_of_the_sample_batch() -> None:
    cells = experiment(mlp(3, "Tanh", xavier()))
    cells.run_plan(cures=False)
    recipe = cells.cells["batch_norm"].recipe
    assert recipe is not None
    subject = cells.structures.subject_of(recipe)
    found = batch_statistics(subject, recipe.sites)
    inputs, _ = subject.tensors()
    weight, bias = (np.array(subject.model.weights[name]) for name in ("w0", "b0"))
    z = inputs[0].numpy() @ weight.T + bias
    first = recipe.sites[0]
    np.testing.assert_allclose(found[first.mean].numpy(), z.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[first.variance].numpy(), z.var(0), rtol=1e-4)
