import json
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
import torch

from analysis.convert import DifferentiableModel
from analysis.errors import (
    AnalysisError,
    BadBatch,
    BadOptions,
    MissingExternalData,
    NodeFailed,
    NotDifferentiable,
    NothingToTrain,
    NotOnnx,
    UnsupportedOp,
)
from analysis.facts import Provenance
from analysis.options import AnalysisOptions, parse_options
from analysis.pipeline import analyze
from analysis.report import Report, Verdict
from analysis.subject import preparation, sizing
from tests.analysis.text_models import drawn, text_model, written
from tests.gallery import Recurrent, export, he, held_out, mlp, npz, seeded, sequences, vectors, xavier
from tests.gallery.exhibit import Exhibit

MODEL = mlp(3, "Relu", he())
ROOT = Path(__file__).parents[2]


def timeless(report: Report) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(report.to_json())
    del plain["timings_seconds"]
    return plain


@pytest.mark.parametrize(
    "model", [mlp(6, "Tanh", xavier()), export(seeded(Recurrent), torch.zeros(2, 20, 8))], ids=["mlp", "lstm"]
)
def test_the_same_question_has_the_same_answer(model: bytes) -> None:
    batch = vectors() if b"fc0" in model else sequences()
    assert timeless(analyze(model, batch)) == timeless(analyze(model, batch))


@pytest.mark.parametrize(
    ("model", "batch"),
    [(mlp(20, "Sigmoid", xavier()), vectors(256)), (mlp(12, "Sigmoid", xavier(), width=16), vectors(64))],
    ids=["learning", "one batch"],
)
def test_the_same_question_has_the_same_answer_however_many_processes_train(model: bytes, batch: bytes) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = timeless(analyze(model, batch))
        assert alone["remedies"]
        assert alone == timeless(analyze(model, batch, processes=3))
    finally:
        torch.set_num_threads(threads)


def test_an_analysis_loads_no_algebra_of_shapes_which_every_job_would_pay_for(tmp_path: Path) -> None:
    """Torch loads sympy, a third of a second, when it is given a gradient or asked for broadcast shapes."""
    (tmp_path / "m.onnx").write_bytes(export(seeded(Recurrent), torch.zeros(2, 20, 8)))
    (tmp_path / "b.npz").write_bytes(sequences())
    expanded = "e = Expand(x, shape) h = MatMul(e, w) y = Relu(h)"
    wide = written("(float[N,4] x) => (float[] y)", expanded, w=drawn(4, 4), shape=np.array([3, 1, 1]))
    (tmp_path / "wide.onnx").write_bytes(wide)
    script = """
import sys
from pathlib import Path
from analysis.options import parse_options
from analysis.pipeline import analyze
analyze(Path("m.onnx"), Path("b.npz"), parse_options({"effort": "thorough", "budget_seconds": 5}))
analyze(Path("wide.onnx"), None, parse_options({"effort": "quick"}))
assert not {"sympy", "torch.fx.experimental.symbolic_shapes"} & sys.modules.keys()
"""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})


def test_the_id_follows_from_the_question() -> None:
    first = analyze(MODEL, vectors())
    assert analyze(MODEL, vectors(), parse_options({"seed": 1})).id != first.id
    assert analyze(MODEL, vectors(seed=1)).id != first.id
    assert analyze(mlp(3, "Relu", he(), seed=1), vectors()).id != first.id
    assert len(first.id) == 36


def test_bytes_and_files_give_the_same_report_but_for_the_name(tmp_path: Path) -> None:
    model, batch = tmp_path / "network.onnx", tmp_path / "batch.npz"
    model.write_bytes(MODEL)
    batch.write_bytes(vectors())
    from_files, from_bytes = timeless(analyze(model, batch)), timeless(analyze(MODEL, vectors()))
    assert from_files["model"].pop("name") == "network.onnx"
    assert from_bytes["model"].pop("name") == "mlp"
    assert from_files == from_bytes


def test_progress_is_told_and_ends_at_one() -> None:
    seen: list[tuple[str, float]] = []
    analyze(mlp(12, "Sigmoid", xavier()), vectors(), progress=lambda stage, fraction: seen.append((stage, fraction)))
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert {"check", "convert", "measure", "probe", "experiment", "prove"} <= {stage for stage, _ in seen}


def test_without_a_batch_one_is_made_up_and_said_so() -> None:
    report = analyze(MODEL)
    assert report.batch.provenance == Provenance.SYNTHETIC.value
    assert report.batch.targets == Provenance.SYNTHETIC.value
    assert any("synthetic" in note for note in report.batch.notes)
    assert "no targets" in report.loss.chosen


def test_a_model_that_fixes_its_batch_size_is_opened_and_that_is_said() -> None:
    model = text_model("""(float[N,2,4] x) => (float[M,3] y) <int64[2] S = {1, 8}, float[8,3] W = {
        1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6}> { f = Reshape(x, S) y = MatMul(f, W) }""")
    report = analyze(model)
    assert report.batch.size == AnalysisOptions().batch_size
    assert any("samples at 1: the sample axis was opened" in note for note in report.batch.notes)


