"""The application as a whole: its documentation, and what it loads."""

import json
import subprocess
import sys
from http import HTTPStatus
from typing import Any

import jsonschema
import pytest

from analysis.options import parse_options
from analysis.report import Report
from service.problems import Problem
from tests.service.application import Service

# ------------------------------------------------------------------ OpenAPI


@pytest.fixture
def document(service: Service) -> dict[str, Any]:
    response = service.get("/openapi.json")
    assert response.status_code == HTTPStatus.OK
    return json.loads(response.content)


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_api_documents_every_operation_and_status(document: dict[str, Any]) -> None:
    documented = {name: set(operation["responses"]) for name, operation in operations(document).items()}
    assert documented == {
        "POST /v1/analyses": {"200", "202", "400", "408", "411", "413", "415", "422", "429", "503", "507", "default"},
        "PUT /v1/blobs/{sha256}": {"200", "201", "400", "408", "411", "413", "415", "429", "503", "507", "default"},
        "GET /v1/blobs/{sha256}": {"200", "404", "default"},
        "GET /v1/analyses": {"200", "400", "default"},
        "GET /v1/analyses/{job_id}": {"200", "404", "default"},
        "DELETE /v1/analyses/{job_id}": {"204", "404", "410", "default"},
        "POST /v1/analyses/{job_id}/cancel": {"200", "404", "409", "410", "default"},
        "GET /v1/analyses/{job_id}/events": {"200", "204", "404", "410", "default"},
        "GET /v1/limits": {"200", "default"},
        "GET /v1/analyses/{job_id}/report": {"200", "304", "400", "404", "406", "409", "422", "503", "default"},
        "GET /v1/analyses/{job_id}/report.{suffix}": {"200", "304", "400", "404", "409", "422", "503", "default"},
        "GET /v1/analyses/{job_id}/variants/{variant}": {"200", "404", "409", "default"},
        "GET /v1/analyses/{job_id}/variants/{variant}/model.onnx": {"200", "304", "404", "409", "default"},
        "POST /v1/comparisons": {
            "200",
            "400",
            "404",
            "408",
            "409",
            "411",
            "413",
            "415",
            "422",
            "429",
            "503",
            "default",
        },
        "GET /v1/schema/report": {"200", "default"},
        "GET /v1/schema/comparison": {"200", "default"},
        "GET /v1/rules": {"200", "default"},
        "GET /v1/rules/{rule}": {"200", "404", "default"},
        "GET /v1/interventions": {"200", "default"},
        "GET /v1/interventions/{token}": {"200", "404", "default"},
        "GET /v1/schema/options": {"200", "default"},
        "GET /healthz": {"200", "default"},
        "GET /readyz": {"200", "503", "default"},
        "GET /metrics": {"200", "default"},
    }


def test_every_documented_error_has_a_typed_problem_as_its_body(document: dict[str, Any]) -> None:
    shared = document["components"]["schemas"]["Problem"]
    assert set(Problem.model_fields) == set(shared["properties"])
    jsonschema.validate(shared["example"], shared)
    for name, operation in operations(document).items():
        for status, response in operation["responses"].items():
            if status < "400" or (name, status) == ("GET /readyz", "503"):
                continue
            schema = response["content"]["application/problem+json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}, (name, status)
            json_too = "application/json" in response["content"]
            assert json_too is (status == "422"), (name, status)


def test_every_operation_can_be_called_by_name_and_the_upload_has_an_example(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(names)) == len(names)
    form = operations(document)["POST /v1/analyses"]["requestBody"]["content"]["multipart/form-data"]
    parts = {"model", "batch", "options", "external_data"}
    assert (set(form["example"]), set(form["schema"]["properties"])) == (parts, {*parts, "blobs"})
    parse_options(form["example"]["options"])
    schemas = document["components"]["schemas"]
    assert set(schemas["JobView"]["example"]) >= set(schemas["JobView"]["properties"]) - {"finished", "error"}


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    references = {piece.split('"')[0] for piece in text.split('"#/components/schemas/')[1:]}
    assert references <= set(schemas)
    assert "ValidationError" not in references
    assert document["openapi"].startswith("3.1")


def test_answers_are_as_documented(service: Service, document: dict[str, Any], healthy: Report) -> None:
    accepted = service.submit()
    schemas = document["components"]["schemas"]
    view = schemas["JobView"] | {"components": document["components"]}
    jsonschema.validate(accepted.json(), view)
    service.succeed(healthy)
    jsonschema.validate(service.get(accepted.headers["location"]).json(), view)


# ------------------------------------------------------------------ weight


@pytest.mark.parametrize("module", ["service.app", "service.worker.supervisor", "service.cli", "service.client"])
def test_only_children_load_the_laboratory(module: str) -> None:
    script = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE).stdout
    assert not {"torch", "onnxruntime", "safetensors"} & set(json.loads(output))
