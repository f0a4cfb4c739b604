"""ONNX's own backend suite: every case of every row, but those named here with the reason.

The suite runs one case after the other in a row's test; a miss that is not named fails it, and so does a named one that
has come to pass.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TypeProto, ValueInfoProto, numpy_helper
from onnx.backend.test import loader
from onnx.backend.test.runner import Runner

from analysis.convert import convert
from analysis.convert.tensors import to_tensor
from analysis.errors import NeverSupported
from analysis.model import check_model

NO_FLOATS = "strings and compressed images carry no gradient: refused by name"
RANDOM = "random numbers of another generator"
DROPOUT = "dropout is off in measurement, also where the graph asks for training"
ONNXRUNTIME = "onnxruntime, which parity is judged by, computes what we do; the case differs from both"
NOISE = "the expected values hold rounding errors of 2e-7 where the exact ones are 0, and the tolerance is 1e-7"
MISSES: Mapping[str, Mapping[str, str]] = {
    "node": {
        "test_bernoulli": RANDOM, "test_bernoulli_double": RANDOM, "test_bernoulli_seed": RANDOM,
        "test_training_dropout": DROPOUT, "test_training_dropout_default": DROPOUT,
        "test_training_dropout_mask": DROPOUT, "test_training_dropout_default_mask": DROPOUT,
        "test_maxunpool_export_with_output_shape": ONNXRUNTIME,
        "test_resize_downsample_scales_linear_align_corners": ONNXRUNTIME,
        "test_resize_downsample_scales_cubic_align_corners": ONNXRUNTIME,
        "test_dft_inverse": NOISE, "test_dft_inverse_opset19": NOISE,
    },
    "node-expanded": {
        "test_bernoulli_expanded": RANDOM, "test_bernoulli_double_expanded": RANDOM,
        "test_bernoulli_seed_expanded": RANDOM,
    },
}  # fmt: skip
"""By row; strings and images are refused with NeverSupported and need no name here."""
BFLOAT16_DIGITS = 2.0**-6
OTHER_DOMAINS = ("training", "ai.onnx.ml", "preview")
"""Rows of their own: training operators and classical machine learning are refused by name."""
BITS = {"bfloat16": torch.bfloat16, "float8_e4m3fn": torch.float8_e4m3fn, "float8_e4m3fnuz": torch.float8_e4m3fnuz,
        "float8_e5m2": torch.float8_e5m2, "float8_e5m2fnuz": torch.float8_e5m2fnuz}  # fmt: skip

Case = tuple[str, ModelProto, list[tuple[list[Any], list[Any]]], float, float]
"""Name, model, inputs and outputs, relative and absolute tolerance."""


def arrays(value: Any) -> Any:
    """Tensors as numpy, also within sequences."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return [arrays(each) for each in value] if isinstance(value, list) else value


def domains(model: ModelProto) -> set[str]:
    return {node.domain for node in model.graph.node}


def nodes(*, expanded: bool) -> Iterator[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite divides by zero on purpose while it makes its cases
        cases = loader.load_model_tests(kind="node")
    for case in cases:
        ours = not any(part in domain for domain in domains(case.model) for part in OTHER_DOMAINS)
        if ours and ("_expanded" in case.name) == expanded:
            data = [(arrays(list(inputs)), arrays(list(outputs))) for inputs, outputs in case.data_sets]
            yield case.name, case.model, data, case.rtol, case.atol


def stored(kind: str) -> Iterator[Case]:
    for case in loader.load_model_tests(kind=kind):
        model = onnx.load(Path(case.model_dir) / "model.onnx")
        if any(part in domain for domain in domains(model) for part in OTHER_DOMAINS):
            continue
        data = [
            (numbered(folder, "input", model.graph.input), numbered(folder, "output", model.graph.output))
            for folder in sorted(Path(case.model_dir).glob("test_data_set*"))
        ]
        yield case.name, model, data, case.rtol, case.atol


def numbered(folder: Path, kind: str, values: Sequence[ValueInfoProto]) -> list[Any]:
    count = len(list(folder.glob(f"{kind}_*.pb")))
    return [read(folder / f"{kind}_{place}.pb", values[place].type) for place in range(count)]


def read(path: Path, kind: TypeProto) -> Any:
    content = path.read_bytes()
    if kind.WhichOneof("value") == "sequence_type":
        return numpy_helper.to_list(onnx.SequenceProto.FromString(content))
    if kind.WhichOneof("value") == "optional_type":
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(content))
    return numpy_helper.to_array(onnx.TensorProto.FromString(content))


