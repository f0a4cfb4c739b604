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
