from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from analysis.convert import convert
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.pipeline import analyze
from tests.gallery import ResidualNetwork, Transformer, export, images, mlp, seeded, tokens, vectors, xavier

QUICK = AnalysisOptions(effort="quick")  # type: ignore[arg-type]
MODELS = {
    "mlp": (lambda: mlp(4, "Tanh", xavier()), vectors),
    "residual": (lambda: export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16)), lambda: images(64)),
    "transformer": (lambda: export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64)), tokens),
}


@pytest.fixture(params=MODELS)
def exported(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, bytes, list[str]]:
    build, batch = MODELS[request.param]
    report = analyze(build(), batch(), QUICK, models_dir=tmp_path)
    written = [variant.id for variant in report.variants if variant.model is not None]
    for variant in report.variants:
        if variant.model is not None:
            assert variant.model.href == f"variants/{variant.id}/model.onnx"
    return tmp_path, batch(), written


def test_every_measured_variant_is_valid_onnx_and_equal_in_onnxruntime_and_torch(
    exported: tuple[Path, bytes, list[str]],
) -> None:
    folder, batch, written = exported
    assert {path.stem for path in folder.iterdir()} == set(written)
    assert "baseline" in written
    x = np.load(__import__("io").BytesIO(batch))["x"][:16]
    for name in written:
        path = folder / f"{name}.onnx"
        onnx.checker.check_model(str(path), full_check=True)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (theirs,) = session.run(None, {"x": x})
        ours = convert(check_model(path))(torch.from_numpy(x))[0].detach().numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())


def test_the_file_says_what_was_done_to_which_model(tmp_path: Path) -> None:
    model = mlp(4, "Tanh", xavier())
    analyze(model, vectors(), QUICK, models_dir=tmp_path)
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "relu+he.onnx").metadata_props}
    assert properties["gradient_health.variant"] == "relu+he"
    assert properties["gradient_health.seed"] == "0"
    assert properties["gradient_health.source_sha256"] == check_model(model).sha256
    assert "ReLU" in properties["gradient_health.recipe"]


def test_the_baseline_file_computes_what_the_upload_computes(tmp_path: Path) -> None:
    model = export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16))
    analyze(model, images(64), QUICK, models_dir=tmp_path)
    x = np.random.default_rng(0).standard_normal((4, 3, 16, 16)).astype(np.float32)
    outputs = [
        onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for source in (model, str(tmp_path / "baseline.onnx"))
    ]
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-5, atol=1e-6)


def test_the_exported_weights_are_those_that_were_measured(tmp_path: Path) -> None:
    report = analyze(mlp(4, "Tanh", xavier()), vectors(), QUICK, models_dir=tmp_path)
    variant = next(variant for variant in report.variants if variant.id == "relu+batch_norm+he")
    again = analyze(tmp_path / "relu+batch_norm+he.onnx", vectors(), QUICK)
    assert variant.measurement is not None
    assert variant.measurement.gradient_flow is not None
    assert again.gradient_flow.decades_rms == pytest.approx(variant.measurement.gradient_flow.decades_rms, rel=1e-4)
    assert again.loss.value == pytest.approx(variant.measurement.loss, rel=1e-5)


def test_nothing_is_written_without_a_folder_and_nothing_half(tmp_path: Path) -> None:
    analyze(mlp(2, "Tanh", xavier()), vectors(), QUICK)
    analyze(mlp(2, "Tanh", xavier()), vectors(), QUICK, models_dir=tmp_path / "new" / "folder")
    assert not list(tmp_path.rglob("*.part"))
    assert list((tmp_path / "new" / "folder").glob("*.onnx"))


@pytest.mark.parametrize("element", ["float", "float16"])
def test_what_only_onnxruntime_takes_is_written_as_it_came(element: str, tmp_path: Path) -> None:
    """Its own operators in the standard's domain, and an output of open rank."""
    layers = range(1, 7)
    nodes = " ".join(
        f"n{n} = SimplifiedLayerNormalization(h{n - 1}, s) m{n} = MatMul(n{n}, w{n}) h{n} = Tanh(m{n})" for n in layers
    )
    text = f"""<ir_version: 8, opset_import: ["": 17]> net ({element}[N,16] x) => ({element}[] y) {{
        h0 = Identity(x) {nodes} y = MatMul(h6, w0) }}"""
    model = onnx.parser.parse_model(text)
    generator, dtype = np.random.default_rng(0), np.float16 if element == "float16" else np.float32
    weights = {f"w{n}": generator.standard_normal((16, 16)).astype(dtype) / 4 for n in range(7)}
    for name, array in {**weights, "s": np.ones(16, dtype)}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    report = analyze(model.SerializeToString(), None, QUICK, models_dir=tmp_path)
    assert report.parity.status == "equal"
    x = generator.standard_normal((3, 16)).astype(dtype)
    for path in tmp_path.iterdir():
        (y,) = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})
        assert y.dtype == dtype
        assert np.isfinite(y).all()
    assert len(list(tmp_path.iterdir())) > 3
