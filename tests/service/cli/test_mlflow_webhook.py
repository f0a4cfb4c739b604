"""The command that receives webhooks of MLflow: what it refuses, and all of it against a real MLflow server."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from analysis.report import Report
from service.cli import app
from service.mlflow_webhook.analysis import SECRET
from tests.gallery import mlp, vectors, xavier

URL = os.environ.get("GRADIENT_HEALTH_TEST_MLFLOW", "")
API = "/api/2.0/mlflow"
PATIENCE = 240.0


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["mlflow-webhook", *arguments])


def test_without_a_secret_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SECRET, raising=False)
    outcome = run()
    assert outcome.exit_code == 2
    assert SECRET in outcome.stderr


def test_options_that_are_none_are_told_before_anything_is_received(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, "s3cret")
    outcome = run("--options", '{"effort": "lots"}')
    assert outcome.exit_code == 2
    assert "--options" in outcome.stderr


def test_an_address_that_is_taken_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, "s3cret")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = run("--port", str(taken.getsockname()[1]))
    assert outcome.exit_code == 1
    assert "cannot listen on 127.0.0.1 port" in outcome.stderr


# ------------------------------------------------------------------ a real MLflow server


@contextmanager
def receiving(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str], IO[str]]]:
    """A receiver as it is started by hand; its address, its process and its log."""
    log = (folder / "log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "mlflow-webhook", "--port", "0", "--tracking-uri", URL, *options],
        env={**os.environ, SECRET: "s3cret", "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, stderr=log, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = re.match(r"listening on (http://\S+) ", process.stdout.readline())
        assert address is not None
        yield address[1], process, log
    finally:
        process.kill()
        process.communicate()
        log.close()


def register(mlflow: httpx.Client, name: str, files: dict[str, bytes]) -> None:
    """A run with a model, as a version of a registered model."""
    asked = {"experiment_id": "0", "start_time": int(time.time() * 1000)}
    run = mlflow.post(f"{API}/runs/create", json=asked).raise_for_status().json()["run"]["info"]
    root = run["artifact_uri"].removeprefix("mlflow-artifacts:/").lstrip("/")
    for path, content in files.items():
        kept = mlflow.put(f"/api/2.0/mlflow-artifacts/artifacts/{root}/model/{path}", content=content)
        kept.raise_for_status()
    body = {"name": name, "source": run["artifact_uri"] + "/model", "run_id": run["run_id"]}
    mlflow.post(f"{API}/model-versions/create", json=body).raise_for_status()


def tags_when(mlflow: httpx.Client, name: str, version: str, state: str) -> dict[str, str]:
    """Once the version is in that state."""
    deadline = time.monotonic() + PATIENCE
    while True:
        told: Any = mlflow.get(f"{API}/model-versions/get", params={"name": name, "version": version}).json()
        tags = {each["key"]: each["value"] for each in told["model_version"].get("tags", [])}
        if tags.get("gradient_health.state", "").startswith(state):
            return tags
        assert time.monotonic() < deadline, tags
        time.sleep(0.2)


@pytest.mark.server
def test_mlflow_tells_of_a_new_version_and_finds_the_verdict_beside_it(tmp_path: Path) -> None:
    if not URL:
        pytest.skip("GRADIENT_HEALTH_TEST_MLFLOW names no server")
    name = f"net-{uuid.uuid4().hex}"
    only = ("--only", f"{name}*", "--options", '{"effort": "quick"}')
    with httpx.Client(base_url=URL, timeout=60) as mlflow, receiving(tmp_path, *only) as (address, process, log):
        for each in (name, f"{name}-forest"):
            mlflow.post(f"{API}/registered-models/create", json={"name": each}).raise_for_status()
        asked = {
            "name": name,
            "url": address,
            "secret": "s3cret",
            "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
        }
        webhook = mlflow.post(f"{API}/webhooks", json=asked).raise_for_status().json()["webhook"]["webhook_id"]
        try:
            tried = mlflow.post(f"{API}/webhooks/{webhook}/test", json={}).raise_for_status().json()["result"]
            assert (tried["success"], tried["response_status"]) == (True, 200), "of another model: passed over"
            model = {
                "model.onnx": mlp(12, "Sigmoid", xavier(), width=16),
                "batch.npz": vectors(),
                "MLmodel": b"flavors: {}",
            }
            register(mlflow, name, model)
            tags = tags_when(mlflow, name, "1", "done")
            assert (tags["gradient_health.verdict"], tags["gradient_health.cause"]) == ("unhealthy", "GH101")
            kept = mlflow.get(
                "/get-artifact", params={"run_uuid": tags["gradient_health.run_id"], "path": "report.json"}
            )
            report = Report.from_json(kept.raise_for_status().content)
            assert report.verdict.value == "unhealthy"
            assert (report.batch.size, report.batch.provenance) == (256, "uploaded"), "the one beside the model"
            register(mlflow, f"{name}-forest", {"model.pkl": b"no network"})
            tags_when(mlflow, f"{name}-forest", "1", "no model")
            register(mlflow, name, {"model.onnx": b"no network"})
            assert "the file is not an ONNX model" in tags_when(mlflow, name, "2", "failed")["gradient_health.state"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) in {0, -signal.SIGTERM}
            log.seek(0)
            assert f"{name}/1: accepted (delivery " in log.read()
        finally:
            mlflow.delete(f"{API}/webhooks/{webhook}").raise_for_status()
