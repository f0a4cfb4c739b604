"""A report as a run of MLflow, by REST alone: metrics, tags, report and repaired models as artifacts.

Numbers are those of the report. What belongs to a layer is one metric with the layer's place as its step, so that
MLflow draws it over depth: layer_weight_gradient_norm. All else has its labels in its name, where MLflow takes them
(letters, digits and `_-. :/`; a `+` is refused and written as a dot): variant_loss/relu.he.
API: https://mlflow.org/docs/latest/api_reference/rest-api.html
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from analysis.render.html import render_html
from analysis.report import Report
from analysis.report.numbers import Number, numbers_of

BATCH: Final = 900
"""Metrics in one request: MLflow takes 1000 of metrics, parameters and tags together."""
REFUSED: Final = re.compile(r"[^A-Za-z0-9_\-. :/]")
LONGEST_KEY: Final = 250
LONGEST_TAG: Final = 5000
IN_NAME: Final = ("variant", "finding", "evidence", "stage")
"""Labels that tell metrics of one name apart."""
ARTIFACTS: Final = "mlflow-artifacts:/"
TIMEOUT: Final = httpx.Timeout(30.0, write=300.0)
Metric = Mapping[str, Any]


class MlflowError(Exception):
    """The tracking server refused, or cannot take artifacts by HTTP."""


class Mlflow:
    """Talks to one tracking server. Raises MlflowError, and httpx.TransportError where there is none."""

    def __init__(self, url: str, auth: httpx.Auth | tuple[str, str] | None = None, token: str = "") -> None:
        """Where the server is, and who asks."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url.rstrip("/"), auth=auth, headers=headers, timeout=TIMEOUT)

    def log(self, report: Report, experiment: str, files: Sequence[Path] = ()) -> str:
        """A finished run with everything of the report; its id."""
        run = self._start(report, self._experiment(experiment))
        run_id = str(run["info"]["run_id"])
        metrics = list(metrics_of(report, int(time.time() * 1000)))
        for start in range(0, len(metrics), BATCH):
            self._post("runs/log-batch", {"run_id": run_id, "metrics": metrics[start : start + BATCH]})
        root = str(run["info"]["artifact_uri"])
        self._put(root, "report.json", report.to_json(indent=1))
        self._put(root, "report.html", render_html(report).encode())
        for path in files:
            self._put(root, f"models/{path.name}", path.read_bytes())
        self._post("runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": int(time.time() * 1000)})
        return run_id

    def tag_version(self, report: Report, run_id: str, name: str, version: str) -> None:
        """The verdict beside a registered version, where a deployment looks for it."""
        for key, value in {**tags_of(report), "gradient_health.run_id": run_id}.items():
            self._post("model-versions/set-tag", {"name": name, "version": version, "key": key, "value": value})

    def _experiment(self, name: str) -> str:
        found = self._http.get("/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": name})
        if found.status_code == httpx.codes.NOT_FOUND:
            return str(self._post("experiments/create", {"name": name})["experiment_id"])
        return str(_read(found)["experiment"]["experiment_id"])

    def _start(self, report: Report, experiment_id: str) -> Mapping[str, Any]:
        tags = [{"key": key, "value": value} for key, value in tags_of(report).items()]
        asked = {"experiment_id": experiment_id, "start_time": int(time.time() * 1000), "tags": tags}
        asked["run_name"] = report.model.name[:LONGEST_KEY]
        run: Mapping[str, Any] = self._post("runs/create", asked)["run"]
        return run

    def _post(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return _read(self._http.post(f"/api/2.0/mlflow/{path}", json=body))

    def _put(self, root: str, name: str, content: bytes) -> None:
        if not root.startswith(ARTIFACTS):
            raise MlflowError(f"artifacts are kept at {root}: start the server with --serve-artifacts")
        place = f"{root.removeprefix(ARTIFACTS).lstrip('/')}/{quote(name)}"
        _succeeded(self._http.put(f"/api/2.0/mlflow-artifacts/artifacts/{place}", content=content))


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


def _succeeded(response: httpx.Response) -> httpx.Response:
    """What is stored is answered without a body."""
    if not response.is_success:
        raise MlflowError(
            f"{response.request.method} {response.url.path}: {response.status_code} {response.text[:300]}"
        )
    return response


def _read(response: httpx.Response) -> Mapping[str, Any]:
    try:
        body = _succeeded(response).json()
    except ValueError as error:
        raise MlflowError(f"{response.url} does not answer as MLflow does") from error
    return body if isinstance(body, dict) else {}
