"""A report as a run: metrics, tags, report and repaired models as artifacts.

Numbers are those of the report. What belongs to a layer is one metric with the layer's place as its step, so that
MLflow draws it over depth: layer_weight_gradient_norm. All else has its labels in its name, where MLflow takes them
(letters, digits and `_-. :/`; a `+` is refused and written as a dot): variant_loss/relu.he.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from analysis.render.html import render_html
from analysis.report import Report
from analysis.report.numbers import Number, numbers_of
from service.mlflow.connection import Connection

BATCH: Final = 900
"""Metrics in one request: MLflow takes 1000 of metrics, parameters and tags together."""
REFUSED: Final = re.compile(r"[^A-Za-z0-9_\-. :/]")
LONGEST_KEY: Final = 250
LONGEST_TAG: Final = 5000
IN_NAME: Final = ("variant", "finding", "evidence", "stage")
"""Labels that tell metrics of one name apart."""
Metric = Mapping[str, Any]


def log_run(
    server: Connection, report: Report, experiment: str, files: Sequence[Path] = (), name: str | None = None
) -> str:
    """A finished run with everything of the report; its id. `name`: of the run, else the model's own."""
    run = _start(server, report, _experiment(server, experiment), report.model.name if name is None else name)
    run_id = str(run["info"]["run_id"])
    metrics = list(metrics_of(report, int(time.time() * 1000)))
    for start in range(0, len(metrics), BATCH):
        server.post("runs/log-batch", {"run_id": run_id, "metrics": metrics[start : start + BATCH]})
    root = str(run["info"]["artifact_uri"])
    server.put(root, "report.json", report.to_json(indent=1))
    server.put(root, "report.html", render_html(report).encode())
    for path in files:
        server.put(root, f"models/{path.name}", path.read_bytes())
    server.post("runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": int(time.time() * 1000)})
    return run_id


def _experiment(server: Connection, name: str) -> str:
    found = server.find("experiments/get-by-name", experiment_name=name)
    if found is None:
        return str(server.post("experiments/create", {"name": name})["experiment_id"])
    return str(found["experiment"]["experiment_id"])


def _start(server: Connection, report: Report, experiment_id: str, name: str) -> Mapping[str, Any]:
    tags = [{"key": key, "value": value} for key, value in tags_of(report).items()]
    asked = {"experiment_id": experiment_id, "start_time": int(time.time() * 1000), "tags": tags}
    run: Mapping[str, Any] = server.post("runs/create", {**asked, "run_name": name[:LONGEST_KEY]})["run"]
    return run


def metrics_of(report: Report, timestamp: int) -> Iterator[Metric]:
    """Every number that MLflow takes; it has no way to say NaN or infinity in JSON."""
    places = {stats.id: place for place, stats in enumerate(report.variants[0].layers or (), 1)}
    for number in numbers_of(report):
        if abs(number.value) < float("inf"):
            step = places.get(number.labels.get("layer", ""), 0)
            yield {"key": key_of(number), "value": number.value, "timestamp": timestamp, "step": step}


def tags_of(report: Report) -> dict[str, str]:
    """What a run and a version are searched by."""
    told = {
        "verdict": report.verdict.value,
        "cause": "" if report.cause is None else report.cause.rule,
        "summary": report.summary[:LONGEST_TAG],
        "report_id": report.id,
        "model_sha256": report.model.sha256,
        "version": report.engine.version,
    }
    return {f"gradient_health.{name}": value for name, value in told.items()}


def key_of(number: Number) -> str:
    """A name that tells it from every other number of the report but those of other layers."""
    labels = [number.labels[name] for name in IN_NAME if name in number.labels]
    return "/".join([number.name, *(REFUSED.sub(".", each).replace("/", ".") for each in labels)])[:LONGEST_KEY]