def test_a_healthy_model_pays_for_no_treatment_training() -> None:
    report = analyze(MODEL, vectors())
    assert report.verdict is Verdict.HEALTHY
    assert not report.remedies
    assert [variant.id for variant in report.variants if variant.probe is not None] == ["baseline"]


def shown(name: str) -> Exhibit:
    return next(exhibit for exhibit in held_out.EXHIBITS if exhibit.name == name)


@pytest.mark.parametrize("worse", ["gelu", "leaky_relu"])
def test_what_learns_less_than_a_network_that_learns_is_no_remedy(worse: str) -> None:
    exhibit = shown("tanh 5, units in pairs")
    report = analyze(exhibit.model(3), exhibit.batch(3), AnalysisOptions(variants=("only", worse)))
    assert report.verdict is Verdict.AT_RISK
    assert report.variants[0].probe.learns("sgd")
    assert report.remedies == ()


def test_quick_effort_measures_without_training_and_says_what_it_left_out() -> None:
    report = analyze(mlp(12, "Sigmoid", xavier()), vectors(), parse_options({"effort": "quick"}))
    assert report.verdict is Verdict.UNHEALTHY
    assert not report.remedies
    assert {item.why for item in report.left_out} == {"effort is quick"}
    assert all(variant.probe is None for variant in report.variants)


def test_one_class_in_the_batch_leaves_the_probe_out_with_the_reason() -> None:
    x = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    report = analyze(MODEL, npz(x=x, target=np.zeros(64, np.int64)))
    assert any("equal" in item.why for item in report.left_out)
    assert report.loss.chance is None


