"""A measured variant as an ONNX model: the edited graph with the weights that were measured.

Names are kept, constants come back as initialisers, and the metadata say what was done to which model. As valid as the
model that came in; equal in onnxruntime and torch (tests hold every treatment to it).
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

from onnx import ModelProto, helper

from analysis.experiment import Experiment, Measured
from analysis.interventions._base import Recipe
from analysis.model import assemble_proto, check_graph
from analysis.replay import batch_statistics, drawn
from analysis.subject import Subject
from analysis.weights import Array

METADATA: Final = "gradient_health."


def export(experiment: Experiment, folder: Path | None) -> dict[str, str]:
    """Write every measured variant that lives in a graph as `<variant id>.onnx`; sha256 by variant id."""
    if folder is None:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, str] = {}
    for each in experiment.cells.values():
        if each.recipe is not None and each.measurement is not None:
            content = to_onnx(experiment.subject_of(each.recipe), each.recipe, _metadata(experiment, each))
            written[each.info.id] = _write(content, folder / f"{each.info.id}.onnx")
    return written


def to_onnx(subject: Subject, recipe: Recipe, metadata: dict[str, str]) -> bytes:
    """The serialised model of a recipe, drawn with the seed in its metadata."""
    weights: dict[str, Array] = dict(subject.model.weights)
    with drawn(subject, recipe, int(metadata["seed"])):
        for name in recipe.draws:
            weights[name] = subject.converted.initializers[name].detach().cpu().numpy().astype(weights[name].dtype)
        for name, value in batch_statistics(subject, recipe.sites).items():
            weights[name] = value.cpu().numpy().astype(weights[name].dtype)
        return _serialized(subject.model.proto, weights, metadata)


def _metadata(experiment: Experiment, measured: Measured) -> dict[str, str]:
    assert measured.recipe is not None
    return {
        "variant": measured.info.id,
        "recipe": measured.info.recipe,
        "seed": str(experiment.options.seed),
        "source_sha256": measured.recipe.model.sha256,
    }


def _serialized(graph: ModelProto, weights: dict[str, Array], metadata: dict[str, str]) -> bytes:
    check_graph(graph, weights)
    proto = assemble_proto(graph, weights)
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    helper.set_model_props(proto, {**properties, **{METADATA + key: value for key, value in metadata.items()}})
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _write(content: bytes, path: Path) -> str:
    """The file whole or not at all; returns its sha256."""
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
        part.write(content)
        part.flush()
        os.fsync(part.fileno())
    Path(part.name).replace(path)
    return hashlib.sha256(content).hexdigest()
