"""Shapes, broadcasting, paddings: what onnxruntime computes, on whatever sizes hypothesis finds."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.convert import convert
from analysis.model import check_model
from tests.analysis.convert.ops.cases import Case, scalar

OPSET = 21
FEW = settings(max_examples=40, deadline=None, derandomize=True)
PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def agree(case: Case) -> None:
    """The same outputs as onnxruntime, or an error where it refuses too; gradients of the right shapes, all finite."""
    content = case.model(OPSET).SerializeToString()
    silent = onnxruntime.SessionOptions()
    silent.log_severity_level = 4
    try:
        wanted = onnxruntime.InferenceSession(content, silent).run(None, case.feed())
    except Exception:  # noqa: BLE001 - onnxruntime raises many kinds; what it refuses is not compared
        assume(False)
    inputs = [torch.from_numpy(np.array(array)) for array in case.feed().values()]
    floats = [value.requires_grad_() for value in inputs if value.is_floating_point()]
    outputs = convert(check_model(content))(*inputs)
    for got, want in zip(outputs, wanted, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-4, atol=1e-4)
    if outputs[0].requires_grad:
        gradients = torch.autograd.grad(outputs[0].sum(), floats, allow_unused=True)
        assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "PRelu", "Less", "Where", "Sum"])
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4))
@FEW
def test_broadcasting(op: str, shapes: Any) -> None:
    left, right = shapes.input_shapes
    left = shapes.result_shape if op == "PRelu" else left  # which broadcasts one way only
    a, b = np.abs(values(*left)) + 0.1, np.abs(values(*right)) + 0.1
    inputs = [a > np.median(a), a, b] if op == "Where" else [a, b]
    agree(Case(op, inputs))


@given(data=st.data(), rank=st.integers(1, 3), groups=st.integers(1, 2), auto_pad=st.sampled_from(PADS))
@FEW
def test_convolution(data: st.DataObject, rank: int, groups: int, auto_pad: str) -> None:
    def sizes(low: int, high: int, count: int = rank) -> list[int]:
        return data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    attributes: dict[str, Any] = {"strides": sizes(1, 3), "dilations": sizes(1, 2), "group": groups}
    attributes |= {"pads": sizes(0, 2, 2 * rank)} if auto_pad == "NOTSET" else {"auto_pad": auto_pad}
    assume(not auto_pad.startswith("SAME") or max(attributes["dilations"]) == 1)  # onnxruntime forgets the dilation
    x, weight = values(2, 2 * groups, *sizes(3, 7)), values(3 * groups, 2, *sizes(1, 3))
    agree(Case("Conv", [x, weight, values(3 * groups)], attributes))


@given(data=st.data(), rank=st.integers(1, 2), groups=st.integers(1, 2))
@FEW
def test_transposed_convolution(data: st.DataObject, rank: int, groups: int) -> None:
    def sizes(low: int, high: int, count: int = rank) -> list[int]:
        return data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    strides = sizes(1, 3)
    attributes = {
        "strides": strides, "dilations": sizes(1, 2), "group": groups, "pads": sizes(0, 1, 2 * rank),
        "output_padding": [min(data.draw(st.integers(0, 2)), stride - 1) for stride in strides],
    }  # fmt: skip
    agree(Case("ConvTranspose", [values(2, 2 * groups, *sizes(2, 5)), values(2 * groups, 3, *sizes(1, 3))], attributes))


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
@given(data=st.data(), rank=st.integers(1, 2), ceil=st.integers(0, 1), include=st.integers(0, 1))
@FEW
def test_pooling(op: str, data: st.DataObject, rank: int, ceil: int, include: int) -> None:
    def sizes(low: int, high: int, count: int = rank) -> list[int]:
        return data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    window = sizes(1, 4)
    pads = [data.draw(st.integers(0, size - 1)) for size in window * 2]
    attributes: dict[str, Any] = {"kernel_shape": window, "strides": sizes(1, 3), "pads": pads, "ceil_mode": ceil}
    if op == "AveragePool":
        attributes["count_include_pad"] = include
    if op != "LpPool":
        attributes["dilations"] = sizes(1, 2)
    dilations = attributes.get("dilations", [1] * rank)
    extents = [(size - 1) * dilation + 1 for size, dilation in zip(window, dilations, strict=True)]
    shape = [data.draw(st.integers(max(extent, 4), 9)) for extent in extents]  # torch pools no less than a window
    agree(Case(op, [values(2, 3, *shape)], attributes, name=op))


@given(array=hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=6)), data=st.data())
@FEW
def test_slices_of_any_kind(array: np.ndarray, data: st.DataObject) -> None:
    array = values(*array.shape)
    axes = data.draw(st.lists(st.integers(-array.ndim, array.ndim - 1), min_size=1, unique_by=lambda a: a % array.ndim))
    bound = st.integers(-8, 8)
    starts, ends = ([data.draw(bound) for _ in axes] for _ in range(2))
    steps = [data.draw(st.sampled_from([-3, -2, -1, 1, 2, 3])) for _ in axes]
    agree(Case("Slice", [array, *(np.array(each, np.int64) for each in (starts, ends, axes, steps))]))


@given(shape=hnp.array_shapes(min_dims=2, max_dims=4, max_side=4), data=st.data())
@FEW
def test_reductions_over_any_axes(shape: tuple[int, ...], data: st.DataObject) -> None:
    axes = data.draw(
        st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, unique_by=lambda axis: axis % len(shape))
    )
    op = data.draw(
        st.sampled_from(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2", "ReduceLogSumExp", "ReduceProd"])
    )
    agree(Case(op, [values(*shape), np.array(axes, np.int64)], {"keepdims": data.draw(st.integers(0, 1))}))


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@given(shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=3, max_side=5), data=st.data())
@FEW
def test_padding(mode: str, shape: tuple[int, ...], data: st.DataObject) -> None:
    low = -1 if mode == "constant" else 0
    pads = data.draw(st.lists(st.integers(low, 2), min_size=2 * len(shape), max_size=2 * len(shape)))
    agree(Case("Pad", [values(*shape), np.array(pads, np.int64), scalar(0.5)], {"mode": mode}))


@given(shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=5), indices=hnp.array_shapes(max_dims=2), data=st.data())
@FEW
def test_gathering_along_any_axis(shape: tuple[int, ...], indices: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    length = shape[axis]
    places = data.draw(hnp.arrays(np.int64, indices, elements=st.integers(-length, length - 1)))
    agree(Case("Gather", [values(*shape), places], {"axis": axis}))


@given(
    batch=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3), inner=st.integers(1, 4),
    rows=st.integers(0, 4), columns=st.integers(0, 4),
)  # fmt: skip
@FEW
def test_matrix_products(batch: Any, inner: int, rows: int, columns: int) -> None:
    left, right = batch.input_shapes
    a = values(*left, rows, inner) if rows else values(inner)
    b = values(*right, inner, columns) if columns else values(inner)
    agree(Case("MatMul", [a, b]))
