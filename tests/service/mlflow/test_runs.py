"""A report as a run: against a server of our own that checks what MLflow checks, and against a real one."""

import math
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from analysis.report import Report
from service.mlflow.connection import Connection
from service.mlflow.runs import log_run, metrics_of
from service.mlflow.versions import Version, tag_verdict
from tests.analysis.render.pages import SHAPES, by_hand
from tests.service.mlflow.server import TAKEN, Tracking

URL = os.environ.get("GRADIENT_HEALTH_TEST_MLFLOW", "")


def test_a_run_has_metrics_tags_the_report_and_the_models(tmp_path: Path) -> None:
    report, tracking = by_hand(), Tracking()
    model = tmp_path / "relu+he.onnx"
    model.write_bytes(b"model")
    assert log_run(tracking.connection, report, "gradients", [model]) == "r"
    assert tracking.seen["experiments/create"] == [{"name": "gradients"}]
    (run,) = tracking.seen["runs/create"]
    assert run["run_name"] == report.model.name
    assert {"key": "gradient_health.verdict", "value": "unhealthy"} in run["tags"]
    root = "7/r/artifacts"
    assert Report.from_json(tracking.files[f"{root}/report.json"]) == report
    assert tracking.files[f"{root}/models/relu+he.onnx"] == b"model"
    assert f"{root}/report.html" in tracking.files
    assert tracking.seen["runs/update"][0]["status"] == "FINISHED"


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


# ------------------------------------------------------------------ a real one


@pytest.fixture
def real() -> Iterator[httpx.Client]:
    if not URL:
        pytest.skip("GRADIENT_HEALTH_TEST_MLFLOW names no server")
    with httpx.Client(base_url=URL, timeout=60) as http:
        http.get("/health").raise_for_status()
        yield http


@pytest.mark.server
def test_a_real_server_takes_everything_and_gives_it_back(real: httpx.Client, tmp_path: Path) -> None:
    report, name, api = by_hand(), f"net-{uuid.uuid4().hex}", "/api/2.0/mlflow"
    model = tmp_path / "relu+he.onnx"
    model.write_bytes(b"model")
    with Connection(URL) as server:
        run_id = log_run(server, report, "gradient-health-tests", [model])
        assert log_run(server, report, "gradient-health-tests") != run_id, "the experiment is there already"
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
    with Connection(URL) as server:
        tag_verdict(server, Version(name, "1"), report, run_id)
    tagged = real.get(f"{api}/model-versions/get", params={"name": name, "version": "1"}).raise_for_status().json()
    tags = {each["key"]: each["value"] for each in tagged["model_version"]["tags"]}
    assert tags["gradient_health.verdict"] == "unhealthy"
