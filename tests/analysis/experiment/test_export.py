import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import analysis.experiment.export
from analysis.clock import OutOfTime
from analysis.convert import convert
from analysis.experiment.experiment import Experiment
from analysis.experiment.export import Destination, export
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.pipeline import analyze
from tests import gallery
from tests.analysis.experiment.experiments import experiment
from tests.analysis.fixed_exports import FEATURES, STEPS, Patches, Reader, fixed, run
from tests.gallery import ResidualNetwork, Transformer, images, mlp, seeded, tokens, vectors, xavier
from tests.variant_ids import without_steps

QUICK = AnalysisOptions(effort="quick")  # type: ignore[arg-type]
MODELS = {
    "mlp": (lambda: mlp(4, "Tanh", xavier()), vectors),
    "residual": (lambda: gallery.export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16)), lambda: images(64)),
    "transformer": (lambda: gallery.export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64)), tokens),
}


@pytest.fixture(params=MODELS)
def exported(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, bytes, list[str]]:
    build, batch = MODELS[request.param]
    report = analyze(build(), batch(), QUICK, models=Destination(tmp_path))
    written = [variant.id for variant in report.variants if variant.model is not None]
    for variant in report.variants:
        if variant.model is not None:
            name = variant.model.href.removeprefix("variants/").removesuffix("/model.onnx")
            assert name == without_steps(variant.id)
            assert variant.model.sha256 == hashlib.sha256((tmp_path / f"{name}.onnx").read_bytes()).hexdigest()
    return tmp_path, batch(), written


def test_every_measured_variant_is_valid_onnx_and_equal_in_onnxruntime_and_torch(
    exported: tuple[Path, bytes, list[str]],
) -> None:
    folder, batch, written = exported
    files = {path.stem for path in folder.iterdir()}
    assert files == set(map(without_steps, written))
    assert {"baseline", "he"} <= files
    assert {"clip", "decay", "he+clip"}.isdisjoint(files)
    x = np.load(io.BytesIO(batch))["x"][:16]
    for name in files:
        path = folder / f"{name}.onnx"
        onnx.checker.check_model(str(path), full_check=True)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (theirs,) = session.run(None, {"x": x})
        ours = convert(check_model(path))(torch.from_numpy(x))[0].detach().numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())


def test_the_file_says_what_was_done_to_which_model(tmp_path: Path) -> None:
    model = mlp(4, "Tanh", xavier())
    analyze(model, vectors(), QUICK, models=Destination(tmp_path))
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "relu+he.onnx").metadata_props}
    assert properties["gradient_health.variant"] == "relu+he"
    assert properties["gradient_health.seed"] == "0"
    assert properties["gradient_health.source_sha256"] == check_model(model).sha256
    assert "ReLU" in properties["gradient_health.recipe"]


def test_the_baseline_file_computes_what_the_upload_computes(tmp_path: Path) -> None:
    model = gallery.export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16))
    analyze(model, images(64), QUICK, models=Destination(tmp_path))
    x = np.random.default_rng(0).standard_normal((4, 3, 16, 16)).astype(np.float32)
    outputs = [
        onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for source in (model, str(tmp_path / "baseline.onnx"))
    ]
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "shape"),
    [(lambda: Reader("LSTM"), (1, STEPS, FEATURES)), (Patches, (8, 3, 4, 4))],
    ids=["lstm", "patches"],
)
def test_files_of_a_model_of_a_fixed_number_of_samples_take_any(
    make: Any, shape: tuple[int, ...], tmp_path: Path
) -> None:
    module = seeded(make)
    analyze(fixed(module, torch.zeros(shape)), None, QUICK, models=Destination(tmp_path))
    assert len(list(tmp_path.iterdir())) > 1
    x = torch.randn(5, *shape[1:])
    for path in tmp_path.iterdir():
        onnx.checker.check_model(str(path), full_check=True)
        assert run(path.read_bytes(), x.numpy()).shape == (5, 4)
    with torch.no_grad():
        expected = module.eval()(x).numpy()
    np.testing.assert_allclose(
        run((tmp_path / "baseline.onnx").read_bytes(), x.numpy()), expected, rtol=1e-4, atol=1e-5
    )


