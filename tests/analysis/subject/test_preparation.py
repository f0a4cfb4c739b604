"""A model made ready: its batch, loss, trunk and precision."""

import numpy as np
import pytest
import torch
from torch import nn

import analysis.subject.sizing
from analysis.clock import OutOfTime
from analysis.errors import BadBatch, BadOptions, NothingToTrain
from analysis.facts import Provenance
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import in_float64, prepare, variant
from analysis.subject.sizing import Cost
from tests.analysis.fixed_exports import FEATURES, STEPS, OwnFactor, Reader, fixed
from tests.analysis.interventions.builders import composed
from tests.analysis.text_models import drawn, written
from tests.gallery import CLASSES, INPUTS, export, he, mlp, npz, seeded, vectors, xavier

OPTIONS = AnalysisOptions()


# ------------------------------------------------------------------ the batch


def test_a_made_up_batch_has_the_size_that_was_asked_for_and_is_the_same_for_a_seed() -> None:
    one, same, other = (
        prepare(check_model(mlp(3, "Relu", he())), None, AnalysisOptions(batch_size=24, seed=seed))
        for seed in (3, 3, 4)
    )
    assert one.batch.size == 24
    assert one.batch.provenance is Provenance.SYNTHETIC
    assert torch.equal(one.tensors()[0][0], same.tensors()[0][0])
    assert not torch.equal(one.tensors()[0][0], other.tensors()[0][0])


