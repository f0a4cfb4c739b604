"""What is uploaded: files as they are read, bytes, and arrays by name as npz."""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from analysis.options import AnalysisOptions, parse_options

Model = Path | bytes
Batch = Path | bytes | Mapping[str, Any]
"""Mapping: arrays by the names of the model's inputs, and `target`."""
Options = AnalysisOptions | Mapping[str, Any]
Part = tuple[str, tuple[str, BinaryIO | bytes]]


@contextmanager
def opened(model: Model, batch: Batch | None, data_files: Iterable[Path]) -> Iterator[list[Part]]:
    """The parts of a form, from files that are open meanwhile and are not read into memory."""
    with ExitStack() as files:

        def part(content: Path | bytes, name: str) -> tuple[str, BinaryIO | bytes]:
            if isinstance(content, bytes):
                return name, content
            return content.name, files.enter_context(content.open("rb"))

        arrays = _npz(batch) if isinstance(batch, Mapping) else batch
        parts: list[Part] = [("model", part(model, "model.onnx"))]
        parts += [] if arrays is None else [("batch", part(arrays, "batch.npz"))]
        parts += [("external_data", part(path, path.name)) for path in data_files]
        yield parts


def fields_of(options: Options | None) -> dict[str, str]:
    """The options as a field of the form. Raises BadOptions."""
    if options is None:
        return {}
    if isinstance(options, Mapping):
        options = parse_options(dict(options))
    return {"options": options.model_dump_json(exclude_unset=True)}


def _npz(arrays: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type] # numpy's own
    return file.getvalue()