def test_the_exported_weights_are_those_that_were_measured(tmp_path: Path) -> None:
    report = analyze(mlp(4, "Tanh", xavier()), vectors(), QUICK, models=Destination(tmp_path))
    variant = next(variant for variant in report.variants if variant.id == "relu+batch_norm+he")
    again = analyze(tmp_path / "relu+batch_norm+he.onnx", vectors(), QUICK)
    assert variant.measurement is not None
    assert variant.measurement.gradient_flow is not None
    assert again.gradient_flow.decades_rms == pytest.approx(variant.measurement.gradient_flow.decades_rms, rel=1e-4)
    assert again.loss.value == pytest.approx(variant.measurement.loss, rel=1e-5)


def test_nothing_is_written_without_a_folder_and_nothing_half(tmp_path: Path) -> None:
    analyze(mlp(2, "Tanh", xavier()), vectors(), QUICK)
    analyze(mlp(2, "Tanh", xavier()), vectors(), QUICK, models=Destination(tmp_path / "new" / "folder"))
    assert not list(tmp_path.rglob("*.part"))
    assert list((tmp_path / "new" / "folder").glob("*.onnx"))


def test_only_what_was_proven_or_asked_for_where_that_is_wanted(tmp_path: Path) -> None:
    options = AnalysisOptions(variants=("selu+lsuv+clip",))
    report = analyze(mlp(20, "Sigmoid", xavier()), vectors(), options, models=Destination(tmp_path, proven_only=True))
    wanted = {"selu+lsuv+clip", *(remedy.variant for remedy in report.remedies)}
    files = {each.model.href for each in report.variants if each.id in wanted and each.model is not None}
    assert {f"variants/{path.stem}/model.onnx" for path in tmp_path.iterdir()} == files
    assert len(files) > 1


def test_what_there_is_no_room_for_is_left_out_by_name(tmp_path: Path) -> None:
    report = analyze(mlp(3, "Tanh", xavier()), vectors(), QUICK, models=Destination(tmp_path, room=60_000))
    files = list(tmp_path.iterdir())
    assert 0 < sum(path.stat().st_size for path in files) <= 60_000
    left_out = {each.what for each in report.left_out if each.what.startswith("model of")}
    assert left_out
    assert all(f"model of {path.stem}" not in left_out for path in files)


def test_large_models_keep_their_tensors_in_a_file_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis.experiment.export, "LARGEST_MESSAGE", 10_000)
    options = AnalysisOptions(effort="quick", variants=("only", "selu"))  # type: ignore[arg-type]
    analyze(mlp(3, "Tanh", xavier()), vectors(), options, models=Destination(tmp_path, proven_only=True))
    assert {path.name for path in tmp_path.iterdir()} == {"selu.onnx", "selu.onnx.data"}
    path = tmp_path / "selu.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    x = np.load(io.BytesIO(vectors()))["x"][:4]
    (theirs,) = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    assert np.isfinite(theirs).all()


