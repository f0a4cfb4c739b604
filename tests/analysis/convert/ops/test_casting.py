"""Cases of the casting family, and the types that numpy has from ml_dtypes only."""

import math
from collections.abc import Sequence

import ml_dtypes
import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from analysis.convert import DifferentiableModel, convert
from analysis.convert.ops.casting import converted
from analysis.convert.registry import Element
from analysis.errors import NodeFailed, UnsupportedOp
from analysis.model import check_model
from tests.analysis.convert.ops.cases import RANDOM, Case, floats

X = floats(2, 3, 4)
INTEGERS = RANDOM.permutation(24).reshape(2, 3, 4)
NUMBERS = np.array([-2.7, -0.5, 0.0, 0.5, 2.7, 100.4], np.float32)
SMALL = {
    "FLOAT8E4M3FN": ml_dtypes.float8_e4m3fn,
    "FLOAT8E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "FLOAT8E5M2": ml_dtypes.float8_e5m2,
    "FLOAT8E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
    "FLOAT6E2M3": ml_dtypes.float6_e2m3fn,
    "FLOAT6E3M2": ml_dtypes.float6_e3m2fn,
    "FLOAT4E2M1": ml_dtypes.float4_e2m1fn,
}
INTEGER_TYPES = {
    "INT4": ml_dtypes.int4,
    "UINT4": ml_dtypes.uint4,
    "INT2": ml_dtypes.int2,
    "UINT2": ml_dtypes.uint2,
}
EVERY_BYTE = np.arange(256, dtype=np.uint8)


def casts(to: int, *arrays: np.ndarray) -> list[Case]:
    """From each of these types."""
    wanted = helper.tensor_dtype_to_np_dtype(to)
    smooth = wanted.kind == "f"
    return [
        Case(
            "Cast", [array], {"to": to}, since=6, returns=(wanted.name,),
            differentiable=smooth and array.dtype == np.float32 and wanted.itemsize > 2,
            name=f"{array.dtype.name} to {wanted.name}",
        )
        for array in arrays
    ]  # fmt: skip


def bit_casts(*pairs: tuple[np.ndarray, type]) -> list[Case]:
    """numpy's view."""
    return [
        Case(
            "BitCast", [array], {"to": helper.np_dtype_to_tensor_dtype(np.dtype(to))}, differentiable=False,
            formula=lambda x, to=to: x.view(to), name=f"{array.dtype.name} to {np.dtype(to).name}",
        )
        for array, to in pairs
    ]  # fmt: skip


CASES = [
    Case(
        "Cast", [X], {"to": "DOUBLE"}, until=6, returns=("float64",), formula=lambda x: x.astype(np.float64),
        name="type by its name",
    ),
    *casts(TensorProto.FLOAT, NUMBERS, INTEGERS, NUMBERS > 0, NUMBERS.astype(np.float64), NUMBERS.astype(np.float16)),
    *casts(TensorProto.DOUBLE, NUMBERS, INTEGERS.astype(np.int32)),
    *casts(TensorProto.FLOAT16, NUMBERS),
    *casts(TensorProto.INT64, NUMBERS, INTEGERS.astype(np.uint8), NUMBERS > 0, INTEGERS.astype(np.uint32)),
    *casts(TensorProto.INT32, NUMBERS, INTEGERS),
    *casts(TensorProto.INT8, NUMBERS, INTEGERS * 20),
    *casts(TensorProto.UINT8, np.abs(NUMBERS), INTEGERS, INTEGERS * 20),
    *casts(TensorProto.UINT16, np.abs(NUMBERS), INTEGERS * 5000),
    *casts(TensorProto.UINT32, np.abs(NUMBERS), INTEGERS - 5),
    *casts(TensorProto.UINT64, np.abs(NUMBERS), INTEGERS - 5),
    *casts(TensorProto.BOOL, NUMBERS, INTEGERS),
    Case("CastLike", [X, INTEGERS], differentiable=False),
    Case("CastLike", [X, floats(1)], name="no change"),
    Case("CastLike", [INTEGERS, floats(1)], differentiable=False, name="to floats"),
    *bit_casts(
        (X, np.int32), (X, np.uint32), (INTEGERS, np.float64), (INTEGERS.astype(np.int32) + 2**30, np.float32),
        (X.astype(np.float16), np.int16), (X[0, 0, 0], np.int32), (EVERY_BYTE, np.int8), (X > 0, np.uint8),
        (X.astype(np.float64), np.uint64),
    ),
]  # fmt: skip


