import copy
import pickle
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch

from analysis import errors
from analysis.errors import (
    AnalysisError,
    BadInput,
    InvalidModel,
    LimitExceeded,
    NotOnnx,
    Unsupported,
    UnsupportedOp,
    refusing_lack_of_memory,
)

EVERY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AnalysisError)]


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in EVERY]
    assert len(set(codes)) == len(codes) == 16
    assert all("code" in vars(kind) for kind in EVERY)


def test_codes_are_stable() -> None:
    assert {kind.__name__: kind.code for kind in EVERY} == {
        "AnalysisError": "analysis-error",
        "BadInput": "bad-input",
        "NotOnnx": "not-onnx",
        "InvalidModel": "invalid-model",
        "MissingExternalData": "missing-external-data",
        "BadBatch": "bad-batch",
        "BadOptions": "bad-options",
        "NothingToTrain": "nothing-to-train",
        "NodeFailed": "node-failed",
        "LimitExceeded": "limit-exceeded",
        "Unsupported": "unsupported",
        "UnsupportedOp": "unsupported-operator",
        "NeverSupported": "never-supported",
        "NotDifferentiable": "not-differentiable",
        "ConversionMismatch": "conversion-mismatch",
        "BadReport": "bad-report",
    }


def test_the_module_docstring_shows_the_whole_tree() -> None:
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in EVERY)


@pytest.mark.parametrize("kind", EVERY)
def test_the_docstring_is_the_default_detail(kind: type[AnalysisError]) -> None:
    assert kind().detail == kind.__doc__
    assert str(kind()) == kind.__doc__
    assert "\n" not in str(kind())


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling_whole(kind: type[AnalysisError], protocol: int) -> None:
    error = kind("w\u00e4s 'what'", where="layer.1", hint="do that")
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert (again.detail, again.where, again.hint, str(again)) == (error.detail, error.where, error.hint, str(error))


@pytest.mark.parametrize("travel", [copy.copy, copy.deepcopy, lambda error: pickle.loads(ForkingPickler.dumps(error))])
def test_an_error_survives_copies_and_process_boundaries(travel) -> None:
    again = travel(InvalidModel(where="node", hint="hint"))
    assert (again.detail, again.where, again.hint) == ("The model violates the ONNX specification.", "node", "hint")


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (("what", "", ""), "what"),
        (("what", "node", ""), "node: what"),
        (("what", "", "way out"), "what (way out)"),
        (("what", "node", "way out"), "node: what (way out)"),
    ],
)
def test_an_error_prints_where_what_and_hint_on_one_line(parts: tuple[str, str, str], line: str) -> None:
    detail, where, hint = parts
    assert str(InvalidModel(detail, where=where, hint=hint)) == line


def test_where_and_hint_are_given_by_name_only() -> None:
    with pytest.raises(TypeError):
        InvalidModel("what", "where")


def test_branches_can_be_caught_together() -> None:
    assert issubclass(NotOnnx, BadInput)
    assert issubclass(UnsupportedOp, Unsupported)
    assert not issubclass(UnsupportedOp, BadInput)
    with pytest.raises(AnalysisError):
        raise UnsupportedOp


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    ],
    ids=["python", "cpu", "cuda"],
)
def test_memory_that_ends_anywhere_is_a_limit_with_a_way_out(error: Exception) -> None:
    with pytest.raises(LimitExceeded) as caught, refusing_lack_of_memory():
        raise error
    assert caught.value.__cause__ is error
    assert "batch_size" in caught.value.hint


@pytest.mark.parametrize("take", [lambda: torch.empty(1 << 60, dtype=torch.uint8), lambda: np.ones(1 << 50)])
def test_torch_and_numpy_are_understood(take: Callable[[], object]) -> None:
    with pytest.raises(LimitExceeded, match="memory ran out"), refusing_lack_of_memory():
        take()


@pytest.mark.parametrize("error", [RuntimeError("sizes do not match"), LimitExceeded("out of memory"), KeyError("x")])
def test_what_has_nothing_to_do_with_memory_passes_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, refusing_lack_of_memory():
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("where", "detail", "line"),
    [
        ("options.effort", "effort: unknown", "options.effort: unknown"),
        ("options.effort", "effort: unknown; seed: too large", "options.effort: unknown; seed: too large"),
        ("old.json: verdict", "verdict: field required", "old.json: verdict: field required"),
        ("x", "x: not there", "x: not there"),
        ("x", "expected: 3", "x: expected: 3"),
        ("options.effort", "fort: unknown", "options.effort: fort: unknown"),
        ("", ": odd", ": odd"),
        ("options", "not JSON: line 1", "options: not JSON: line 1"),
    ],
)
def test_a_field_is_named_once(where: str, detail: str, line: str) -> None:
    assert str(BadInput(detail, where=where)) == line
    assert str(BadInput(detail, where=where, hint="try y")) == f"{line} (try y)"
