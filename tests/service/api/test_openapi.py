"""The OpenAPI document, as those read it who generate clients from it."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from analysis.report import Report
from service.api.authentication import REFUSALS
from service.app import create_app
from service.settings import Settings
from tests.service.application import BATCH, MODEL, Bridge, Service

GENERATOR = os.environ.get("GRADIENT_HEALTH_TEST_OPENAPI_CLIENT", "")
"""openapi-python-client, which lives in an environment of its own: it wants another typer."""


@pytest.fixture
def document(service: Service) -> dict[str, Any]:
    return service.get("/openapi.json").json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        yield from ((f"{method} {path}", operation) for method, operation in methods.items())


def test_every_error_of_every_path_has_a_type_and_problems_have_one(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert "default" in operation["responses"], name
        for status, response in operation["responses"].items():
            if status != "default" and int(status) < HTTPStatus.BAD_REQUEST:
                continue
            kinds = {kind: body["schema"] for kind, body in response["content"].items()}
            assert kinds, (name, status)
            assert all("$ref" in schema for schema in kinds.values()), (name, status)
            if kinds.keys() != {"application/json"}:
                assert kinds["application/problem+json"] == {"$ref": "#/components/schemas/Problem"}


def test_what_is_referred_to_is_there_and_no_operation_has_the_name_of_another(document: dict[str, Any]) -> None:
    referred = set(re.findall(r"#/components/schemas/([^\"]+)", json.dumps(document)))
    assert referred <= document["components"]["schemas"].keys()
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)


def test_with_keys_their_refusals_are_told_for_every_path_but_the_probes(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path, auth="keys"))
    for name, operation in operations(app.openapi()):
        expected = set() if name.endswith("z") else {str(status) for status in REFUSALS}
        assert expected == operation["responses"].keys() & {"401", "403"}, name
    app.state.parts.store.close()


def loaded(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(path.parent)])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_datamodel_codegen_makes_classes_that_read_what_is_sent(
    document: dict[str, Any], service: Service, healthy: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    command = [sys.executable, "-W", "error", "-m", "datamodel_code_generator", "--input-file-type", "openapi"]
    command += ["--input", str(tmp_path / "openapi.json"), "--output", str(tmp_path / "models.py")]
    command += ["--output-model-type", "pydantic_v2.BaseModel", "--formatters", "builtin", "--use-annotated"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    classes = re.findall(r"^class (\w+)\(", (tmp_path / "models.py").read_text(), re.MULTILINE)
    numbered = [name for name in classes if name.rstrip("0123456789") in {*classes, "Model"} - {name}]
    assert not numbered, "two had one name"
    assert {"Problem", "JobView", "Report", "Comparison"} <= set(classes)
    models = loaded(tmp_path / "models.py", "generated_models", monkeypatch)
    submitted = service.submit()
    models.JobView.model_validate_json(submitted.content)
    models.Problem.model_validate_json(service.get("/v1/analyses/unknown").content)
    service.succeed(healthy)
    report = service.get(f"/v1/analyses/{submitted.json()['id']}/report")
    assert models.Report.model_validate_json(report.content).verdict.value == healthy.verdict.value


@pytest.mark.server
def test_openapi_python_client_makes_a_client_that_talks_to_the_service(
    document: dict[str, Any], service: Service, healthy: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not GENERATOR and os.environ.get("GRADIENT_HEALTH_TEST_REQUIRE_SERVERS") == "1":
        pytest.fail("GRADIENT_HEALTH_TEST_OPENAPI_CLIENT names no openapi-python-client")
    if not GENERATOR:
        pytest.skip("no openapi-python-client, see GRADIENT_HEALTH_TEST_OPENAPI_CLIENT")
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    command = [GENERATOR, "generate", "--path", "openapi.json", "--output-path", "made", "--meta", "none"]
    paths = {"PATH": f"{Path(GENERATOR).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | paths, capture_output=True, text=True, check=True, timeout=120
    )
    assert "arning" not in done.stdout + done.stderr, done.stdout
    monkeypatch.syspath_prepend(tmp_path)
    made = importlib.import_module("made")
    analyze, job, report = (
        importlib.import_module(f"made.api.analyses.{name}") for name in ("analyze", "get_analysis", "get_report")
    )
    upload = importlib.import_module("made.models.analyze_body")
    files = importlib.import_module("made.types")
    client = made.Client("http://localhost")
    client.set_httpx_client(httpx.Client(transport=Bridge(service.app), base_url="http://localhost"))
    model, batch = (files.File(payload=content, file_name="file") for content in (MODEL, BATCH))
    submitted = analyze.sync(client=client, body=upload.AnalyzeBody(model=model, batch=batch), prefer="respond-async")
    assert submitted.state == "queued"
    assert job.sync("unknown", client=client).code == "not-found"
    assert report.sync(submitted.id, client=client).code == "not-finished"
    service.succeed(healthy)
    assert report.sync(submitted.id, client=client).verdict == healthy.verdict.value
