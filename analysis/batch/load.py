"""Bytes -> Batch: arrays held against the model's inputs.

Keys are graph input names; `target` or `labels` is for the first differentiable output, `target.<output>` for a named
one, and an input of that name wins. A single unnamed array is the only input.
"""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, Final

import ml_dtypes
import numpy as np

from analysis.batch.formats import UNNAMED, read_arrays
from analysis.batch.guess import KINDS
from analysis.batch.ids import check_ids
from analysis.batch.missing import fills_in
from analysis.batch.samples import Batch, is_batch_name, refuse_without_numbers, sample_axes
from analysis.errors import BadBatch, LimitExceeded
from analysis.facts import Provenance
from analysis.model import CheckedModel
from analysis.model.check import DEFAULT_LIMITS
from analysis.model.checked import ValueSpec
from analysis.model.weights import Array
from analysis.options import Limits

TARGET_KEYS: Final = ("target", "labels")
MEANT_AS_TARGET: Final = frozenset(
    {
        "y",
        "y_true",
        "ytrue",
        "y_train",
        "label",
        "targets",
        "gt",
        "ground_truth",
        "class",
        "classes",
        "output",
        "outputs",
    }
)
"""What others call targets, in lower case."""
TARGET_PREFIX: Final = "target."
TEXT: Final = "US"
"""Kinds of numpy's types that hold text."""
MOST_AXES: Final = 5
"""Of an array whose orders of axes are tried."""


def load_batch(source: bytes | Path, model: CheckedModel, limits: Limits = DEFAULT_LIMITS) -> Batch:
    """Read a batch and check it against the model.

    Raises BadBatch saying what was expected and what was given, LimitExceeded.
    """
    content = _content(source, limits)
    arrays = read_arrays(content, limits)
    inputs, targets = _assign(arrays, model)
    inputs = {spec.name: _checked(spec, inputs[spec.name]) for spec in model.inputs}
    targets = {name: _numbers(name, array) for name, array in targets.items()}
    _check_finite(inputs, targets, model)
    check_ids(inputs, model)
    size, axes = sample_axes(model, inputs, targets)
    digest = hashlib.sha256(content).hexdigest()
    return Batch(inputs, targets, size, axes, digest, Provenance.UPLOADED)


# ------------------------------------------------------------------ reading


def _content(source: bytes | Path, limits: Limits) -> bytes:
    if isinstance(source, Path):
        try:
            if source.stat().st_size > limits.batch_bytes:
                raise LimitExceeded(
                    f"the batch has {source.stat().st_size} bytes, {limits.batch_bytes} are allowed", where="batch"
                )
            source = source.read_bytes()
        except OSError as error:
            raise BadBatch(f"cannot read the batch: {error.strerror}", where=str(source)) from error
    if len(source) > limits.batch_bytes:
        raise LimitExceeded(f"the batch has {len(source)} bytes, {limits.batch_bytes} are allowed", where="batch")
    if not source:
        raise BadBatch("the batch is empty", where="batch", hint=KINDS)
    return source


# ------------------------------------------------------------------ against the model


def _assign(arrays: Mapping[str, Array], model: CheckedModel) -> tuple[dict[str, Array], dict[str, Array]]:
    """Divide arrays into inputs and targets by name."""
    expected = [spec.name for spec in model.inputs]
    outputs = [spec.name for spec in model.outputs]
    if len(arrays) == 1 and len(expected) == 1 and next(iter(arrays)) not in expected:
        (name, array), *_ = arrays.items()
        if name == UNNAMED or name not in TARGET_KEYS:
            arrays = {expected[0]: array} if name in {UNNAMED, "arr_0"} else arrays
    inputs: dict[str, Array] = {}
    targets: dict[str, Array] = {}
    unknown: list[str] = []
    for name, array in arrays.items():
        if name in expected:
            inputs[name] = array
        elif name in TARGET_KEYS and "" in targets:
            raise BadBatch(f"targets are given twice: {_listed(arrays)}", where=name)
        elif name in TARGET_KEYS:
            targets[""] = array
        elif name.startswith(TARGET_PREFIX) and name.removeprefix(TARGET_PREFIX) in outputs:
            targets[name.removeprefix(TARGET_PREFIX)] = array
        else:
            unknown.append(name)
    missing = [name for name in expected if name not in inputs]
    if missing or unknown:
        raise BadBatch(
            f"the model expects {_listed(expected)}, the batch has {_listed(arrays)}",
            where=", ".join(missing or unknown),
            hint=_rename(unknown, missing, outputs, has_targets=bool(targets)),
        )
    return inputs, targets


def _rename(unknown: Sequence[str], missing: Sequence[str], outputs: Sequence[str], *, has_targets: bool) -> str:
    """How inputs and targets are called, and which key looks like them: by its name, or as nothing else is left."""
    keys = f"target (or labels), {_listed(TARGET_PREFIX + name for name in outputs)}"
    meant = [] if has_targets else [name for name in unknown if name.lower().strip("_") in MEANT_AS_TARGET]
    meant = meant or (list(unknown) if not missing and not has_targets and len(unknown) == 1 else [])
    left = [name for name in unknown if name not in meant]
    told = [f"call {left[0]!r} {missing[0]}"] if len(left) == len(missing) == 1 else []
    told += [f"if {meant[0]!r} is what the network should give, call it target"] if meant else []
    return f"{', and '.join(told)}; optional keys are {keys}" if told else f"optional besides: {keys}"


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "nothing"


