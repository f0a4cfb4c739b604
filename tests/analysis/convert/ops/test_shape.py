"""Cases of the shape family."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from analysis.convert.ops.shape import expand
from analysis.errors import LimitExceeded
from tests.analysis.convert.ops.cases import RANDOM, Case, floats, ints, scalar

X = floats(2, 3, 4)
LINE, GRID = floats(8), floats(3, 4)
INTEGERS = RANDOM.permutation(24).reshape(2, 3, 4)
SHAPES = {"differentiable": False, "returns": ("int64",)}
LOWEST, HIGHEST = -(2**63), 2**63 - 1


def tensor(value: float, dtype: type) -> TensorProto:
    """A one-element attribute."""
    return helper.make_tensor("value", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [1], [value])


def slices(
    name: str, starts: list[int], ends: list[int], axes: list[int] | None = None, steps: list[int] | None = None
) -> Case:
    """Bounds as initialisers."""
    bounds = [None if each is None else ints(*each) for each in (starts, ends, axes, steps)]
    return Case("Slice", [X, *bounds], since=10, constant=(1, 2, 3, 4), name=name)


CASES = [
    Case("Identity", [X]),
    Case("Identity", [INTEGERS], differentiable=False, name="integers"),
    Case("Shape", [X], **SHAPES),
    Case("Shape", [X], {"start": 1}, since=15, **SHAPES, name="from"),
    Case("Shape", [X], {"start": -2, "end": -1}, since=15, **SHAPES, name="from the end"),
    Case("Shape", [X], {"start": -9, "end": 9}, since=15, **SHAPES, name="clamped"),
    Case("Size", [X], **SHAPES),
    Case("Reshape", [X], {"shape": [4, 6]}, until=5),
    Case("Reshape", [X], {"shape": [0, -1]}, until=5, name="kept and inferred"),
    Case("Reshape", [X, ints(4, 6)], since=5, constant=(1,)),
    Case("Reshape", [X, ints(0, -1)], since=5, constant=(1,), name="kept and inferred"),
    Case("Reshape", [X, ints(-1, 0, 2)], since=5, constant=(1,), name="inferred first"),
    Case("Reshape", [X, ints(3, 8)], since=5, name="shape as input"),
    Case("Reshape", [floats(1, 1), ints()], since=5, constant=(1,), name="to a number"),
    Case(
        "Reshape", [floats(0, 3), ints(3, 0)], {"allowzero": 1}, since=14, constant=(1,), differentiable=False,
        name="allowed zero",
    ),
    Case("Flatten", [X]),
    Case("Flatten", [X], {"axis": 0}, name="one row"),
    Case("Flatten", [X], {"axis": 3}, name="one column"),
    Case("Flatten", [X], {"axis": -1}, since=11, name="axis from the end"),
    Case("Squeeze", [floats(1, 3, 1, 4)], {"axes": [0]}, until=13),
    Case("Squeeze", [floats(1, 3, 1, 4)], {"axes": [-2, 0]}, since=11, until=13, name="axes from the end"),
    Case("Squeeze", [floats(1, 3, 1, 4)], name="everything"),
    Case("Squeeze", [floats(1, 3, 1, 4), ints(2, 0)], since=13, constant=(1,)),
    Case("Squeeze", [floats(1, 3, 1, 4), ints(-2)], since=13, name="axes as input"),
    Case("Unsqueeze", [GRID], {"axes": [0, 2]}, until=13),
    Case("Unsqueeze", [GRID], {"axes": [-1, -4]}, since=11, until=13, name="axes from the end"),
    Case("Unsqueeze", [GRID, ints(2, 0)], since=13, constant=(1,)),
    Case("Unsqueeze", [GRID, ints(-1, 1)], since=13, name="axes as input"),
    Case("Unsqueeze", [scalar(1.5), ints(0)], since=13, constant=(1,), name="number"),
    Case("Transpose", [X]),
    Case("Transpose", [X], {"perm": [1, 2, 0]}, name="permutation"),
    Case("Expand", [floats(3, 1), ints(2, 3, 4)], constant=(1,)),
    Case("Expand", [floats(3, 4), ints(3, 1)], constant=(1,), name="by ones"),
    Case("Expand", [floats(3, 1), ints(1, 4)], name="shape as input"),
    Case("Tile", [X, scalar(2.0), scalar(1.0)], until=6, constant=(1, 2), formula=lambda x, *_: np.tile(x, (1, 2, 1))),
    Case("Tile", [X, ints(1, 2, 3)], since=6, constant=(1,)),
    Case("Tile", [X, ints(2, 1, 1)], since=6, name="repeats as input"),
    Case(
        "Concat", [floats(2, 3), floats(2, 1)], until=4, formula=lambda *parts: np.concatenate(parts, 1),
        name="default axis",
    ),
    Case("Concat", [floats(1, 3), floats(2, 3), floats(1, 3)], {"axis": 0}),
    Case("Concat", [floats(2, 3), floats(2, 1)], {"axis": -1}, since=11, name="axis from the end"),
    Case("Concat", [X], {"axis": 1}, name="one"),
    Case("Concat", [INTEGERS, INTEGERS], {"axis": 2}, since=4, differentiable=False, name="integers"),
    Case("Split", [floats(6, 2)], outputs=3, until=2, formula=lambda x: tuple(np.split(x, 3))),
    Case("Split", [floats(6, 2)], outputs=3, since=2, until=18),
    Case("Split", [X], {"axis": 2, "split": [1, 3]}, outputs=2, since=2, until=13, name="sizes"),
    Case("Split", [X], {"axis": -1}, outputs=2, since=11, until=18, name="axis from the end"),
    Case(
        "Split", [X, np.array([1, 3], np.float32)], {"axis": 2}, outputs=2, until=2, constant=(1,),
        formula=lambda x, _: (x[..., :1], x[..., 1:]), name="sizes as input",
    ),
    Case("Split", [X, ints(1, 3)], {"axis": 2}, outputs=2, since=13, constant=(1,), name="sizes"),
    Case("Split", [X, ints(0, 3, 1)], {"axis": -1}, outputs=3, since=13, name="sizes as input, one empty"),
    Case("Split", [floats(7, 2)], {"num_outputs": 3}, outputs=3, since=18, name="uneven"),
    Case("Split", [floats(2, 6)], {"num_outputs": 2, "axis": 1}, outputs=2, since=18, name="even"),
    Case("Slice", [X], {"starts": [0, 1], "ends": [1, 3]}, until=10),
    Case("Slice", [X], {"starts": [-3, 1], "ends": [HIGHEST, -1], "axes": [2, 1]}, until=10, name="axes"),
    slices("all axes", [0, 1, 2], [1, 3, 4]),
    slices("axes", [1, -3], [2, -1], [0, 2]),
    slices("clamped", [-100, 1], [100, HIGHEST], [1, 2]),
    slices("steps", [0, 0], [HIGHEST, 3], [2, 1], [2, 2]),
    slices("backwards", [-1, HIGHEST], [LOWEST, 0], [2, 1], [-1, -2]),
    slices("backwards within", [3], [0], [2], [-2]),
    slices("nothing backwards", [0], [2], [2], [-1]),
    slices("backwards from before the start", [-9], [LOWEST], [2], [-1]),
    slices("axes from the end", [1], [3], [-1]),
    slices("nothing left", [3], [1], [2]),
    Case("Slice", [X, ints(1), ints(3), ints(1)], since=10, name="bounds as inputs"),
    Case("DynamicSlice", [X, ints(1), ints(3), ints(1)]),
    Case("DynamicSlice", [X, ints(0, -2), ints(1, 9)], constant=(1, 2), name="no axes"),
    Case("Crop", [floats(2, 3, 4, 5)], {"border": [1, 0, 2, 1]}),
    Case("Crop", [floats(2, 3, 4, 5)], {"border": [1, 1, 0, 0], "scale": [2, 3]}, name="to a size"),
    Case(
        "Slice", [INTEGERS, *(np.array([n], np.int32) for n in (3, 0, 2, -1))], since=10, constant=(1, 2, 3, 4),
        differentiable=False, name="integers",
    ),
    Case(
        "Pad", [GRID], {"paddings": [0, 1, 2, 0], "value": 0.5}, until=2,
        formula=lambda x: np.pad(x, ((0, 2), (1, 0)), constant_values=0.5),
    ),
    Case("Pad", [GRID], {"pads": [0, 1, 2, 0], "value": 0.5}, since=2, until=11),
    *[
        Case("Pad", [GRID], {"pads": [0, 2, 1, 3], "mode": mode}, since=2, until=11, name=mode)
        for mode in ("reflect", "edge")
    ],
    Case("Pad", [GRID], {"pads": [-1, 1, 0, -2]}, since=2, until=11, name="cropping"),
    Case("Pad", [GRID, ints(0, 1, 2, 0)], since=11, constant=(1,)),
    Case("Pad", [GRID, ints(0, 1, 2, 0), scalar(0.5)], since=11, constant=(1,), name="learnt value"),
    Case("Pad", [GRID, ints(0, 1, 2, 0), scalar(0.5)], since=11, constant=(2,), name="pads as input"),
    Case("Pad", [GRID, ints(-1, 1, 0, -2), scalar(0.5)], since=11, constant=(1, 2), name="cropping"),
    *[
        Case("Pad", [GRID, pads], {"mode": mode}, since=since, constant=(1,), name=name)
        for mode, since in (("reflect", 11), ("edge", 11), ("wrap", 19))
        for name, pads in ((mode, ints(0, 2, 1, 3)), (f"{mode} and crop", ints(-1, 2, 1, -1)))
    ],
    Case("Pad", [X, ints(1, 2), scalar(0.5), ints(2)], since=18, constant=(1, 2, 3), name="axes"),
    Case(
        "Pad", [X, ints(1, 0, 2, 1), None, ints(-1, 0)], {"mode": "edge"}, since=18, constant=(1, 3),
        name="axes from the end",
    ),
    Case(
        "Pad", [INTEGERS, ints(1, 0, 0, 0, 0, 1), scalar(7, np.int64)], since=11, constant=(1, 2),
        differentiable=False, name="integers",
    ),
    Case("Pad", [X > 0, ints(1, 0, 0, 0, 0, 1)], since=13, constant=(1,), differentiable=False, name="logical"),
    *[
        Case("CenterCropPad", [X, ints(*sizes)], constant=constant, name=f"to {sizes} {constant}")
        for sizes in ([1, 5, 2], [4, 1, 5], [3, 3, 4], [1, 1, 4])
        for constant in ((), (1,))
    ],
    Case("CenterCropPad", [floats(7, 5), ints(4, 2)], constant=(1,), name="odd"),
    Case("CenterCropPad", [X, ints(5, 1)], {"axes": [-1, 1]}, constant=(1,), name="axes"),
    Case("CenterCropPad", [INTEGERS, ints(6)], {"axes": [0]}, differentiable=False, name="integers"),
    Case("ConstantOfShape", [ints(2, 3)], differentiable=False, returns=("float32",)),
    Case(
        "ConstantOfShape", [ints(2, 3)], {"value": tensor(7, np.int64)}, constant=(0,), differentiable=False,
        name="sevens",
    ),
    Case(
        "ConstantOfShape", [ints()], {"value": tensor(1.5, np.float32)}, differentiable=False, returns=("float32"),
        name="number",
    ),
    Case(
        "ConstantOfShape", [floats(2, 3), ints(3, 2)], text="a = ConstantOfShape (x1) y0 = MatMul (x0, a)",
        name="floats of the precision",
    ),
    Case("ConstantOfShape", [ints(0, 2)], {"value": tensor(True, np.bool_)}, differentiable=False, name="empty"),
    Case("Range", [scalar(0.5), scalar(3.2), scalar(0.6)]),
    Case("Range", [scalar(3.0), scalar(-1.2), scalar(-0.5)], name="down"),
    Case("Range", [scalar(0.0), scalar(0.6), scalar(0.2)], differentiable=False, name="rounding"),
    Case("Range", [scalar(n, np.int64) for n in (2, 11, 3)], differentiable=False, name="integers"),
    Case(
        "Range", [scalar(n, np.int32) for n in (10, 2, -3)], constant=(0, 1, 2), differentiable=False,
        name="integers down",
    ),
    Case("Range", [scalar(n, np.int64) for n in (5, 2, 1)], differentiable=False, name="nothing"),
    Case(
        "Range", [scalar(n, np.float16) for n in (0, 3, 0.1)], {"stash_type": 1}, since=27, differentiable=False,
        name="halves",
    ),
    Case("EyeLike", [GRID], differentiable=False),
    Case("EyeLike", [GRID], {"k": 1, "dtype": TensorProto.INT64}, differentiable=False, name="above"),
    Case("EyeLike", [INTEGERS[0]], {"k": -1, "dtype": TensorProto.FLOAT}, differentiable=False, name="below"),
    Case("Trilu", [X]),
    Case("Trilu", [X, scalar(1, np.int64)], constant=(1,), name="above"),
    Case("Trilu", [X, scalar(-1, np.int64)], {"upper": 0}, name="lower below"),
    Case("Trilu", [INTEGERS, scalar(2, np.int64)], {"upper": 0}, constant=(1,), differentiable=False, name="integers"),
    Case("Trilu", [X > 0], differentiable=False, name="logical"),
    Case("DepthToSpace", [floats(1, 8, 2, 3)], {"blocksize": 2}),
    Case("DepthToSpace", [floats(1, 8, 2, 3)], {"blocksize": 2, "mode": "CRD"}, since=11, name="columns first"),
    Case("SpaceToDepth", [floats(1, 2, 4, 6)], {"blocksize": 2}),
    Case("SpaceToDepth", [floats(1, 2, 4, 6)], {"blocksize": 2, "mode": "CRD"}, since=28, name="columns first"),
    Case("ReverseSequence", [floats(4, 3, 2), ints(1, 4, 2)], constant=(1,)),
    Case(
        "ReverseSequence", [INTEGERS.astype(np.uint16), ints(1, 2, 2)], constant=(1,), differentiable=False,
        name="unsigned",
    ),
    Case("ReverseSequence", [floats(3, 4), ints(1, 4, 2)], {"batch_axis": 0, "time_axis": 1}, name="batch first"),
    Case("ReverseSequence", [floats(3, 4, 2, 2), ints(4, 3, 1)], {"batch_axis": 0, "time_axis": 1}, name="images"),
]  # fmt: skip


def test_a_view_of_more_than_memory_is_refused() -> None:
    assert expand(torch.ones(1), (1 << 30,)).numel() == 1 << 30
    with pytest.raises(LimitExceeded, match="1073741825 elements"):
        expand(torch.ones(1), ((1 << 30) + 1,))
