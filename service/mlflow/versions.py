"""Registered versions: their tags, and their model with the files that its weights lie in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from analysis.report import Report
from service.mlflow.connection import Connection, MlflowError
from service.mlflow.runs import LONGEST_TAG, tags_of

PREFIX: Final = "gradient_health."
USUAL: Final = "model.onnx"
"""As `mlflow.onnx.log_model` calls it."""
BATCHES: Final = ("batch.npz", "batch.npy", "batch.safetensors", "batch.pb", "batch.json")
"""A sample batch that lies beside a model."""


@dataclass(frozen=True, slots=True)
class Version:
    """Of a registered model."""

    name: str
    number: str

    def __str__(self) -> str:
        return f"{self.name}/{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Version":
        """NAME/VERSION, where the name may have slashes. Raises ValueError."""
        name, _, number = text.rpartition("/")
        if not (name and number):
            raise ValueError("must be NAME/VERSION, for example net/3")
        return cls(name, number)


def tag_verdict(server: Connection, version: Version, report: Report, run_id: str) -> None:
    """The verdict beside a registered version, where a deployment looks for it."""
    for key, value in {**tags_of(report), f"{PREFIX}run_id": run_id}.items():
        set_tag(server, version, key, value)


def set_tag(server: Connection, version: Version, key: str, value: str) -> None:
    """One tag, cut to what MLflow takes."""
    body = {"name": version.name, "version": version.number, "key": key, "value": value[:LONGEST_TAG]}
    server.post("model-versions/set-tag", body)


def tags_at(server: Connection, version: Version) -> Mapping[str, str]:
    """All of them. Raises MlflowError where there is no such version."""
    found = server.get("model-versions/get", name=version.name, version=version.number)["model_version"]
    return {str(each["key"]): str(each.get("value", "")) for each in found.get("tags", [])}


def tagged(server: Connection, key: str, value: str) -> Iterator[Version]:
    """Versions with that tag, of all models."""
    query = {"filter": f"tags.`{key}` = '{value}'", "max_results": "1000"}
    while True:
        page = server.get("model-versions/search", **query)
        for each in page.get("model_versions", []):
            yield Version(str(each["name"]), str(each["version"]))
        if not page.get("next_page_token"):
            return
        query["page_token"] = str(page["next_page_token"])


@dataclass(frozen=True, slots=True)
class Fetched:
    """The model of a version, and the batch beside it, if any."""

    model: Path
    batch: Path | None


def fetch(server: Connection, version: Version, folder: Path, most_bytes: int) -> Fetched | None:
    """The version's ONNX model and what lies beside it, in `folder`; None where it has none.

    What lies beside it are the files of its weights, under names that only the model knows. Raises MlflowError where
    there are several models or more than `most_bytes`.
    """
    found = server.get("model-versions/get-download-uri", name=version.name, version=version.number)
    root = str(found.get("artifact_uri", ""))
    sizes = server.names_in(root)
    models = [name for name in sizes if name.endswith(".onnx")]
    if not models:
        return None
    if USUAL not in models and len(models) > 1:
        raise MlflowError(f"{version} has several models and none is {USUAL}: {', '.join(sorted(models))}")
    model = USUAL if USUAL in models else models[0]
    wanted = [name for name in sizes if name == model or not name.endswith((".onnx", ".py", ".yaml", ".txt"))]
    if (total := sum(sizes[name] for name in wanted)) > most_bytes:
        raise MlflowError(f"{version} has {total} bytes, and {most_bytes} are the limit")
    for name in wanted:
        if PurePosixPath(name).name != name or name in {"", ".", ".."}:
            raise MlflowError(f"{name!r} is no name of a file")
        with (folder / name).open("xb") as into:
            server.fetch(root, name, into, sizes[name])
    batch = next((folder / name for name in BATCHES if name in wanted), None)
    return Fetched(folder / model, batch)