def code_of(name: str) -> int:
    return TensorProto.DataType.Value(name)


def module_of(op: str, opset: int, inputs: Sequence[str], output: str, precision=torch.float32, **attributes):
    """A model of one node, its inputs and its output of these element types."""
    names = [f"x{place}" for place in range(len(inputs))]
    node = helper.make_node(op, names, ["y"], name="node", **attributes)
    values = [helper.make_tensor_value_info(x, code_of(kind), None) for x, kind in zip(names, inputs, strict=True)]
    outputs = [helper.make_tensor_value_info("y", code_of(output), None)]
    model = helper.make_model(
        helper.make_graph([node], "g", values, outputs), opset_imports=[helper.make_opsetid("", opset)], ir_version=13,
    )  # fmt: skip
    return model, convert(check_model(model.SerializeToString()), precision=precision)


def tensor_of(array: np.ndarray) -> torch.Tensor:
    """Numbers of a type that torch lacks, in one that holds them."""
    name = array.dtype.name
    held = {"int4": "int8", "int2": "int8", "uint4": "uint8", "uint2": "uint8"}.get(name, name)
    return torch.from_numpy(array.astype("float32" if "float4" in name or "float8" in name else held))


def run(module: DifferentiableModel, *arrays: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        (y,) = module(*map(tensor_of, arrays))
    return y.float().numpy() if y.is_floating_point() else y.numpy()


def every_number(small: type) -> np.ndarray:
    """All numbers of a type, all halves between neighbours, what lies just beside those, and what lies beyond."""
    bits = ml_dtypes.finfo(small).bits
    own = EVERY_BYTE[: 2**bits].view(small).astype(np.float64)
    own = np.unique(own[np.isfinite(own)])
    halves = (own[1:] + own[:-1]) / 2
    largest, step = own[-1], own[-1] - own[-2]
    beyond = largest + step * np.array([0.25, 0.5, 0.51, 0.75, 1.0, 5.0, 1e4])
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-9, -1e-9, 3e38, -3e38]
    near = [np.nextafter(halves.astype(np.float32), np.float32(side)) for side in (-1e9, 1e9)]
    return np.concatenate([own, halves, *near, beyond, -beyond, special]).astype(np.float32)


