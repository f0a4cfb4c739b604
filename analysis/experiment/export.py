"""A measured variant as an ONNX model: the edited graph with the weights that were measured.

Names are kept, constants come back as initialisers, and the metadata say what was done to which model. Valid under
`onnx.checker`; equal in onnxruntime and torch (tests hold every treatment to it). A gradient step does not live in a
graph: a variant that has one shares the file of the same without it.
"""

import hashlib
import itertools
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from onnx import ModelProto, helper, save_model

from analysis.experiment.cells import Cells, Measured
from analysis.experiment.experiment import Experiment
from analysis.experiment.replay import batch_statistics, drawn
from analysis.facts import Effect, ModelFile
from analysis.interventions.contract import Recipe
from analysis.interventions.variants import asked_for, variant_id
from analysis.model.onnx_tools import assemble_proto, check_graph
from analysis.model.weights import Array
from analysis.options import AnalysisOptions
from analysis.subject.subject import Subject

METADATA: Final = "gradient_health."
LARGEST_MESSAGE: Final = (1 << 31) - (1 << 26)
"""Bytes of the tensors in a protobuf message, which has room for a graph beside them; of what is larger they are in a
file of their own, `<variant id>.onnx.data`."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where models are written as `<variant id>.onnx`, and how many."""

    folder: Path
    proven_only: bool = False
    """Only remedies and what `options.variants` names; else everything that was measured."""
    room: int = sys.maxsize
    """Bytes that all files may take together, remedies first."""
    at_most: int = sys.maxsize
    """Files, remedies first."""
    alone: bool = False
    """Only models that need no file beside them."""

    @classmethod
    def of(cls, models_dir: Path | None) -> "Destination | None":
        """Everything that was measured, in this folder; nothing without one."""
        return None if models_dir is None else cls(models_dir)


def export(experiment: Experiment, remedies: Iterable[str], to: Destination | None) -> dict[str, ModelFile]:
    """Write the models that belong there, each whole or not at all; the file of each variant that has one.

    `remedies`: ids of the variants that come first.
    """
    if to is None:
        return {}
    cells, structures, options = experiment.cells, experiment.structures, experiment.options
    to.folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, ModelFile] = {}
    room = to.room
    wanted = _wanted(cells, options, remedies, proven_only=to.proven_only)
    for name in itertools.islice(wanted, to.at_most):
        measured = cells[name]
        assert measured.recipe is not None
        subject = structures.subject_of(measured.recipe)
        tensors = sum(array.nbytes for array in subject.model.weights.values())
        most = min(room, LARGEST_MESSAGE) if to.alone else room
        proto = None if tensors > most else to_proto(subject, measured.recipe, _metadata(measured, options.seed))
        is_large = tensors > LARGEST_MESSAGE  # protobuf has no size for more than it can write
        size = tensors if proto is None or is_large else proto.ByteSize()
        if proto is None or size > most:
            experiment.clock.leave_out(f"model of {name}", f"{size} bytes, and there is room for {most} more")
            continue
        room -= size
        sha256 = _write(proto, to.folder / f"{name}.onnx", is_large=is_large)
        written[name] = ModelFile(href=f"variants/{name}/model.onnx", sha256=sha256)
    return {name: written[file] for name in cells if (file := _file_of(cells, name)) in written}


def _wanted(cells: Cells, options: AnalysisOptions, remedies: Iterable[str], *, proven_only: bool) -> Iterator[str]:
    """Variants whose models are written, the most wanted first, none twice."""
    asked = [variant_id(cell) for cell in asked_for(options)]
    wanted = [*remedies, *asked, *([] if proven_only else cells)]
    files = (_file_of(cells, name) for name in dict.fromkeys(wanted) if name in cells)
    yield from dict.fromkeys(file for file in files if file is not None)


def _file_of(cells: Cells, name: str) -> str | None:
    """The variant whose graph this one shares, or itself; None where there is no graph or nothing was measured."""
    measured = cells[name]
    if measured.recipe is None or measured.measurement is None or measured.info.effect is Effect.TRAINING_ONLY:
        return None
    plain = measured.info.plain
    known = cells.get(plain)
    return plain if known is not None and known.measurement is not None else name


def to_proto(subject: Subject, recipe: Recipe, metadata: dict[str, str]) -> ModelProto:
    """The model of a recipe, drawn with the seed in its metadata."""
    weights: dict[str, Array] = dict(subject.model.weights)
    with subject.converted.interrupted_by(None), drawn(subject, recipe, int(metadata["seed"])):
        for name in recipe.draws:
            weights[name] = subject.converted.initializers[name].detach().cpu().numpy().astype(weights[name].dtype)
        for name, value in batch_statistics(subject, recipe.sites).items():
            weights[name] = value.cpu().numpy().astype(weights[name].dtype)
        check_graph(subject.model.proto, weights)
        proto = assemble_proto(subject.model.proto, weights)
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    helper.set_model_props(proto, {**properties, **{METADATA + key: value for key, value in metadata.items()}})
    return proto


def _metadata(measured: Measured, seed: int) -> dict[str, str]:
    assert measured.recipe is not None
    return {
        "variant": measured.info.id,
        "recipe": measured.info.recipe,
        "seed": str(seed),
        "source_sha256": measured.recipe.model.sha256,
    }


def _write(proto: ModelProto, path: Path, *, is_large: bool) -> str:
    """Whole or not at all, with a file beside it where it `is_large`; returns the sha256 of the file."""
    with tempfile.TemporaryDirectory(dir=path.parent, suffix=".part") as folder:
        part = Path(folder) / path.name
        if is_large:
            save_model(proto, part, save_as_external_data=True, location=f"{path.name}.data")
        else:
            part.write_bytes(proto.SerializeToString(deterministic=True))
        for file in sorted(Path(folder).iterdir(), reverse=True):  # the tensors before the model that refers to them
            _flush(file)
            file.replace(path.parent / file.name)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