def _checked(spec: ValueSpec, array: Array) -> Array:
    """The array, its type, rank and fixed sizes as declared; names of dimensions are only hints in ONNX."""
    refuse_without_numbers(spec)
    array = _native(array)
    if spec.dtype == "bfloat16" and array.dtype == np.dtype("V2"):
        array = array.view(ml_dtypes.bfloat16)  # numpy's own formats keep only its bytes
    if array.dtype.name != spec.dtype:
        numbers = array.dtype.kind not in TEXT
        raise BadBatch(
            f"expected {spec.dtype}, given {array.dtype.name if numbers else 'text'}",
            where=spec.name,
            hint=f"convert it with .astype('{spec.dtype}')" if numbers else "send numbers: encode what is text",
        )
    expected = "of any rank" if spec.shape is None else f"[{', '.join(str(size or '?') for size in spec.shape)}]"
    if (spec.shape is not None and not _fits(spec.shape, array.shape)) or not (
        array.size or _starts_empty(spec, array)
    ):
        raise BadBatch(
            f"expected shape {expected}, given {list(array.shape)}", where=spec.name, hint=_way_out(spec, array)
        )
    return array


def _fits(wanted: Sequence[int | str | None], given: Sequence[int]) -> bool:
    """Whether sizes are those declared, where these are fixed."""
    return len(wanted) == len(given) and all(
        not isinstance(want, int) or want == size for want, size in zip(wanted, given, strict=True)
    )


def _starts_empty(spec: ValueSpec, array: Array) -> bool:
    """Whether nothing has been seen yet: a cache of keys and values whose open axis, not that of the samples, is 0.

    past_key_values.0.key [batch, heads, past_sequence_length, 64]      the first step of a decoder
    """
    empty = [axis for axis, size in enumerate(array.shape) if not size]
    return min(empty, default=0) > 0 and all(
        spec.shape is None or (not isinstance(spec.shape[axis], int) and not is_batch_name(spec.shape[axis], axis))
        for axis in empty
    )


def _way_out(spec: ValueSpec, array: Array) -> str:
    """Most exporters fix the number of samples unless they are told not to; else what turns the array into a batch."""
    first, *others = spec.shape or (None,)
    if not array.size:
        return "send at least one sample, and at least one number of each"
    if not isinstance(first, int) or not _fits(others, array.shape[1:]):
        return _turned(spec.shape or (), array.shape)
    return (
        f"the export fixes the number of samples at {first}: export with an open batch axis "
        f"(dynamic_axes={{'{spec.name}': {{0: 'N'}}}}, or dynamic_shapes of torch's current exporter), or send {first}"
    )


def _turned(wanted: Sequence[int | str | None], given: Sequence[int]) -> str:
    """The one step from the given shape to the wanted one, where there is one.

    [n, 3, 32, 32] wanted, [64, 32, 32, 3] given     channels last, as pictures lie in files
    [n, 8] wanted, [64, 9] given                     the index or the targets of a table are a column of their own
    """
    if len(given) != len(wanted):
        return _reranked(wanted, given)
    for order in permutations(range(len(given))) if len(given) <= MOST_AXES else ():
        if _fits(wanted, [given[axis] for axis in order]):
            return f"the axes lie in another order: array.transpose{order}"
    *others, last = wanted or [None]
    if isinstance(last, int) and given[-1] == last + 1 and _fits(others, given[:-1]):
        return "one column too many: is the index or the target of the table among them?"
    return ""


def _reranked(wanted: Sequence[int | str | None], given: Sequence[int]) -> str:
    if _fits(wanted[1:], given):
        return "this is one sample without an axis of samples: array[None]"
    if given[-1:] == (1,) and _fits(wanted, given[:-1]):
        return "the last axis is one too many: array[..., 0]"
    return "the last axis is missing: array[..., None]" if _fits(wanted, (*given, 1)) else ""


def _native(array: Array) -> Array:
    """The same numbers in this machine's byte order: torch takes no other."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _numbers(name: str, array: Array) -> Array:
    """A target, if it holds numbers."""
    if array.dtype.kind not in "biuf" and array.dtype != ml_dtypes.bfloat16:
        raise BadBatch(
            f"expected numbers, given {'text' if array.dtype.kind in TEXT else array.dtype.name}",
            where=f"target {name}".strip(),
            hint="numpy.unique(target, return_inverse=True)[1] numbers classes" if array.dtype.kind in TEXT else "",
        )
    return _native(array)


def _check_finite(inputs: Mapping[str, Array], targets: Mapping[str, Array], model: CheckedModel) -> None:
    named = [*inputs.items(), *((f"target {name}".strip(), array) for name, array in targets.items())]
    for name, array in named:
        floats = array.dtype.kind in "fc" or array.dtype == ml_dtypes.bfloat16
        count = int(array.size - np.isfinite(array).sum()) if floats else 0
        if count and name in inputs and not np.isinf(array).any() and fills_in(model, name):
            continue
        if count:
            raise BadBatch(
                f"{count} of {array.size} values are NaN or infinite", where=name, hint="clean or impute the batch"
            )
