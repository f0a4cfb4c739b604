import ml_dtypes
import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from analysis.convert.tensors import DTYPES, NEAREST, TrainableWeights, half_outputs, rounded_to, to_tensor, widened_to
from tests.analysis.convert.conversion import RANDOM, checked, converted, floats, proto


@pytest.mark.parametrize("element", ["float16", "float64", "bfloat16"])
def test_a_weight_keeps_its_values_and_an_output_its_type(element: str) -> None:
    """Half precision is for storage: the weight trains in float32."""
    number = {"float16": 10, "float64": 11, "bfloat16": 16}[element]
    made = proto(
        f"h = Cast<to: int = {number}>(x) y = MatMul(h, w)", outputs=f"{element.replace('float64', 'double')}[] y"
    )
    weight = torch.from_numpy(floats(4, 3)).to(getattr(torch, element))
    content = weight.view(torch.int16 if weight.itemsize == 2 else torch.int64).numpy().tobytes()
    made.graph.initializer.append(TensorProto(name="w", data_type=number, dims=[4, 3], raw_data=content))
    module = converted(made)
    assert module.initializers["w"].dtype is (torch.float64 if element == "float64" else torch.float32)
    assert torch.equal(module.initializers["w"], weight.to(module.initializers["w"].dtype))
    (y,) = module(torch.ones(1, 4))
    assert y.dtype is weight.dtype
    torch.testing.assert_close(y, weight.sum(0, keepdim=True), rtol=1e-2, atol=1e-2)


def test_a_large_weight_is_a_parameter_like_any_other() -> None:
    weight = floats(300, 200)
    module = converted(proto("y = MatMul(x, w)", "float[N,300] x", w=weight))
    x = floats(2, 300)
    module(torch.from_numpy(x))[0].sum().backward()
    np.testing.assert_allclose(
        module.initializers["w"].grad.numpy(), np.repeat(x.sum(0)[:, None], 200, 1), rtol=1e-5, atol=1e-5
    )


# ------------------------------------------------------------------ element types


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int32", "int64", "uint8", "uint16", "bool"])
def test_a_tensor_shares_the_memory_of_its_array(dtype: str) -> None:
    array = RANDOM.integers(0, 2, (3, 4)).astype(dtype)
    tensor = to_tensor(array)
    assert np.array_equal(tensor.numpy(), array)
    assert tensor.numpy().dtype == array.dtype
    assert np.shares_memory(tensor.numpy(), array)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_single_precision_and_less_come_in_the_precision_that_is_asked_for(dtype: str, precision: torch.dtype) -> None:
    array = floats(3, 4).astype(getattr(ml_dtypes, dtype, dtype))
    tensor = to_tensor(array, precision)
    assert tensor.dtype is precision
    np.testing.assert_array_equal(tensor.numpy(), array.astype(np.float64))


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        ("int4", torch.int8), ("uint4", torch.uint8), ("int2", torch.int8), ("uint2", torch.uint8),
        ("float8_e4m3fn", None), ("float8_e5m2", None), ("float8_e4m3fnuz", None), ("float4_e2m1fn", None),
    ],
)  # fmt: skip
def test_types_torch_does_not_have_keep_their_numbers(
    dtype: str, stored: torch.dtype | None, precision: torch.dtype
) -> None:
    array = np.array([0, 1, 1, 0]).astype(getattr(ml_dtypes, dtype))
    if dtype.startswith("int"):
        array[3] = -2
    tensor = to_tensor(array, precision)
    assert tensor.dtype is (stored or precision)
    np.testing.assert_array_equal(tensor.numpy(), array.astype(np.float64))


def test_every_element_type_of_onnx_that_holds_numbers_has_a_place() -> None:
    """Complex numbers included, of which nothing is narrower."""
    known = {TensorProto.DataType.Name(code) for code in (*DTYPES, *NEAREST)}
    assert set(TensorProto.DataType.keys()) - known == {"UNDEFINED", "STRING"}
    assert not DTYPES.keys() & NEAREST.keys()
    for code, dtype in DTYPES.items():
        assert torch.from_numpy(np.zeros(1, helper.tensor_dtype_to_np_dtype(code))).dtype is dtype


# ------------------------------------------------------------------ half precision


def test_outputs_in_half_precision_are_found_in_sequences_and_optionals_too() -> None:
    found = half_outputs(
        checked(
            proto(
                "h = Cast<to: int = 10>(x) b = Cast<to: int = 16>(x) s = SequenceConstruct(h, h) o = Optional(b)"
                " q = SequenceConstruct(x) t = Optional(s)",
                outputs="float16[] h, bfloat16[] b, seq(float16[]) s, optional(bfloat16[]) o, float[N,4] x,"
                " seq(float[]) q, optional(seq(float16[])) t",
            )
        )
    )
    half, brain = torch.float16, torch.bfloat16
    assert found == {"h": half, "b": brain, "s": half, "o": brain, "t": half}


def test_what_is_narrower_is_widened_and_everything_else_is_left_alone() -> None:
    half, single, double, whole = (
        torch.ones(2).to(kind) for kind in (torch.half, torch.float, torch.double, torch.int)
    )
    assert [each.dtype for each in widened_to([half, [single], (double,)][:1], torch.float32)] == [torch.float32]
    assert widened_to(half, torch.float64).dtype is torch.float64
    assert widened_to(single, torch.float64).dtype is torch.float64
    assert widened_to(half.bfloat16(), torch.float32).dtype is torch.float32
    assert widened_to(double, torch.float32) is double
    assert widened_to(whole, torch.float64) is whole
    assert widened_to(None, torch.float64) is None
    nested = widened_to((half, [single, whole]), torch.float64)
    assert [nested[0].dtype, nested[1][0].dtype, nested[1][1].dtype] == [torch.float64, torch.float64, torch.int32]


def test_an_output_is_rounded_as_torch_rounds() -> None:
    value = torch.tensor([1 / 3, 70_000.0])
    assert torch.equal(rounded_to(value, torch.float16), value.half())
    assert rounded_to(value, None) is value
    assert rounded_to(None, torch.float16) is None
    sequence = rounded_to((value, None), torch.bfloat16)
    assert isinstance(sequence, list)
    assert torch.equal(sequence[0], value.bfloat16())
    assert sequence[1] is None


# ------------------------------------------------------------------ weights


def test_trainable_weights_are_private_and_integers_wait_for_their_scale() -> None:
    model = checked(proto("h = MatMul(x, w) y = Add(h, q)", w=floats(4, 4), q=np.ones(4, np.int8)))
    first, second = (TrainableWeights(model, ["w", "q"], torch.float32) for _ in range(2))
    assert list(first.parameters) == ["w"]
    assert list(first.quantized) == ["q"]
    with torch.no_grad():
        first.parameters["w"].zero_()
    np.testing.assert_array_equal(second.parameters["w"].detach().numpy(), model.weights["w"])
    assert model.weights["w"].any()
