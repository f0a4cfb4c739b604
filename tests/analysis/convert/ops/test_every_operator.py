"""Every operator, at every version, on every case: the forward against onnxruntime, the backward against differences.

The tests appear by themselves: one per (operator, since-version, case) of the mirrored family files.
"""

import importlib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx.reference import ReferenceEvaluator

import analysis.convert.translate
from analysis.convert import convert
from analysis.convert.registry import registered
from analysis.model import check_model
from tests.analysis.convert.ops.cases import Case

FAMILIES = sorted(
    path.stem.removeprefix("test_") for path in Path(analysis.convert.ops.__file__).parent.glob("[!_]*.py")
)
CASES: list[Case] = [
    case for family in FAMILIES for case in importlib.import_module(f"tests.analysis.convert.ops.test_{family}").CASES
]
EVERY = [pytest.param(case, version, id=case.label(version)) for case in CASES for version in case.versions()]


def expected(case: Case, opset: int) -> list[np.ndarray]:
    """What onnxruntime computes; onnx's own reference where onnxruntime has no kernel for so old or new a version."""
    if case.formula:
        outputs = case.formula(*case.inputs)
        return list(outputs) if isinstance(outputs, tuple) else [outputs]
    if case.refused:
        return reference(case, opset)
    content = case.model(opset).SerializeToString()
    settings = onnxruntime.SessionOptions()
    settings.add_session_config_entry("session.x64quantprecision", "1")  # else sums of bytes saturate without VNNI
    settings.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        if not any(reason in str(error) for reason in ("NOT_IMPLEMENTED", "till opset", "Unsupported model IR")):
            raise
        return reference(case, opset)
    return session.run(None, case.feed())


def reference(case: Case, opset: int) -> list[np.ndarray]:
    try:
        return ReferenceEvaluator(case.model(opset)).run(None, case.feed())
    except RuntimeError as error:
        if "No implementation for operator" not in str(error):
            raise
        pytest.skip(f"neither onnxruntime nor onnx's reference implements {case.op} of opset {opset}")


@pytest.mark.parametrize(("case", "version"), EVERY)
def test_forward_equals_onnxruntime(case: Case, version: int) -> None:
    module = convert(check_model(case.model(version).SerializeToString())).eval()
    with torch.no_grad():
        outputs = module(*[torch.from_numpy(np.array(array)) for array in case.feed().values()])
    wanted = expected(case, version)
    assert len(outputs) == len(wanted)
    for got, want in zip(outputs, wanted, strict=True):
        assert got.numpy().dtype == want.dtype
        np.testing.assert_allclose(got.numpy(), want, rtol=case.tolerance, atol=case.tolerance)


@pytest.mark.parametrize(("case", "version"), [each for each in EVERY if each.values[0].differentiable])
def test_backward_equals_finite_differences(case: Case, version: int) -> None:
    module = convert(check_model(case.model(version).SerializeToString()), precision=torch.float64).eval()
    inputs = [torch.from_numpy(np.array(array)) for array in case.feed().values()]
    inputs = [value.double().requires_grad_() if value.is_floating_point() else value for value in inputs]

    def floating(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(output for output in module(*values) if output.is_floating_point())

    assert torch.autograd.gradcheck(floating, inputs, eps=1e-6, atol=1e-5, rtol=1e-4, nondet_tol=0.0)


def test_every_registration_has_a_case() -> None:
    covered = {(case.domain, case.op, version) for case in CASES for version in case.versions()}
    missing = [
        f"{known.domain}::{known.name} since {known.since}"
        for known, until in registered()
        if not any(
            (domain, op) == (known.domain, known.name) and known.since <= version < until
            for domain, op, version in covered
        )
    ]
    assert not missing