@pytest.mark.parametrize("source", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("saturate", [1, 0])
@pytest.mark.parametrize("name", SMALL)
def test_small_floats_round_as_ml_dtypes_does(name: str, saturate: int, source: type) -> None:
    small = SMALL[name]
    x = every_number(small)
    with np.errstate(over="ignore"):
        x = x.astype(source)
    with np.errstate(invalid="ignore"):
        wanted = (numpy_helper.saturate_cast(x, small) if saturate else x.astype(small)).astype(np.float32)
    got = converted(torch.from_numpy(x), Element(name, torch.float32), saturate)
    assert got.dtype is torch.float32
    np.testing.assert_array_equal(got.numpy(), wanted)
    zero = wanted == 0
    zero &= ~np.isnan(x)  # ml_dtypes keeps the sign of a NaN that became 0
    np.testing.assert_array_equal(np.signbit(got.numpy()[zero]), np.signbit(wanted[zero]))


@pytest.mark.parametrize("name", [name for name in SMALL if "FLOAT6" not in name])
def test_cast_to_a_small_float_and_back(name: str) -> None:
    x = every_number(SMALL[name])
    for opset in (19, 21, 23, 24, 25, 28) if name != "FLOAT4E2M1" else (23, 24, 25, 28):
        model, module = module_of("Cast", opset, ["FLOAT"], name, to=code_of(name), saturate=1)
        (wanted,) = ReferenceEvaluator(model).run(None, {"x0": x})
        np.testing.assert_array_equal(run(module, x), wanted.astype(np.float32))
    small = wanted.astype(np.float32)
    _, back = module_of("Cast", 28, [name], "FLOAT16", to=code_of("FLOAT16"))
    np.testing.assert_array_equal(run(back, wanted), small.astype(np.float16).astype(np.float32))


def test_cast_of_8_bit_floats_that_torch_stores() -> None:
    _, module = module_of("Cast", 19, ["FLOAT8E5M2"], "FLOAT", to=code_of("FLOAT"))
    (y,) = module(torch.tensor([1.5, -57344.0, math.inf]).to(torch.float8_e5m2))
    assert y.dtype is torch.float32
    assert y.tolist() == [1.5, -57344.0, math.inf]


@pytest.mark.parametrize("mode", ["up", "down", "nearest"])
def test_powers_of_two_round_by_their_mode(mode: str) -> None:
    x = np.abs(floats(200, high=300.0, low=0.01)) * np.array([1, 1e-30, 1e30, 1e-6], np.float32).repeat(50)
    x = np.concatenate([x, np.float32(2.0) ** np.arange(-126, 128), 1.5 * np.float32(2.0) ** np.arange(-126, 127)])
    _, module = module_of("Cast", 24, ["FLOAT"], "FLOAT8E8M0", to=code_of("FLOAT8E8M0"), round_mode=mode)
    wanted = numpy_helper.to_float8e8m0(x, saturate=True, round_mode=mode).astype(np.float32)
    np.testing.assert_array_equal(run(module, x), wanted)


@pytest.mark.parametrize(
    ("mode", "saturate", "wanted"),
    [
        ("up", 1, [2.0**-127, np.nan, 2.0**127, 2.0**127, 2.0**-127]),
        ("nearest", 0, [np.nan, np.nan, np.nan, np.nan, np.nan]),
    ],
)
def test_powers_of_two_end_as_the_page_of_cast_says(mode: str, saturate: int, wanted: list[float]) -> None:
    """0, NaN, infinity, more than the largest, less than the least."""
    x = np.array([0.0, np.nan, np.inf, 3e38, 1e-40], np.float32)
    attributes = {"to": code_of("FLOAT8E8M0"), "round_mode": mode, "saturate": saturate}
    _, module = module_of("Cast", 28, ["FLOAT"], "FLOAT8E8M0", **attributes)
    np.testing.assert_array_equal(run(module, x), np.array(wanted, np.float32))


def test_an_unknown_rounding_is_refused() -> None:
    _, module = module_of("Cast", 28, ["FLOAT"], "FLOAT8E8M0", to=code_of("FLOAT8E8M0"), round_mode="odd")
    with pytest.raises(UnsupportedOp, match="odd"):
        run(module, X)


@pytest.mark.parametrize("source", [np.float32, np.float16, np.int64, np.int8])
@pytest.mark.parametrize("name", INTEGER_TYPES)
def test_narrow_integers_keep_the_lowest_bits(name: str, source: type) -> None:
    x = (np.arange(-40, 40) / (2 if np.dtype(source).kind == "f" else 1)).astype(source)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(source))
    model, module = module_of("Cast", 25, [TensorProto.DataType.Name(kind)], name, to=code_of(name))
    (wanted,) = ReferenceEvaluator(model).run(None, {"x0": x})
    got = run(module, x)
    assert got.dtype == (np.uint8 if name.startswith("U") else np.int8)
    np.testing.assert_array_equal(got, wanted.astype(got.dtype))


