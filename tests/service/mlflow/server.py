"""A tracking server in memory: answers as MLflow 3.17 does, and refuses what it refuses."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.mlflow.connection import Connection

API, FILES = "/api/2.0/mlflow/", "/api/2.0/mlflow-artifacts/artifacts"
TAKEN = re.compile(r"[\w\-. :/]+", re.ASCII)
"""mlflow/utils/validation.py of 3.17."""


@dataclass
class Tracking:
    """What was asked of it, and what it keeps."""

    root: str = "mlflow-artifacts:/7/r/artifacts"
    seen: dict[str, list[Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    """By their path below the root of all artifacts."""
    versions: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """Tags of registered versions."""
    outages: int = 0
    """So many further requests are answered with 503."""

    @property
    def connection(self) -> Connection:
        return Connection("http://test/", transport=httpx.MockTransport(self.answer))

    def register(self, name: str, number: str, files: dict[str, bytes]) -> None:
        """A version with the files of a model."""
        self.versions[name, number] = {}
        self.files |= {f"7/models/{name}-{number}/artifacts/{path}": content for path, content in files.items()}

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.outages > 0:
            self.outages -= 1
            return httpx.Response(503, text="starting")
        path = request.url.path
        if path.startswith(FILES):
            return self._file(request, path.removeprefix(FILES).lstrip("/"))
        name, query = path.removeprefix(API), dict(request.url.params)
        if request.method == "GET":
            return self._get(name, query)
        body = json.loads(request.content)
        self.seen.setdefault(name, []).append(body)
        if name == "runs/log-batch":
            assert len(body["metrics"]) <= 1000
            assert all(TAKEN.fullmatch(each["key"]) and len(each["key"]) <= 250 for each in body["metrics"])
        if name == "model-versions/set-tag":
            assert len(body["value"]) <= 5000
            self.versions[body["name"], body["version"]][body["key"]] = body["value"]
        run = {"info": {"run_id": "r", "artifact_uri": self.root}}
        told = {"experiments/create": {"experiment_id": "7"}, "runs/create": {"run": run}}
        return httpx.Response(200, json=told.get(name, {}))

    def _get(self, name: str, query: dict[str, str]) -> httpx.Response:
        if name == "model-versions/search":
            found = re.fullmatch(r"tags\.`([^`]+)` = '([^']*)'", query["filter"])
            assert found is not None
            fit = [each for each, tags in self.versions.items() if tags.get(found[1]) == found[2]]
            start = int(query.get("page_token", 0))
            page: dict[str, Any] = {"model_versions": [self._version(*each) for each in fit[start : start + 2]]}
            return httpx.Response(200, json=page | ({"next_page_token": str(start + 2)} if fit[start + 2 :] else {}))
        version = (query.get("name", ""), query.get("version", ""))
        if name == "experiments/get-by-name" or version not in self.versions:
            return httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST"})
        if name == "model-versions/get-download-uri":
            root = f"mlflow-artifacts:/7/models/{version[0]}-{version[1]}/artifacts"
            return httpx.Response(200, json={"artifact_uri": root})
        assert name == "model-versions/get"
        return httpx.Response(200, json={"model_version": self._version(*version)})

    def _version(self, name: str, number: str) -> dict[str, Any]:
        tags = [{"key": key, "value": value} for key, value in self.versions[name, number].items()]
        return {"name": name, "version": number} | ({"tags": tags} if tags else {})

    def _file(self, request: httpx.Request, path: str) -> httpx.Response:
        if request.method == "PUT":
            self.files[path] = request.content
            return httpx.Response(200, json={})
        if path:
            return httpx.Response(200, content=self.files[path])
        below = request.url.params["path"].rstrip("/") + "/"
        names = {
            each.removeprefix(below): len(content) for each, content in self.files.items() if each.startswith(below)
        }
        files = [{"path": name, "is_dir": False, "file_size": size} for name, size in names.items() if "/" not in name]
        folders = {name.split("/")[0] for name in names if "/" in name}
        return httpx.Response(200, json={"files": files + [{"path": each, "is_dir": True} for each in folders]})
