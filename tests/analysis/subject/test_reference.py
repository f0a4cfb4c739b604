"""What a graph leaves to chance is settled before it is compared."""

import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from torch import nn

from analysis.errors import ConversionMismatch
from analysis.facts import ParityStatus
from analysis.model import check_model
from analysis.model.weights import Weights
from analysis.options import AnalysisOptions
from analysis.subject.describe import DROPOUT_OFF, SAME_NUMBERS, describe_model
from analysis.subject.parity import check_parity
from analysis.subject.preparation import prepare
from analysis.subject.reference import LARGE, compute, drawn_names, draws_inside
from analysis.subject.subject import Subject
from tests.analysis.text_models import drawn, written
from tests.gallery import npz, seeded

SAMPLES, WIDTH = 64, 20


def batch() -> bytes:
    x = np.random.default_rng(0).standard_normal((SAMPLES, WIDTH)).astype(np.float32)
    return npz(x=x, target=x)


def exported(module: nn.Module, *, training: bool = True, current: bool = False) -> bytes:
    """As somebody exports a network that is to be trained on."""
    mode = torch.onnx.TrainingMode.TRAINING if training else torch.onnx.TrainingMode.PRESERVE
    x, file = torch.zeros(SAMPLES, WIDTH), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if current:
            torch.onnx.export(module, (x,), dynamo=True, verbose=False, input_names=["x"]).save(file)
        else:
            torch.onnx.export(
                module, (x,), file, dynamo=False, opset_version=17, input_names=["x"], training=mode,
                do_constant_folding=False,
            )  # fmt: skip
    return file.getvalue()


def subject_of(model: bytes | Path) -> Subject:
    return prepare(check_model(model), batch(), AnalysisOptions())


class Variational(nn.Module):
    """Kingma and Welling 2014: what is decoded is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.mean, self.deviation = nn.Linear(WIDTH, 32), nn.Linear(32, 4), nn.Linear(32, 4)
        self.decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.encoder(x))
        mean = self.mean(hidden)
        return self.decoder(mean + torch.exp(self.deviation(hidden) / 2) * torch.randn_like(mean))


def dropping() -> nn.Module:
    return nn.Sequential(
        nn.Linear(WIDTH, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, WIDTH), nn.Dropout(0.1)
    )


@pytest.mark.parametrize("current", [False, True])
@pytest.mark.parametrize(("build", "note"), [(Variational, SAME_NUMBERS), (dropping, DROPOUT_OFF)])
def test_what_was_exported_for_training_is_compared_without_its_chance(
    build: type[nn.Module], note: str, *, current: bool
) -> None:
    subject = subject_of(exported(seeded(build), current=current))
    parity = check_parity(subject)
    assert parity.status is ParityStatus.EQUAL
    assert parity.max_relative_error is not None
    assert parity.max_relative_error < 1e-5
    assert note in describe_model(subject).notes


def test_a_wrong_translation_shows_behind_random_numbers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model = exported(seeded(Variational))
    monkeypatch.setattr(torch, "tanh", lambda x: torch.sinh(x).clamp(-1, 1))
    with pytest.raises(ConversionMismatch):
        check_parity(subject_of(model))


def test_stored_numbers_take_the_place_of_drawn_ones() -> None:
    model = check_model(exported(seeded(Variational)))
    (name,) = drawn_names(model)
    x = np.random.default_rng(1).standard_normal((SAMPLES, WIDTH)).astype(np.float32)
    zeros, ones = np.zeros((SAMPLES, 4), np.float32), np.ones((SAMPLES, 4), np.float32)
    output = model.outputs[0].name
    still, again, other = (compute(model, {"x": x}, {name: each}, [name]) for each in (zeros, zeros, ones))
    np.testing.assert_array_equal(still[output], again[output])
    np.testing.assert_array_equal(other[name], ones)
    assert np.abs(still[output] - other[output]).max() > 0.01


@pytest.mark.parametrize("chance", ["RandomNormalLike(b)", "Identity(b)"])
def test_random_numbers_inside_a_body_leave_nothing_to_compare(chance: str) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    branched (float[N,{WIDTH}] x) => (float[N,{WIDTH}] y) {{
        b = MatMul(x, W) total = ReduceSum<keepdims = 0>(b) zero = Constant<value_float = 0.0>()
        on = Greater(total, zero)
        r = If(on) <then_branch = t () => (float[N,{WIDTH}] u) {{ u = {chance} }},
                    else_branch = e () => (float[N,{WIDTH}] v) {{ v = Neg(b) }}>
        y = Add(b, r)
    }}"""
    model = onnx.parser.parse_model(text)
    weight = np.abs(np.random.default_rng(0).standard_normal((WIDTH, WIDTH))).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "W"))
    x = np.abs(np.random.default_rng(0).standard_normal((SAMPLES, WIDTH))).astype(np.float32)
    subject = prepare(check_model(model.SerializeToString()), npz(x=x, target=x), AnalysisOptions())
    random = chance.startswith("Random")
    parity = check_parity(subject)
    assert draws_inside(subject.model) is random
    assert parity.status is (ParityStatus.UNAVAILABLE if random else ParityStatus.EQUAL)
    assert ("random" in parity.detail) is random