def networks() -> Iterator[Case]:
    """The nine convolutional networks whose weights the graph itself makes."""
    for case in loader.load_model_tests(kind="real"):
        path = Path(loader.DATA_DIR) / "light" / f"light_{case.model_name}.onnx"
        if not path.exists():
            continue
        model = onnx.load(path)
        weights = {tensor.name for tensor in model.graph.initializer}
        free: list[ValueInfoProto] = [value for value in model.graph.input if value.name not in weights]
        inputs = [Runner.generate_dummy_data(value, seed=0, name=case.model_name, random=False) for value in free]
        outputs = [
            numpy_helper.to_array(onnx.load_tensor(f"{str(path)[:-5]}_output_{place}.pb"))
            for place in range(len(model.graph.output))
        ]
        yield case.name, model, [(inputs, outputs)], case.rtol, case.atol


def tensors(value: Any) -> Any:
    if isinstance(value, list):
        return [tensors(each) for each in value]
    if value is None or value.dtype.kind in "OSU":
        return value
    if value.dtype.name in BITS:
        bits = np.ascontiguousarray(value).view(np.int16 if value.dtype.itemsize == 2 else np.uint8)
        return torch.from_numpy(bits.copy()).reshape(value.shape).view(BITS[value.dtype.name])
    return to_tensor(np.array(value))


def numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [numbers(each) for each in value]
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach().resolve_conj()
    for name, dtype in BITS.items():
        if value.dtype is dtype:
            bits = value.contiguous().view(torch.int16 if dtype.itemsize == 2 else torch.uint8).numpy()
            return bits.view(getattr(ml_dtypes, name)).reshape(tuple(value.shape))
    return value.numpy()


def assert_equal(wanted: Any, got: Any, relative: float, absolute: float) -> None:
    if isinstance(wanted, list):
        assert len(wanted) == len(got)
        for one, other in zip(wanted, got, strict=True):
            assert_equal(one, other, relative, absolute)
        return
    if wanted is None or (wanted.dtype == object and wanted.shape == () and wanted.item() is None):
        assert got is None or (isinstance(got, list) and not got)
        return
    assert got.shape == wanted.shape
    wide = np.complex128 if "c" in {wanted.dtype.kind, got.dtype.kind} else np.float64
    if "bfloat16" in {wanted.dtype.name, got.dtype.name}:
        relative = max(relative, BFLOAT16_DIGITS)
    np.testing.assert_allclose(got.astype(wide), wanted.astype(wide), rtol=relative, atol=absolute)


def misses(cases: Iterable[Case]) -> tuple[int, dict[str, str]]:
    """How many cases were run, and what went wrong with which."""
    run, found = 0, {}
    for name, model, data, relative, absolute in cases:
        try:
            module = convert(check_model(model.SerializeToString()))
            for inputs, outputs in data:
                got = module(*map(tensors, inputs))
                assert_equal(outputs, [numbers(each) for each in got], relative, absolute)
        except NeverSupported:
            continue
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a miss of this case
            found[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        run += 1
    return run, found


ROWS = {
    "node": lambda: nodes(expanded=False),
    "node-expanded": lambda: nodes(expanded=True),
    "simple": lambda: stored("simple"),
    "pytorch-converted": lambda: stored("pytorch-converted"),
    "pytorch-operator": lambda: stored("pytorch-operator"),
    "real": networks,
}
FEWEST = {
    "node": 1330, "node-expanded": 475, "simple": 15, "pytorch-converted": 82, "pytorch-operator": 35, "real": 9,
}  # fmt: skip


@pytest.mark.parametrize("row", list(ROWS))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_case_of_the_suite_has_the_right_values(row: str) -> None:
    run, found = misses(ROWS[row]())
    named = MISSES.get(row, {})
    assert not {name: why for name, why in found.items() if name not in named}
    assert not set(named) - set(found), "no longer missed: take it off the list"
    assert run - len(found) >= FEWEST[row]
