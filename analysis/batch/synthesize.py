"""A batch made up from what the graph declares of its inputs."""

import hashlib

import numpy as np

from analysis.batch.samples import BATCH_NAMES, Batch, sample_axes
from analysis.errors import BadBatch
from analysis.facts import Provenance
from analysis.model import CheckedModel
from analysis.model.checked import ValueSpec
from analysis.model.weights import Array


def synthesize_batch(model: CheckedModel, size: int, seed: int, open_size: int = 16) -> Batch:
    """A batch from the input specification: N(0, 1) floats, small integers; seeded, and marked as synthetic.

    The first axis counts samples where the model leaves it open; other open axes get `open_size`.
    """
    random = np.random.default_rng(seed)
    inputs: dict[str, Array] = {}
    chosen: dict[str, int] = {}
    for spec in model.inputs:
        shape = tuple(
            _synthetic_size(dimension, place, size, open_size, chosen)
            for place, dimension in enumerate((None,) if spec.shape is None else spec.shape)
        )
        inputs[spec.name] = _synthetic(spec, shape, random, _table_sizes(model, spec.name))
    count, axes = sample_axes(model, inputs, {})
    digest = hashlib.sha256()
    for name, array in inputs.items():
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    note = "inputs are synthetic: what depends on real data may differ"
    return Batch(inputs, {}, count, axes, digest.hexdigest(), Provenance.SYNTHETIC, (note,))


# ------------------------------------------------------------------ synthesis


def _synthetic_size(dimension: int | str | None, place: int, size: int, open_size: int, chosen: dict[str, int]) -> int:
    if isinstance(dimension, int):
        return dimension
    is_batch = dimension.lower() in BATCH_NAMES if isinstance(dimension, str) else False
    value = size if is_batch or place == 0 else open_size
    return chosen.setdefault(dimension, value) if isinstance(dimension, str) else value


def _synthetic(spec: ValueSpec, shape: tuple[int, ...], random: np.random.Generator, rows: int | None) -> Array:
    dtype = np.dtype(spec.dtype) if spec.dtype not in {"sequence", "optional", "map", "str", "unknown"} else None
    if dtype is None:
        raise BadBatch(f"cannot make up a value of type {spec.dtype}", where=spec.name, hint="send a batch")
    if dtype.kind == "b":
        return np.ones(shape, dtype)
    if dtype.kind in "iu":
        # Token ids where the input reads a table; ones (a full mask, type zero would be as good) elsewhere.
        return random.integers(0, rows, shape).astype(dtype) if rows else np.ones(shape, dtype)
    return random.standard_normal(shape).astype(dtype)


def _table_sizes(model: CheckedModel, name: str) -> int | None:
    """Rows of the smallest table that an integer input looks up, found through casts and reshapes."""
    found: list[int] = []
    reached = {name}
    for node in model.nodes:
        if reached.isdisjoint(node.input):
            continue
        if node.op_type == "Gather" and node.input[1] in reached and node.input[0] in model.weights:
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
            found.append(model.weights[node.input[0]].shape[axis])
        elif node.op_type in {"Cast", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Slice", "Gather"}:
            reached.update(node.output)
    return min(found) if found else None
