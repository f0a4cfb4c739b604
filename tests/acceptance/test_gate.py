"""The gate that needs curl alone, against a real service."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from junitparser import JUnitXml

from tests.acceptance.conftest import Service, serving
from tests.gallery import he, mlp, vectors, xavier

pytestmark = pytest.mark.server
GATE = Path(__file__).parents[2] / "deploy" / "curl" / "gate.sh"


@pytest.mark.parametrize(
    ("model", "code", "verdict"),
    [(mlp(12, "Sigmoid", xavier(), width=16), 1, "unhealthy"), (mlp(3, "Relu", he(), width=16), 0, "healthy")],
)
def test_curl_prints_the_summary_writes_test_cases_and_the_page_and_fails_as_the_command_does(
    service: Service, tmp_path: Path, model: bytes, code: int, verdict: str
) -> None:
    (tmp_path / "net.onnx").write_bytes(model)
    (tmp_path / "batch.npz").write_bytes(vectors())
    command = ["bash", str(GATE), f"{service.url}/", "net.onnx", "batch.npz"]
    environment = {**os.environ, "OPTIONS": '{"effort":"quick"}'}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == code, done.stderr
    assert json.loads(done.stdout)["verdict"] == verdict
    assert len(done.stdout) < 20_000
    (suite,) = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert bool(suite.failures) is (code == 1)
    page = (tmp_path / "report.html").read_text()
    assert f": {verdict}</title>" in page  # the name is that of whoever sent these bytes first: the answer is kept
    assert f"{verdict}, {service.url}/v1/analyses/" in done.stderr.decode()


def test_a_service_with_keys_is_asked_with_the_one_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(mlp(3, "Relu", he(), width=16))
    with serving(tmp_path, auth="keys") as guarded:
        create = [sys.executable, "-m", "service", "keys", "create", "--tenant", "alice", "--data-dir", guarded.data]
        token = subprocess.run(create, capture_output=True, text=True, check=True).stdout.strip()
        for key, code in (("", 22), (token, 0)):
            environment = {**os.environ, "OPTIONS": '{"effort":"quick"}', "GRADIENT_HEALTH_API_KEY": key}
            command = ["bash", str(GATE), guarded.url, "net.onnx"]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
            assert done.returncode == code, done.stderr
            assert (tmp_path / "junit.xml").exists() is (code == 0)
        assert token.split("_", 2)[2] not in guarded.log


def test_what_is_refused_is_told_and_leaves_no_test_cases(service: Service, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no model")
    (tmp_path / "junit.xml").write_text("of an earlier run")
    done = subprocess.run(["bash", str(GATE), service.url, "net.onnx"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 22
    assert json.loads(done.stdout)["code"] == "not-onnx"
    assert not (tmp_path / "junit.xml").exists()


def test_a_file_that_is_not_there_is_named_before_anybody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(mlp(3, "Relu", he(), width=16))
    command = ["bash", str(GATE), "http://127.0.0.1:9", "net.onnx", "batch.npz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (26, "")
    assert "batch.npz" in done.stderr