def test_weights_beside_the_file_are_found_where_the_graph_is_edited(tmp_path: Path) -> None:
    proto = onnx.load_model_from_string(exported(seeded(dropping)))
    file = tmp_path / "model.onnx"
    onnx.save_model(proto, file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert check_parity(subject_of(file)).status is ParityStatus.EQUAL


def test_large_weights_of_a_graph_that_is_no_longer_the_file_are_handed_over_as_they_lie_in_memory() -> None:
    wide, narrow = drawn(WIDTH, 1 << 14), drawn(1 << 14, 3, seed=1)
    signature = f"(float[N,{WIDTH}] x) => (float[N,3] y)"
    model = check_model(written(signature, "p = MatMul(x, W) a = Relu(p) y = MatMul(a, V)", W=wide, V=narrow))
    edited = model.edited(model.proto, Weights({**model.weights, "W": -wide}))
    theirs = compute(edited, {"x": (x := drawn(4, WIDTH, seed=2))}, {}, ["a"])
    np.testing.assert_allclose(theirs["a"], np.maximum(-x @ wide, 0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(theirs["y"], np.maximum(-x @ wide, 0) @ narrow, rtol=1e-3, atol=1e-2)


def test_large_weights_that_unsigned_ones_took_the_place_of_are_not_handed_over() -> None:
    """onnxruntime drops what nothing reads, and then refuses its contents."""
    integers = np.random.default_rng(3).integers(-127, 128, (1 << 13, 1 << 8)).astype(np.int8)
    assert integers.nbytes > LARGE
    nodes = "q, s, z = DynamicQuantizeLinear(x) i = MatMulInteger(q, W, z) f = Cast<to: int = 1>(i) y = Mul(f, s)"
    model = check_model(written(f"(float[N,{1 << 13}] x) => (float[N,{1 << 8}] y)", nodes, W=integers))
    x = drawn(4, 1 << 13, seed=2)
    theirs = compute(model, {"x": x}, {})["y"]
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = (high - low) / 255
    steps = np.clip(np.round(x / scale) + np.round(-low / scale), 0, 255) - np.round(-low / scale)
    np.testing.assert_allclose(theirs, steps * scale @ integers, rtol=1e-4, atol=np.abs(theirs).max() * 1e-4)


def test_a_function_that_draws_is_compared_as_it_is_written_out() -> None:
    text = f"""<ir_version: 10, opset_import: ["" : 18, "own" : 1]>
    noisy (float[N,{WIDTH}] x) => (float[N,{WIDTH}] y) {{ h = MatMul(x, W) y = own.disturb(h) }}
    <domain: "own", opset_import: ["" : 18]>
    disturb (a) => (b) {{ r = RandomNormalLike(a) b = Add(a, r) }}"""
    model = onnx.parser.parse_model(text)
    weight = np.random.default_rng(0).standard_normal((WIDTH, WIDTH)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "W"))
    assert check_parity(subject_of(model.SerializeToString())).status is ParityStatus.EQUAL


def classifier(extra: str = "", outputs: str = "seq(map(int64, float)) z") -> bytes:
    text = f"""<ir_version: 8, opset_import: ["": 17, "ai.onnx.ml": 3]>
        net (float[N,2] x) => ({outputs}) {{
            h = ai.onnx.ml.Scaler<offset = [1.0, 2.0], scale = [0.5, 2.0]>(x) {extra}
            s = Softmax(h) z = ai.onnx.ml.ZipMap<classlabels_int64s = [3, 5]>(s) }}"""
    return onnx.parser.parse_model(text).SerializeToString()


def test_maps_of_the_file_are_compared_with_the_tensor_that_takes_their_place() -> None:
    x = np.array([[1, 2], [3, 2.5]], np.float32)
    found = compute(check_model(classifier()), {"x": x}, {})["z"]
    scaled = np.exp((x - [1, 2]) * [0.5, 2])
    np.testing.assert_allclose(found, scaled / scaled.sum(1, keepdims=True), rtol=1e-6)


def test_where_the_file_refuses_a_batch_the_rewritten_graph_is_the_reference() -> None:
    text = """<ir_version: 8, opset_import: ["": 17, "ai.onnx.ml": 3]> net (int64[N] x) => (float[N,2] y) {
        y = ai.onnx.ml.OneHotEncoder<cats_int64s = [1, 2], zeros = 0>(x) }"""
    model = check_model(onnx.parser.parse_model(text).SerializeToString())
    found = compute(model, {"x": np.array([2, 7])}, {})["y"]  # onnxruntime knows no 7
    np.testing.assert_array_equal(found, [[0, 1], [0, 0]])
