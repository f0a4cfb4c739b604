"""Every variant of every public model that is at hand: valid ONNX, and the same in onnxruntime and torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_state

from analysis.convert import convert
from analysis.errors import AnalysisError
from analysis.experiment.export import Destination
from analysis.facts import Status
from analysis.interventions.shelf import BY_TOKEN
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.pipeline import analyze
from analysis.synthesis.synthesize import synthesize_batch
from tests.beside import SHARED

pytestmark = pytest.mark.benchmark
FOLDER = SHARED / "models"
EVERYTHING = (*BY_TOKEN, "selu+group_norm+residual+orthogonal", "standardized+pre_ln+xavier", "zero_ends+xavier")
QUICK = AnalysisOptions(effort="quick", variants=("only", *EVERYTHING), batch_size=4)  # type: ignore[arg-type]


def entries() -> list[dict[str, Any]]:
    index = FOLDER / "models.json"
    return json.loads(index.read_text())["models"] if index.exists() else []


@pytest.mark.skipif(not entries(), reason="the public models lie beside the repository, and are not there")
@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["id"])
def test_every_variant_is_valid_onnx_and_equal_in_onnxruntime_and_torch(
    entry: Mapping[str, Any], tmp_path: Path
) -> None:
    path = FOLDER / entry["path"]
    try:
        report = analyze(path, None, QUICK, models=Destination(tmp_path))
    except AnalysisError as error:
        pytest.skip(f"nothing to analyse: {error}")
    written = sorted(tmp_path.glob("*.onnx"))
    for variant in report.variants:
        assert variant.model is not None or variant.reason or variant.absent.get("model"), variant.id
        assert variant.status is not Status.NOT_APPLICABLE or variant.reason
    try:
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, made_up(path))
    except (onnxruntime_state.NotImplemented, onnxruntime_state.Fail, onnxruntime_state.InvalidArgument) as error:
        pytest.skip(f"onnxruntime does not run the upload: {error}")
    for file in written:
        onnx.checker.check_model(str(file), full_check=True)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        feeds = made_up(path)
        theirs = session.run(None, feeds)
        inputs = (torch.from_numpy(np.array(feeds[spec.name])) for spec in session.get_inputs())
        for mine, other in zip(convert(check_model(file))(*inputs), theirs, strict=True):
            scale = np.abs(other).max(initial=1e-30)
            np.testing.assert_allclose(mine.detach().numpy(), other, rtol=2e-3, atol=5e-4 * scale, err_msg=file.stem)


def made_up(path: Path) -> dict[str, np.ndarray]:
    model = check_model(path)
    return dict(synthesize_batch(model, convert(model), 4, seed=0).inputs)