def own_loss(scale: float) -> bytes:
    """A graph whose only output is a scalar: the mean square of a small network, times a constant."""
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 17]>
    test (float[N,32] x) => (float loss) <float scale = {{{scale}}}> {{
        h = MatMul(x, A) t = Tanh(h) g = MatMul(t, B) u = Tanh(g) z = MatMul(u, C)
        q = Mul(z, z) m = ReduceMean<keepdims = 0>(q) loss = Mul(m, scale)
    }}""")
    for name, shape in {"A": (32, 32), "B": (32, 32), "C": (32, 4)}.items():
        weight = random.normal(0, 1 / np.sqrt(shape[0]), shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    return model.SerializeToString()


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_the_loss_changes_no_verdict(scale: float) -> None:
    x = npz(x=np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32))
    plain, scaled = analyze(own_loss(1.0), x), analyze(own_loss(scale), x)
    assert scaled.loss.name == "graph"
    assert scaled.verdict is plain.verdict
    assert [finding.rule for finding in scaled.findings] == [finding.rule for finding in plain.findings]
    assert scaled.gradient_flow.decades_rms == pytest.approx(plain.gradient_flow.decades_rms, abs=1e-3)


EXTERNAL = """(float[N,2] x) => (float[N,2] y) <float[2,2] W = ["location": "weights.bin"]> { y = MatMul(x, W) }"""
FROZEN_BATCH = """(float[N,4] x) => (float[N,2,2] y)
    <float[4,4] W = {1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}, int64[3] shape = {4, -1, 2},
     float[4,2,2] places = {1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}> {
        h = MatMul(x, W)
        [fold] f = Reshape(h, shape)
        [sum] y = Add(f, places)
    }"""
REFUSED: dict[str, tuple[Any, Any, AnalysisOptions | None, type[AnalysisError], list[str]]] = {
    "not ONNX": (b"PK\x03\x04not a model", None, None, NotOnnx, ["zip or torch file"]),
    "text": (b"hello, I am no model at all", None, None, NotOnnx, ["not an ONNX model"]),
    "empty": (b"", None, None, NotOnnx, ["empty"]),
    "missing external data": (
        text_model(EXTERNAL), None, None, MissingExternalData, ["W", "weights.bin", "save the model"]
    ),
    "wrong name": (MODEL, npz(z=np.zeros((4, 32), np.float32)), None, BadBatch, ["'x'", "'z'"]),
    "wrong shape": (MODEL, npz(x=np.zeros((4, 31), np.float32)), None, BadBatch, ["x", "[N, 32]", "[4, 31]"]),
    "wrong dtype": (MODEL, npz(x=np.zeros((4, 32))), None, BadBatch, ["x", "float32", "float64"]),
    "non-finite": (MODEL, npz(x=np.full((4, 32), np.nan, np.float32)), None, BadBatch, ["x", "128 of 128"]),
    "empty batch": (MODEL, b"", None, BadBatch, ["empty", "npz"]),
    "labels out of range": (
        MODEL, npz(x=np.ones((4, 32), np.float32), target=np.full(4, 10)), None, BadBatch, ["0..9", "10..10"]
    ),
    "no weight": (
        text_model("(float[N,2] x) => (float[N,2] y) { y = Relu(x) }"), None, None, NothingToTrain, ["initialisers"]
    ),
    "no gradient": (
        text_model("(float[N,2] x) => (bool[N,2] y) <float[2,2] W = {1,2,3,4}>"
                   " { h = MatMul(x, W) [last] y = Greater(h, x) }"),
        None, None, NotDifferentiable, ["last", "y"],
    ),
    "unsupported": (
        text_model("(float[N,2] x) => (float[N,2] y, float[N,2] z) <float[2,2] W = {1,2,3,4}> {"
                   " h = MatMul(x, W) [strange] y = house.Roof(h) [odd] z = house.Roof(h) }"),
        None, None, UnsupportedOp, ["house::Roof", "strange", "odd", "re-export"],
    ),
    "frozen name": (
        MODEL, vectors(), parse_options({"freeze": ["nothing*"]}), BadOptions, ["nothing*", "options.freeze"]
    ),
    "everything frozen": (MODEL, vectors(), parse_options({"freeze": ["*"]}), NothingToTrain, []),
    "wrong size inside": (
        text_model("(float[N,M] x) => (float[N,2] y) <float[3,2] W = {1,2,3,4,5,6}> { [product] y = MatMul(x, W) }"),
        npz(x=np.ones((4, 5), np.float32)), None, NodeFailed, ["product", "MatMul"],
    ),
    "frozen batch size": (
        text_model(FROZEN_BATCH.replace("-1", "2")), npz(x=np.ones((8, 4), np.float32)), None, NodeFailed,
        ["fold (Reshape)", "[4, 2, 2]", "fixes the batch size", "dynamic batch axis"],
    ),
    "frozen batch size, noticed later": (
        text_model(FROZEN_BATCH), npz(x=np.ones((8, 4), np.float32)), None, NodeFailed,
        ["sum (Add)", "'fold' reshapes to [4, -1, 2]", "fixes the batch size"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_in_one_line_that_names_the_place_and_the_way_out(name: str) -> None:
    model, batch, options, kind, words = REFUSED[name]
    with pytest.raises(kind) as refused:
        analyze(model, batch, options or AnalysisOptions())
    message = str(refused.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_towers_that_meet_late_have_no_trunk_and_are_still_judged() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
    test (float[N,6] a, float[N,6] b) => (float[N,1] similarity) <int64[1] last = {1}> {
        p = MatMul(a, W) q = MatMul(b, W) u = Tanh(p) v = Tanh(q) m = Mul(u, v) similarity = ReduceSum(m, last)
    }""")
    random = np.random.default_rng(0)
    weight = (0.4 * random.standard_normal((6, 16))).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "W"))
    a, b = (random.standard_normal((64, 6)).astype(np.float32) for _ in range(2))
    batch = npz(a=a, b=b, target=(a * b).sum(1, keepdims=True))
    report = analyze(model.SerializeToString(), batch)
    assert report.loss.name == "mse"
    assert [layer.parameters["weight"].initializer for layer in report.layers] == ["W", "W"]
    assert "fewer than" in report.gradient_flow.absent["decades_rms"]
    assert report.verdict is Verdict.HEALTHY


@pytest.mark.parametrize("uploaded", [True, False])
def test_the_report_says_how_many_samples_were_measured_of_how_many_and_why(
    *, uploaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass takes 0.1 s a sample: 33 of them in 120 s, 36 times."""
    monkeypatch.setattr(
        sizing, "forward_cost", lambda _, inputs: sizing.Cost(seconds=0.1 * len(inputs[0]), kept_bytes=0)
    )
    report = analyze(mlp(3, "Relu", he()), vectors(256) if uploaded else None, AnalysisOptions(batch_size=256))
    assert report.batch.size == 32
    note = "of 256 samples 32 were measured, drawn at random: passes over all of them would take more than"
    assert any(each.startswith(note) for each in report.batch.notes)


def test_a_budget_that_ends_at_once_still_gives_the_first_measurement_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processor = iter(range(0, 10**9, 10))  # ten seconds pass between any two looks
    monkeypatch.setattr(preparation, "within_budget", lambda forward, _: forward())
    monkeypatch.setattr(preparation, "fitting", lambda batch, *_: batch)
    whole = analyze(mlp(3, "Relu", he()), vectors(64), AnalysisOptions(effort="quick"))
    monkeypatch.setattr(DifferentiableModel, "interrupted_by", lambda *_: nullcontext())
    monkeypatch.setattr(time, "process_time", lambda: float(next(processor)))
    cut = analyze(mlp(3, "Relu", he()), vectors(64), AnalysisOptions(effort="quick", budget_seconds=5.0))
    assert cut.layers == whole.layers
    assert [each.what for each in cut.left_out if each.why == "budget_seconds reached"]
    assert [each.id for each in cut.variants] == ["baseline"]
