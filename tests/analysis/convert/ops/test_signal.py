"""Cases of the signal family."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from analysis.convert.ops.signal import det
from tests.analysis.convert.ops.cases import Case, floats, scalar

REAL, COMPLEX = floats(2, 5, 6, 1), floats(2, 5, 6, 2)


def spectrum(
    name: str, x: np.ndarray, axis: int | None, length: int | None = None, since: int = 17, **attributes: object
) -> list[Case]:
    """Before opset 20 the axis is an attribute and counts from the front; onnx's reference is bound to the same FFT."""
    lengths = [] if length is None else [scalar(length, np.int64)]
    cases = []
    if axis is None or axis >= 0:
        chosen = {} if axis is None else {"axis": axis}
        cases = [Case("DFT", [x, *lengths], {**chosen, **attributes}, since=17, until=20, constant=(1,), name=name)]
    inputs = [x, *lengths] if axis is None else [x, lengths[0] if lengths else None, scalar(axis, np.int64)]
    return [*cases, Case("DFT", inputs, attributes, since=20, constant=(1, 2), name=name)]


def windowed(name: str, signal: np.ndarray, *inputs: np.ndarray | None, **more: object) -> Case:
    """A step of 3 samples."""
    refused = bool(more.pop("refused", False))
    places = tuple(place for place, array in ((1, 0), *enumerate(inputs, 2)) if array is None or np.ndim(array) == 0)
    return Case("STFT", [signal, scalar(3, np.int64), *inputs], more, constant=places, name=name, refused=refused)


def mel(name: str, bands: int, length: int, rate: int, low: float, high: float, kind: int | None = None) -> Case:
    """Filters of one signal."""
    edges = [scalar(low), scalar(high)]
    attributes = {} if kind is None else {"output_datatype": kind}
    returns = (helper.tensor_dtype_to_np_dtype(kind or TensorProto.FLOAT).name,)
    inputs = [*(scalar(value, np.int64) for value in (bands, length, rate)), *edges]
    return Case(
        "MelWeightMatrix", inputs, attributes, constant=(0, 1, 2), differentiable=False, returns=returns, name=name
    )  # fmt: skip


WINDOWS = [
    Case(
        op, [scalar(size, np.int64)], {"periodic": periodic, **attributes}, constant=constant, differentiable=False,
        returns=(returns,), name=f"{size} {periodic} {returns} {constant}",
        tolerance=1e-3 if returns == "float16" else 1e-5,
    )
    for op in ("HannWindow", "HammingWindow", "BlackmanWindow")
    for size in (2, 7, 10)
    for periodic in (0, 1)
    for returns, attributes in (
        ("float32", {}),
        ("float64", {"output_datatype": TensorProto.DOUBLE}),
        ("float16", {"output_datatype": TensorProto.FLOAT16}),
    )
    for constant in ((), (0,))
]  # fmt: skip

CASES = [
    *spectrum("default", REAL, None),
    *spectrum("complex default", COMPLEX, None),
    *[
        case
        for axis in (0, 1, 2, -2, -3)
        for case in (
            *spectrum(f"real {axis}", REAL, axis),
            *spectrum(f"complex {axis}", COMPLEX, axis),
            *spectrum(f"inverse real {axis}", REAL, axis, inverse=1),
            *spectrum(f"inverse {axis}", COMPLEX, axis, inverse=1),
            *spectrum(f"one side {axis}", REAL, axis, onesided=1),
            *spectrum(f"back from one side {axis}", COMPLEX, axis, onesided=1, inverse=1),
        )
    ],
    *[
        case
        for length in (3, 8)
        for case in (
            *spectrum(f"{length} of a real", REAL, 1, length),
            *spectrum(f"{length} of a complex", COMPLEX, 2, length),
            *spectrum(f"{length} inverse", COMPLEX, 1, length, inverse=1),
            *spectrum(f"{length} one side", REAL, 1, length, onesided=1),
        )
    ],
    *spectrum("odd length back from one side", COMPLEX, 1, 9, onesided=1, inverse=1),
    windowed("flat signal", floats(2, 16), floats(6), None),
    windowed("window", floats(2, 17, 1), floats(6)),
    windowed("window and length", floats(2, 17, 1), floats(6), scalar(6, np.int64)),
    windowed("odd window", floats(1, 16, 1), floats(7)),
    windowed("length", floats(2, 17, 1), None, scalar(5, np.int64)),
    windowed("whole signal", floats(2, 6, 1), refused=True),
    windowed("both sides", floats(2, 17, 1), floats(6), onesided=0),
    windowed("complex", floats(2, 17, 2), floats(6), onesided=0),
    mel("suite", 8, 16, 8192, 0.0, 4096.0),
    mel("speech", 10, 64, 16000, 125.0, 7600.0),
    mel("flat triangles", 40, 64, 8000, 0.0, 4000.0),
    mel("double", 3, 512, 44100, 20.0, 20000.0, TensorProto.DOUBLE),
    mel("half", 3, 512, 44100, 20.0, 20000.0, TensorProto.FLOAT16),
    *WINDOWS,
    Case("Det", [floats(3, 3)]),
    Case("Det", [floats(2, 3, 4, 4)], name="batch", tolerance=1e-4),
    Case("Det", [floats(1, 1)], name="number"),
]  # fmt: skip


@pytest.mark.parametrize("matrix", [[[1.0, 2.0], [2.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
def test_a_singular_matrix_has_its_cofactors_as_gradient(matrix: list[list[float]]) -> None:
    x = torch.tensor(matrix, dtype=torch.float64, requires_grad=True)
    det(x).backward()
    (a, b), (c, d) = matrix
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[d, -c], [-b, a]], atol=1e-9)


def test_a_singular_matrix_of_a_batch_leaves_the_others_alone() -> None:
    batch = torch.tensor([[[1.0, 2.0], [2.0, 4.0]], [[3.0, 1.0], [1.0, 2.0]], [[torch.nan, 1.0], [1.0, 2.0]]])
    values = det(batch.requires_grad_())
    assert values[:2].tolist() == pytest.approx([0.0, 5.0])
    values[:2].sum().backward()
    assert batch.grad is not None
    np.testing.assert_allclose(batch.grad[:2], [[[4, -2], [-2, 1]], [[2, -1], [-1, 3]]], atol=1e-5)
