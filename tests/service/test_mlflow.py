"""A report as a run: against a server of our own that checks what MLflow checks, and against a real one."""

import json
import math
import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from analysis.report import Report
from service.mlflow import Mlflow, MlflowError, metrics_of, tags_of
from tests.analysis.render.pages import SHAPES, by_hand

URL = os.environ.get("GRADIENT_HEALTH_TEST_MLFLOW", "")
TAKEN = re.compile(r"[\w\-. :/]+", re.ASCII)
"""mlflow/utils/validation.py of 3.17."""


def fake(seen: dict[str, list[Any]], artifact_uri: str = "mlflow-artifacts:/7/r/artifacts") -> httpx.MockTransport:
    """Answers as MLflow does, and refuses what it refuses."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "PUT":
            seen.setdefault("files", []).append((path, request.content))
            return httpx.Response(200, json={})
        if path.endswith("get-by-name"):
            return httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST"})
        body = json.loads(request.content)
        name = path.removeprefix("/api/2.0/mlflow/")
        seen.setdefault(name, []).append(body)
        if name == "runs/log-batch":
            assert len(body["metrics"]) <= 1000
            assert all(TAKEN.fullmatch(each["key"]) and len(each["key"]) <= 250 for each in body["metrics"])
        told = {"experiments/create": {"experiment_id": "7"},
                "runs/create": {"run": {"info": {"run_id": "r", "artifact_uri": artifact_uri}}}}  # fmt: skip
        return httpx.Response(200, json=told.get(name, {}))

    return httpx.MockTransport(answer)


def server_of(transport: httpx.BaseTransport) -> Mlflow:
    server = Mlflow("http://test/")
    server._http = httpx.Client(transport=transport, base_url="http://test")
    return server


def test_a_run_has_metrics_tags_the_report_and_the_models(tmp_path: Path) -> None:
    report, seen = by_hand(), dict[str, list[Any]]()
    model = tmp_path / "relu+he.onnx"
    model.write_bytes(b"model")
    assert server_of(fake(seen)).log(report, "gradients", [model]) == "r"
    assert seen["experiments/create"] == [{"name": "gradients"}]
    (run,) = seen["runs/create"]
    assert {"key": "gradient_health.verdict", "value": "unhealthy"} in run["tags"]
    files = dict(seen["files"])
    root = "/api/2.0/mlflow-artifacts/artifacts/7/r/artifacts"
    assert Report.from_json(files[f"{root}/report.json"]) == report
    assert files[f"{root}/models/relu+he.onnx"] == b"model"
    assert f"{root}/report.html" in files
    assert seen["runs/update"][0]["status"] == "FINISHED"


def test_a_number_of_a_layer_is_drawn_over_depth_and_the_others_are_named() -> None:
    report = by_hand()
    told = list(metrics_of(report, 5))
    arriving = {each["step"]: each["value"] for each in told if each["key"] == "layer_activation_gradient_rms"}
    assert arriving == {1: 1e-7, 2: 1e-4, 3: 0.1}
    named = {each["key"]: each["value"] for each in told if each["step"] == 0}
    assert named["variant_loss_over_chance/relu.batch_norm.he"] == report.remedies[0].proof.worst
    assert named["finding_threshold/GH101/flow_decades"] == -2.8
    assert named["stage_seconds/factorial"] == 1.25


@pytest.mark.parametrize("shape", SHAPES)
def test_every_report_has_metrics_that_are_taken_and_none_twice(shape: str) -> None:
    told = list(metrics_of(SHAPES[shape](), 5))
    assert all(TAKEN.fullmatch(each["key"]) and math.isfinite(each["value"]) for each in told)
    assert len({(each["key"], each["step"]) for each in told}) == len(told)


def test_a_registered_version_gets_the_verdict_and_the_run() -> None:
    report, seen = by_hand(), dict[str, list[Any]]()
    server_of(fake(seen)).tag_version(report, "r", "net", "3")
    told = {each["key"]: each["value"] for each in seen["model-versions/set-tag"]}
    assert told == {**tags_of(report), "gradient_health.run_id": "r"}
    assert (told["gradient_health.verdict"], told["gradient_health.cause"]) == ("unhealthy", "GH101")
    assert {(each["name"], each["version"]) for each in seen["model-versions/set-tag"]} == {("net", "3")}


@pytest.mark.parametrize(
    ("transport", "told"),
    [
        (lambda: fake({}, "s3://bucket/7"), "--serve-artifacts"),
        (lambda: httpx.MockTransport(lambda _: httpx.Response(403, text="no")), "403 no"),
        (lambda: httpx.MockTransport(lambda _: httpx.Response(200, text="<h1>Sign in</h1>")), "not answer as MLflow"),
    ],
)
def test_a_server_that_refuses_or_is_another_is_told(transport: Callable[[], httpx.MockTransport], told: str) -> None:
    with pytest.raises(MlflowError, match=told):
        server_of(transport()).log(by_hand(), "x")


# ------------------------------------------------------------------ a real one


@pytest.fixture
def real() -> Iterator[httpx.Client]:
    if not URL:
        pytest.skip("GRADIENT_HEALTH_TEST_MLFLOW names no server")
    with httpx.Client(base_url=URL, timeout=60) as http:
        http.get("/health").raise_for_status()
        yield http


@pytest.mark.server
def test_a_real_server_takes_everything_and_gives_it_back(
    real: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, name, api = by_hand(), f"net-{uuid.uuid4().hex}", "/api/2.0/mlflow"
    model = tmp_path / "relu+he.onnx"
    model.write_bytes(b"model")
    server = Mlflow(URL)
    monkeypatch.setattr(server, "_http", real)
    run_id = server.log(report, "gradient-health-tests", [model])
    assert server.log(report, "gradient-health-tests") != run_id, "the experiment is there already"
    run = real.get(f"{api}/runs/get", params={"run_id": run_id}).raise_for_status().json()["run"]
    assert run["info"]["status"] == "FINISHED"
    metrics = {each["key"]: each["value"] for each in run["data"]["metrics"]}
    assert metrics["flow_decades_rms"] == report.gradient_flow.decades_rms
    asked = {"run_id": run_id, "metric_key": "layer_activation_gradient_rms"}
    history = real.get(f"{api}/metrics/get-history", params=asked).raise_for_status().json()["metrics"]
    assert {each["step"]: each["value"] for each in history} == {1: 1e-7, 2: 1e-4, 3: 0.1}
    place = run["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
    kept = real.get(f"/api/2.0/mlflow-artifacts/artifacts/{place}/report.json")
    assert Report.from_json(kept.raise_for_status().content) == report
    real.post(f"{api}/registered-models/create", json={"name": name}).raise_for_status()
    version = {"name": name, "source": run["info"]["artifact_uri"] + "/models", "run_id": run_id}
    real.post(f"{api}/model-versions/create", json=version).raise_for_status()
    server.tag_version(report, run_id, name, "1")
    tagged = real.get(f"{api}/model-versions/get", params={"name": name, "version": "1"}).raise_for_status().json()
    tags = {each["key"]: each["value"] for each in tagged["model_version"]["tags"]}
    assert tags["gradient_health.verdict"] == "unhealthy"