@pytest.mark.parametrize("uploaded", [True, False])
def test_of_a_batch_that_takes_too_long_a_part_is_measured(*, uploaded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that takes 0.1 s a sample, where 120 s are there for 36 of them."""
    monkeypatch.setattr(
        analysis.subject.sizing, "forward_cost", lambda _, inputs: Cost(seconds=0.1 * len(inputs[0]), kept_bytes=0)
    )
    options = AnalysisOptions(batch_size=1000)
    x, target = drawn(1000, INPUTS), np.arange(1000) % CLASSES
    subject = prepare(check_model(mlp(3, "Relu", he())), npz(x=x, target=target) if uploaded else None, options)
    assert subject.batch.size == 32
    assert any(note.startswith("of 1000 samples 32 were measured") for note in subject.batch.notes)
    (inputs,), targets = subject.tensors()
    assert targets is not None
    assert len(inputs) == len(targets) == 32
    if uploaded:
        places = [int(np.flatnonzero((x == row).all(1))[0]) for row in inputs.numpy()]
        assert targets.tolist() == [place % CLASSES for place in places]


def test_a_first_pass_that_takes_all_of_the_budget_is_refused() -> None:
    def ended() -> bool:
        raise OutOfTime

    with pytest.raises(BadOptions, match="budget_seconds"):
        prepare(check_model(mlp(3, "Relu", he())), vectors(), OPTIONS, ended)


def test_precisions_and_variants_are_interrupted_as_the_unchanged_model_is() -> None:
    subject = prepare(check_model(mlp(3, "Relu", he())), vectors(), OPTIONS, lambda: False)
    assert subject.converted.interrupt is None  # only while it was prepared
    subject.converted.interrupt = interrupt = lambda: False
    assert in_float64(subject).converted.interrupt is interrupt
    assert variant(subject, subject.model, OPTIONS).converted.interrupt is interrupt


def test_a_graph_that_runs_with_one_sample_only_gets_one() -> None:
    """All that it is given it takes for features, whatever the input declares."""
    model = written(
        "(float[N,4] x) => (float[1,3] y)", "h = Flatten<axis = 0>(x) r = Relu(h) y = MatMul(r, B)", B=drawn(4, 3)
    )  # fmt: skip
    subject = prepare(check_model(model), None, OPTIONS)
    assert subject.batch.size == 1
    assert any("so one was made up" in note for note in subject.batch.notes)


@pytest.mark.parametrize("samples", [1, 8])
def test_a_fixed_number_of_samples_is_opened_for_batches_of_any_size(samples: int) -> None:
    torch.manual_seed(0)
    module = Reader("GRU").eval()
    model = check_model(fixed(module, torch.randn(samples, STEPS, FEATURES)))
    assert prepare(model, None, AnalysisOptions(batch_size=24)).batch.size == 24
    x, target = drawn(11, STEPS, FEATURES), np.arange(11) % 4
    subject = prepare(model, npz(x=x, target=target), OPTIONS)
    assert subject.batch.size == 11
    assert any(
        f"fixes the number of samples at {samples}: the sample axis was opened" in n for n in subject.batch.notes
    )
    expected = torch.nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(target))
    assert float(subject.loss(*subject.tensors()).detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_batch_normalization_sees_all_samples_of_a_batch_for_an_export_of_one() -> None:
    ones = {name: np.ones(3, np.float32) for name in "sbmv"}
    model = written(
        "(float[1,3] x) => (float[1,2] y)",
        "h = BatchNormalization(x, s, b, m, v) r = Reshape(h, shape) y = MatMul(r, W)",
        **ones, shape=np.array([1, 3]), W=drawn(3, 2),
    )  # fmt: skip
    subject = prepare(check_model(model), None, OPTIONS)
    assert subject.batch.size == OPTIONS.batch_size
    assert subject.batch_statistics


def test_what_cannot_be_opened_takes_the_fixed_number_of_samples_only() -> None:
    model = check_model(fixed(OwnFactor(8), torch.randn(8, FEATURES)))
    assert prepare(model, None, OPTIONS).batch.size == 8
    with pytest.raises(BadBatch, match="fixes the number of samples at 8"):
        prepare(model, npz(x=drawn(16, FEATURES)), OPTIONS)


def test_targets_that_do_not_fit_a_network_along_the_samples_are_refused_by_its_name() -> None:
    torch.manual_seed(0)
    module = Reader("LSTM", batch_first=False, every_step=True)
    model = check_model(fixed(module, torch.randn(8, STEPS, FEATURES), axes={"x": {0: "N"}}))
    with pytest.raises(BadBatch, match=r"LSTM.*batch_first\?"):
        prepare(model, npz(x=drawn(8, STEPS, FEATURES), target=np.arange(8) % 4), OPTIONS)


def test_targets_that_do_not_fit_are_refused() -> None:
    batch = npz(x=drawn(8, INPUTS), target=drawn(8, 3))
    with pytest.raises(BadBatch):
        prepare(check_model(mlp(3, "Relu", he())), batch, OPTIONS)


def test_a_model_without_weights_has_nothing_to_train() -> None:
    with pytest.raises(NothingToTrain):
        prepare(check_model(written("(float[N,4] x) => (float[N,4] y)", "y = Relu(x)")), None, OPTIONS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadOptions, match="no CUDA device"):
        prepare(check_model(mlp(3, "Relu", he())), vectors(), AnalysisOptions(device="cuda"))


# ------------------------------------------------------------------ the trunk's end


def test_a_trunk_ends_at_the_logits() -> None:
    subject = prepare(check_model(mlp(4, "Relu", he())), vectors(), OPTIONS)
    assert subject.trunk.end == subject.objective.head.value == "z3"
    assert all(layer.on_trunk for layer in subject.layers)


def test_a_trunk_ends_in_front_of_a_head_of_zeros() -> None:
    def draw(random: np.random.Generator, fan_out: int, fan_in: int) -> np.ndarray:
        return np.zeros((fan_out, fan_in)) if fan_out == CLASSES else he()(random, fan_out, fan_in)

    subject = prepare(check_model(mlp(0, "Relu", draw, sizes=[INPUTS, 16, 16, CLASSES])), vectors(), OPTIONS)
    assert subject.trunk.end == "a1"
    assert subject.objective.head.value == "z2"
    assert [layer.on_trunk for layer in subject.layers] == [True, True, False]


def test_a_graph_s_own_loss_ends_the_trunk_at_its_last_layer() -> None:
    nodes = (
        "h = MatMul(x, A) r = Relu(h) l = MatMul(r, B) d = Sub(l, t) s = Mul(d, d) loss = ReduceMean<keepdims = 0>(s)"
    )
    model = written("(float[N,4] x, float[N,2] t) => (float loss)", nodes, A=drawn(4, 8), B=drawn(8, 2))
    subject = prepare(check_model(model), npz(x=drawn(8, 4), t=drawn(8, 2)), AnalysisOptions(loss="graph"))
    assert subject.objective.head.value == "loss"
    assert subject.trunk.end == "l"
    inputs, targets = subject.tensors()
    hidden = np.maximum(drawn(8, 4) @ drawn(4, 8), 0) @ drawn(8, 2)
    expected = np.square(hidden - drawn(8, 2)).mean()
    assert float(subject.loss(inputs, targets).detach()) == pytest.approx(float(expected), rel=1e-4)


# ------------------------------------------------------------------ precision, variants


def test_twice_the_digits_change_nothing_but_rounding() -> None:
    subject = prepare(check_model(mlp(4, "Tanh", xavier())), vectors(), AnalysisOptions(freeze=("w1",)))
    wide = in_float64(subject)
    assert (subject.precision, wide.precision) == (torch.float32, torch.float64)
    assert wide.tensors()[0][0].dtype is torch.float64
    assert wide.tensors()[1].dtype is torch.int64
    assert wide.converted.initializers.keys() == subject.converted.initializers.keys()
    assert wide.converted.frozen == subject.converted.frozen
    one, other = (float(each.loss(*each.tensors()).detach()) for each in (subject, wide))
    assert one == pytest.approx(other, rel=1e-5)
    assert one != other


def test_an_edited_model_keeps_batch_loss_and_what_is_frozen() -> None:
    baseline = prepare(check_model(mlp(4, "Relu", he())), vectors(), AnalysisOptions(freeze=("w1",)))
    edited = variant(baseline, check_model(mlp(4, "Tanh", he())), OPTIONS)
    assert edited.batch is baseline.batch
    assert edited.objective is baseline.objective
    assert "w1" not in edited.converted.initializers
    assert {layer.activation for layer in edited.layers} == {"Tanh", None}
    assert not torch.equal(edited.loss(*edited.tensors()), baseline.loss(*baseline.tensors()))


@pytest.mark.parametrize("token", ["standardized", "he"])
def test_an_edit_at_the_inputs_measures_outputs_in_their_own_unit(token: str) -> None:
    """Outputs of thousands were those of raw inputs; a draw keeps the unit, and its effect can be read off."""
    x = np.random.default_rng(0).uniform(2e4, 8e4, (64, 8)).astype(np.float32)
    network = export(seeded(lambda: nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))), torch.zeros(2, 8))
    _, subject = composed(token, network, npz(x=x, target=x[:, :1]))
    baseline = prepare(check_model(network), npz(x=x, target=x[:, :1]), OPTIONS)
    inputs, _ = subject.tensors()
    spread = float(subject.converted(*inputs)[0].detach().std(0, correction=0))
    assert baseline.objective.unit == pytest.approx(float(x[:, 0].std()), rel=1e-3), (
        "outputs in thousands, as the targets"
    )
    if token == "standardized":
        assert subject.objective.spread == pytest.approx(spread, rel=1e-3)
        assert subject.objective.unit == 1.0
    else:
        assert subject.objective.unit == baseline.objective.unit
