"""Cases of the older operators of com.microsoft, which onnxruntime also judges."""

import numpy as np
import pytest
import torch

from analysis.convert import convert
from analysis.errors import UnsupportedOp
from analysis.model import check_model
from tests.analysis.convert.ops.cases import RANDOM, Case, floats, ints, scalar

MS: dict = {"domain": "com.microsoft"}
IMAGE, KERNEL = floats(1, 2, 4, 4), floats(2, 3, 3, 3)
POINTS = floats(1, 3, 3, 2, low=-1.2, high=1.2)
TABLE = RANDOM.integers(0, 256, (5, 20), dtype=np.uint8)
ROWS = ints(0, 4, 4, 2)


def rows(bits: int, *zero_points: np.ndarray, name: str = "", **attributes: int) -> Case:
    """Rows of 20 bytes: blocks of 16 numbers, the last of which may not be full."""
    blocks = -(-20 * 8 // bits // 16)
    inputs = [TABLE, ROWS, floats(5, blocks), *zero_points]
    given = {"bits": bits, "block_size": 16, "gather_axis": 0, "quantize_axis": 1, **attributes}
    return Case("GatherBlockQuantized", inputs, given, returns=("float32",), name=f"{bits} {name}", **MS)


BOXES = np.array([[0.13, 0.17, 0.83, 0.91], [-0.21, 0.12, 0.53, 1.33], [0.93, 0.81, 0.12, 0.23]], np.float32)
"""Inside of an image, beyond it, and upside down."""
HALFWAY = np.array([[0.1, 0.2, 0.8, 0.9], [0.25, 0.1, 0.75, 0.9], [0, 0, 1, 1]], np.float32)


def crops(size: list[int], boxes: np.ndarray, name: str = "", **attributes: float | str) -> Case:
    inputs = [floats(2, 3, 5, 6), boxes, np.array([0, 1, 1], np.int32), np.array(size, np.int32)]
    smooth = boxes is BOXES
    return Case("CropAndResize", inputs, dict(attributes), constant=(2, 3), differentiable=smooth, name=name, **MS)


CASES: list[Case] = [
    Case("GatherND", [floats(2, 3, 4), np.array([[0, 1], [1, -1]], np.int64)], **MS),
    Case("GridSample", [IMAGE, POINTS], {"mode": "bilinear", "padding_mode": "border"}, **MS),
    Case("GridSample", [IMAGE, POINTS], {"mode": "bicubic", "align_corners": 1}, name="bicubic", **MS),
    Case("Trilu", [floats(2, 3, 4), scalar(1, np.int64)], {"upper": 0}, constant=(1,), **MS),
    Case("ExpandDims", [floats(2, 3), np.array(-1, np.int32)], constant=(1,), **MS),
    Case("Pad", [floats(2, 3), ints(1, 0, -1, 2), np.array([0.5], np.float32)], constant=(1,), **MS),
    Case("Pad", [floats(2, 3), ints(1, 0, 0, 2)], {"mode": "reflect"}, constant=(1,), name="reflect", **MS),
    Case("Range", [scalar(1.0), scalar(5.0), scalar(1.5)], differentiable=False, **MS),
    Case("Range", [scalar(1, np.int64), scalar(5, np.int64)], differentiable=False, name="ones", **MS),
    Case("Inverse", [floats(2, 3, 3) + 5 * np.eye(3, dtype=np.float32)], **MS),
    Case("CDist", [floats(4, 3), floats(5, 3)], {"metric": "euclidean"}, **MS),
    Case("CDist", [floats(4, 3), floats(5, 3)], {"metric": "sqeuclidean"}, name="squares", **MS),
    Case(
        "ConvTransposeWithDynamicPads", [IMAGE, KERNEL, ints(1, 0, 1, 2), floats(3)], {"strides": [2, 1]},
        constant=(2,), **MS,
    ),
    Case("UnfoldTensor", [floats(2, 7)], {"dim": 1, "size": 3, "step": 2}, **MS),
    Case(
        "Unique", [np.array([2, 1, 1, 3, 4, 3], np.float32)], outputs=3, returns=("float32", "int64", "int64"),
        differentiable=False, **MS,
    ),
    crops([4, 3], BOXES),
    crops([4, 3], BOXES, "value", extrapolation_value=0.5),
    crops([1, 2], BOXES, "middle"),
    crops([4, 3], BOXES, "nearest", mode="nearest"),
    crops([4, 3], HALFWAY, "halfway", mode="nearest"),
    crops([5, 6], HALFWAY, "corners"),
    rows(4),
    rows(8),
    rows(4, RANDOM.integers(0, 256, (5, 2), dtype=np.uint8), name="zero points"),
    rows(8, RANDOM.integers(0, 256, (5, 2), dtype=np.uint8), name="zero points"),
]  # fmt: skip


def test_no_slope_between_equal_rows() -> None:
    case = Case("CDist", [floats(2, 3), floats(2, 3)], {"metric": "euclidean"}, **MS)
    module = convert(check_model(case.model(1).SerializeToString()))
    a = torch.randn(2, 3, requires_grad=True)
    module(a, a.detach())[0].diagonal().sum().backward()
    assert a.grad is not None
    assert not a.grad.any()


def test_another_metric_is_refused_by_name() -> None:
    case = Case("CDist", [floats(2, 3), floats(2, 3)], {"metric": "cosine"}, **MS)
    with pytest.raises(UnsupportedOp, match="CDist by cosine"):
        convert(check_model(case.model(1).SerializeToString()))(torch.randn(2, 3), torch.randn(2, 3))
