"""The gate that needs curl alone, against a real service."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from junitparser import JUnitXml

from tests.acceptance.conftest import Service
from tests.gallery import he, mlp, vectors, xavier

pytestmark = pytest.mark.server
GATE = Path(__file__).parents[2] / "deploy" / "curl" / "gate.sh"


@pytest.mark.parametrize(
    ("model", "code", "verdict"),
    [(mlp(12, "Sigmoid", xavier(), width=16), 22, "unhealthy"), (mlp(3, "Relu", he(), width=16), 0, "healthy")],
)
def test_curl_prints_the_summary_writes_test_cases_and_fails_as_the_gate_does(
    service: Service, tmp_path: Path, model: bytes, code: int, verdict: str
) -> None:
    (tmp_path / "net.onnx").write_bytes(model)
    (tmp_path / "batch.npz").write_bytes(vectors())
    command = ["bash", str(GATE), service.url, "net.onnx", "batch.npz"]
    environment = {**os.environ, "OPTIONS": '{"effort":"quick"}'}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == code, done.stderr
    assert json.loads(done.stdout)["verdict"] == verdict
    assert len(done.stdout) < 20_000
    (suite,) = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert bool(suite.failures) is (code == 22)


def test_what_is_refused_is_told_and_leaves_no_test_cases(service: Service, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no model")
    done = subprocess.run(["bash", str(GATE), service.url, "net.onnx"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 22
    assert json.loads(done.stdout)["code"] == "not-onnx"
    assert not (tmp_path / "junit.xml").exists()
