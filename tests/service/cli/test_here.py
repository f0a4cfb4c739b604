import gc
from pathlib import Path

import pytest
import torch

from analysis.errors import NotOnnx
from analysis.options import parse_options
from analysis.report import Verdict
from service.cli._here import analyze_here
from tests.gallery import mlp, vectors, xavier


def test_the_report_with_models_of_what_was_proven_only(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(mlp(12, "Sigmoid", xavier(), width=16))
    (tmp_path / "b.npz").write_bytes(vectors())
    stages: list[str] = []
    options = parse_options({"variants": ["only", "relu+batch_norm+he", "decay"]})
    report = analyze_here(
        tmp_path / "m.onnx", tmp_path / "b.npz", options, tmp_path / "models", lambda stage, _: stages.append(stage)
    )
    assert report.verdict is Verdict.UNHEALTHY
    assert [each.variant for each in report.remedies] == ["relu+batch_norm+he"]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["relu+batch_norm+he.onnx"]
    assert stages[0] == "check"
    assert torch.get_num_threads() == 1


def test_the_collector_works_again_once_the_library_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    try:
        with pytest.raises(NotOnnx):
            analyze_here(tmp_path / "m.onnx", None, parse_options({}), None, lambda *_: None)
        assert gc.isenabled()
        assert gc.get_freeze_count() > 100_000
    finally:
        gc.unfreeze()


@pytest.mark.parametrize(("asked", "cores", "used"), [(None, 1, 1), (None, 2, 2), (None, 64, 4), (3, 1, 3), (8, 64, 8)])
def test_trainings_are_dealt_to_the_cores_unless_somebody_says_otherwise(
    asked: int | None, cores: int, used: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[int] = []
    monkeypatch.setattr("analysis.pipeline.analyze", lambda *_, processes, **__: told.append(processes))
    monkeypatch.setattr("service.settings.usable_cores", lambda: cores)
    analyze_here(tmp_path / "m.onnx", None, parse_options({}), None, lambda *_: None, asked)
    assert told == [used]
