"""A report as a run of W&B, told to a stand-in of the library; `wandb` itself is an extra that tests do without."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import service.wandb
from analysis.errors import BadOptions
from analysis.render.html import render_html
from service.wandb import log, rows_of, summary_of
from tests.analysis.render.pages import by_hand


@dataclass
class Artifact:
    name: str
    type: str
    metadata: dict[str, str]
    files: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def new_file(self, name: str, mode: str) -> Iterator[io.BytesIO]:
        assert mode == "wb"
        yield (file := io.BytesIO())
        self.files[name] = file.getvalue()

    def add_file(self, path: str, name: str) -> None:
        self.files[name] = Path(path).read_bytes()


@dataclass
class Run:
    id = "run-1"
    asked: dict[str, Any]
    axes: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)
    ended: bool = False

    def define_metric(self, name: str, step_metric: str) -> None:
        self.axes[name] = step_metric

    def log(self, row: dict[str, Any]) -> None:
        self.rows.append(row)

    def log_artifact(self, artifact: Artifact) -> None:
        self.artifacts.append(artifact)

    def finish(self) -> None:
        self.ended = True


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    made: list[Run] = []
    library = ModuleType("wandb")

    def init(**asked: Any) -> Run:
        made.append(Run(asked))
        return made[-1]

    library.init, library.Artifact = init, Artifact  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", library)
    monkeypatch.setattr(service.wandb, "find_spec", lambda _: library)
    return made


def test_a_run_has_the_layers_as_rows_the_rest_as_summary_and_the_files(runs: list[Run], tmp_path: Path) -> None:
    report, model = by_hand(), tmp_path / "he.onnx"
    model.write_bytes(b"model")
    assert log(report, "nets", [model], tmp_path, offline=True) == "run-1"
    (run,) = runs
    assert run.ended
    assert (run.asked["project"], run.asked["mode"], run.asked["dir"]) == ("nets", "offline", str(tmp_path))
    assert run.asked["config"]["gradient_health.verdict"] == report.verdict.value
    assert run.axes == {"layer_*": "layer"}
    assert run.rows == list(rows_of(report))
    assert run.summary == summary_of(report)
    (artifact,) = run.artifacts
    assert artifact.name == f"gradient-health-{report.id}"
    assert artifact.files == {
        "report.json": report.to_json(indent=1),
        "report.html": render_html(report).encode(),
        "models/he.onnx": b"model",
    }


def test_numbers_are_those_of_the_report() -> None:
    report = by_hand()
    layers = report.variants[0].layers
    assert layers
    rows = list(rows_of(report))
    assert [row["layer"] for row in rows] == list(range(1, len(layers) + 1))
    assert [row["layer_name"] for row in rows] == [layer.name for layer in report.layers]
    gradients = [each.weight_gradient.norm for each in layers if each.weight_gradient is not None]
    assert [row["layer_weight_gradient_norm"] for row in rows] == gradients
    told = summary_of(report)
    assert told["flow_decades_rms"] == report.gradient_flow.decades_rms
    assert told["verdict"] == report.verdict.value
    assert not any(name.startswith("layer_") for name in told)


def test_without_the_library_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(service.wandb, "find_spec", lambda _: None)
    with pytest.raises(BadOptions, match="wandb is not installed"):
        log(by_hand(), "nets", (), tmp_path, offline=True)