@pytest.mark.parametrize("name", [*INTEGER_TYPES, "FLOAT4E2M1", "FLOAT8E4M3FN", "FLOAT8E5M2FNUZ", "FLOAT8E8M0"])
def test_cast_like_is_cast_to_the_type_of_the_other(name: str) -> None:
    small = {**SMALL, **INTEGER_TYPES, "FLOAT8E8M0": ml_dtypes.float8_e8m0fnu}[name]
    x = np.abs(NUMBERS) + np.float32(0.1) if name == "FLOAT8E8M0" else NUMBERS
    _, module = module_of("CastLike", 25, ["FLOAT", name], name)
    _, cast = module_of("Cast", 25, ["FLOAT"], name, to=code_of(name))
    np.testing.assert_array_equal(run(module, x, np.ones(1, np.float32).astype(small)), run(cast, x))


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("saturate", [1, 0])
def test_casting_to_8_bits_has_slope_1_inside_and_0_outside(saturate: int, precision: torch.dtype) -> None:
    attributes = {"to": code_of("FLOAT8E4M3FN"), "saturate": saturate}
    _, module = module_of("Cast", 28, ["FLOAT"], "FLOAT8E4M3FN", precision, **attributes)
    x = torch.tensor([0.3, -447.0, 460.0, 470.0, -1e6, math.inf, math.nan, 0.0, 1e-9], dtype=precision).requires_grad_()
    (y,) = module(x)
    y.backward(torch.arange(1, 10).to(precision))
    assert x.grad.tolist() == [1, 2, 3, 0, 0, 0, 0, 8, 9]
    with torch.no_grad():
        torch.testing.assert_close(y.detach(), module(x)[0], rtol=0, atol=0, equal_nan=True)


def test_casting_to_powers_of_two_has_slope_1_inside_and_0_outside() -> None:
    _, module = module_of("Cast", 28, ["FLOAT"], "FLOAT8E8M0", to=code_of("FLOAT8E8M0"))
    x = torch.tensor([0.3, 5.0, 3e38, math.inf, math.nan, 1e-45]).requires_grad_()
    module(x)[0].sum().backward()
    assert x.grad.tolist() == [1, 1, 0, 0, 0, 0]


FOUR, TWO = np.arange(16, dtype=np.uint8), np.arange(4, dtype=np.uint8)


@pytest.mark.parametrize(
    ("source", "target", "codes"),
    [
        ("UINT4", "INT4", FOUR), ("INT4", "UINT4", FOUR), ("UINT4", "FLOAT4E2M1", FOUR), ("FLOAT4E2M1", "INT4", FOUR),
        ("FLOAT4E2M1", "UINT4", FOUR), ("INT4", "FLOAT4E2M1", FOUR), ("UINT2", "INT2", TWO), ("INT2", "UINT2", TWO),
        ("UINT8", "FLOAT8E4M3FN", EVERY_BYTE), ("INT8", "FLOAT8E5M2", EVERY_BYTE),
        ("UINT8", "FLOAT8E4M3FNUZ", EVERY_BYTE), ("UINT8", "FLOAT8E5M2FNUZ", EVERY_BYTE),
        ("UINT8", "FLOAT8E8M0", EVERY_BYTE),
    ],
)  # fmt: skip
def test_bits_of_small_types(source: str, target: str, codes: np.ndarray) -> None:
    """ml_dtypes keeps one number a byte, integers with the sign drawn out."""
    types = {**SMALL, **INTEGER_TYPES, "UINT8": np.uint8, "INT8": np.int8, "FLOAT8E8M0": ml_dtypes.float8_e8m0fnu}

    def read(name: str) -> np.ndarray:
        return codes.astype(types[name]) if name in INTEGER_TYPES else codes.view(types[name])

    _, module = module_of("BitCast", 26, [source], target, to=code_of(target))
    got = run(module, read(source))
    np.testing.assert_array_equal(got, read(target).astype(got.dtype))


def test_bits_of_a_float32_that_is_computed_with_in_float64() -> None:
    _, module = module_of("BitCast", 26, ["FLOAT"], "INT32", torch.float64, to=code_of("INT32"))
    x = torch.from_numpy(X).double().requires_grad_()
    np.testing.assert_array_equal(module(x)[0].numpy(), X.view(np.int32))
    _, module = module_of("BitCast", 26, ["INT32"], "FLOAT", torch.float64, to=code_of("FLOAT"))
    np.testing.assert_array_equal(module(torch.from_numpy(X.view(np.int32)))[0].numpy(), X.astype(np.float64))


def test_bits_of_8_bit_floats_are_refused() -> None:
    _, module = module_of("BitCast", 26, ["FLOAT8E5M2"], "UINT8", to=code_of("UINT8"))
    with pytest.raises((UnsupportedOp, NodeFailed), match="8-bit floats"):
        run(module, np.ones(2, ml_dtypes.float8_e5m2))
