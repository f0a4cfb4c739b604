"""A report as a run of Weights & Biases: scalars by layer, a summary, report and repaired models as an artifact.

Numbers are those of the report. What belongs to a layer is a row with the layer's place as its axis, so that it is
drawn over depth (`layer_weight_gradient_norm` over `layer`); all else is in the summary, its labels in its name, as
MLflow has them: `variant_loss/relu.he`. Offline the run is a folder that `wandb sync` sends later. The library is no
dependency: it is loaded here alone, where it is there.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from analysis.errors import BadOptions
from analysis.render.html import render_html
from analysis.report import Report
from analysis.report.numbers import numbers_of
from service.mlflow.runs import key_of, tags_of

LIBRARY: Final = "wandb"
AXIS: Final = "layer"
Row = Mapping[str, float | str]


def log(report: Report, project: str, files: Sequence[Path], folder: Path, *, offline: bool) -> str:
    """A finished run with everything of the report; its id. Raises BadOptions where the library is missing."""
    if find_spec(LIBRARY) is None:
        raise BadOptions("wandb is not installed", hint="pip install wandb")
    library: Any = import_module(LIBRARY)
    run = library.init(
        project=project,
        name=report.model.name,
        job_type="gradient-health",
        config=tags_of(report),
        dir=str(folder),
        mode="offline" if offline else "online",
    )
    run.define_metric("layer_*", step_metric=AXIS)
    for row in rows_of(report):
        run.log(dict(row))
    run.summary.update(summary_of(report))
    run.log_artifact(_artifact(library, report, files))
    run.finish()
    return str(run.id)


def rows_of(report: Report) -> Iterator[Row]:
    """One for each layer of the unchanged model, in its order."""
    rows: dict[str, dict[str, float | str]] = {
        stats.id: {AXIS: place} for place, stats in enumerate(report.variants[0].layers or (), 1)
    }
    for number in numbers_of(report):
        row = rows.get(number.labels.get("layer", ""))
        if row is not None:
            row |= {number.name: number.value, "layer_name": number.labels.get("name", "")}
    yield from rows.values()


def summary_of(report: Report) -> dict[str, float | str]:
    """The verdict, and every number that is of no layer."""
    numbers = {key_of(number): number.value for number in numbers_of(report) if "layer" not in number.labels}
    return {**numbers, "verdict": report.verdict.value, "cause": "" if report.cause is None else report.cause.rule}


def _artifact(library: Any, report: Report, files: Sequence[Path]) -> Any:
    artifact = library.Artifact(f"gradient-health-{report.id}", type="gradient-health", metadata=tags_of(report))
    for name, content in (("report.json", report.to_json(indent=1)), ("report.html", render_html(report).encode())):
        with artifact.new_file(name, mode="wb") as file:
            file.write(content)
    for path in files:
        artifact.add_file(str(path), name=f"models/{path.name}")
    return artifact