def test_a_model_that_protobuf_cannot_measure_is_left_out_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is larger than a message has no size in protobuf; who takes one file alone is told so by name."""
    monkeypatch.setattr(analysis.experiment.export, "LARGEST_MESSAGE", 1_000)
    monkeypatch.setattr(analysis.experiment.export, "to_proto", None)
    options = AnalysisOptions(effort="quick", variants=("only", "selu"))  # type: ignore[arg-type]
    to = Destination(tmp_path, proven_only=True, alone=True)
    report = analyze(mlp(3, "Tanh", xavier()), vectors(), options, models=to)
    (why,) = (each.why for each in report.left_out if each.what == "model of selu")
    assert "room for 1000 more" in why
    assert list(tmp_path.iterdir()) == []


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
    report = analyze(model.SerializeToString(), None, QUICK, models=Destination(tmp_path))
    assert report.parity.status == "equal"
    x = generator.standard_normal((3, 16)).astype(dtype)
    for path in tmp_path.iterdir():
        (y,) = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})
        assert y.dtype == dtype
        assert np.isfinite(y).all()
    assert len(list(tmp_path.iterdir())) > 3


# ------------------------------------------------------------------ which, and how many


def measured(*variants: str) -> Experiment:
    options = AnalysisOptions(effort="quick", variants=("only", *variants))  # type: ignore[arg-type]
    cells = experiment(mlp(3, "Tanh", xavier(), width=16), options=options)
    cells.run_plan(cures=True)
    return cells


def written(cells: Experiment, folder: Path, remedies: tuple[str, ...] = (), **to: Any) -> tuple[set[str], list[str]]:
    """The files, and the ids of the variants that have one."""
    files = export(cells, remedies, Destination(folder, **to))
    for file in files.values():
        assert (folder / file.href.split("/")[1]).with_suffix(".onnx").exists()
    return {path.stem for path in folder.iterdir()}, [*files]


def sizes(cells: Experiment, folder: Path) -> dict[str, int]:
    written(cells, folder)
    return {path.stem: path.stat().st_size for path in folder.iterdir()}


def test_a_variant_with_a_gradient_step_has_the_file_of_the_same_without_where_there_is_one(tmp_path: Path) -> None:
    both, alone, steps = measured("he", "he+clip"), measured("he+clip"), measured("clip", "decay")
    assert written(both, tmp_path / "both") == ({"baseline", "he"}, ["baseline", "he", "he+clip"])
    assert written(alone, tmp_path / "alone") == ({"baseline", "he+clip"}, ["baseline", "he+clip"])
    assert written(steps, tmp_path / "steps") == ({"baseline"}, ["baseline"])


def test_what_does_not_apply_or_is_not_known_has_no_file(tmp_path: Path) -> None:
    cells = measured("tanh", "he")
    assert written(cells, tmp_path, ("tanh", "xavier")) == ({"baseline", "he"}, ["baseline", "he"])


def test_a_model_that_just_fits_is_written_and_one_byte_less_leaves_it_out(tmp_path: Path) -> None:
    cells = measured("selu", "he")
    size = sizes(cells, tmp_path / "all")["selu"]
    assert written(cells, tmp_path / "fits", ("selu",), room=size)[0] == {"selu"}
    cells.clock.left_out.clear()
    assert "selu" not in written(cells, tmp_path / "short", ("selu",), room=size - 1)[0]
    assert ("model of selu", f"{size} bytes, and there is room for {size - 1} more") in cells.clock.left_out


def test_remedies_come_first_then_what_was_asked_for_then_the_rest(tmp_path: Path) -> None:
    cells = measured("selu", "he", "relu")
    known = sizes(cells, tmp_path / "all")
    room = known["relu"] + known["selu"]
    assert written(cells, tmp_path / "two", ("relu",), room=room)[0] == {"relu", "selu"}
    room += known["he"]
    assert written(cells, tmp_path / "three", ("relu",), room=room)[0] == {"relu", "selu", "he"}
    room += known["baseline"]
    assert written(cells, tmp_path / "four", ("relu",), room=room)[0] == {*known}


def test_without_a_destination_nothing_is_written() -> None:
    cells = measured("he")
    assert export(cells, (), None) == {}
    assert Destination.of(None) is None
    assert Destination.of(Path("there")) == Destination(Path("there"), proven_only=False)


def test_models_are_written_though_the_budget_ended_in_the_last_training(tmp_path: Path) -> None:
    cells = experiment(mlp(3, "Tanh", xavier()))
    cells.run_plan(cures=False)

    def ended() -> bool:
        raise OutOfTime

    for each in cells.cells.values():
        cells.structures.subject_of(each.recipe).converted.interrupt = ended  # type: ignore[arg-type]
    written = export(cells, ["batch_norm+he"], Destination(tmp_path))
    assert "batch_norm+he" in written


def test_no_more_files_than_asked_for_remedies_first(tmp_path: Path) -> None:
    options = AnalysisOptions(effort="quick", variants=["only", "relu", "tanh", "relu+he"])
    analyze(mlp(3, "Sigmoid", xavier()), vectors(), options, models=Destination(tmp_path, proven_only=True, at_most=1))
    assert [file.name for file in tmp_path.iterdir()] == ["relu.onnx"]
