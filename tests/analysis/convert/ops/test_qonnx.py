"""Cases of QONNX's quantisers against its formulas in numpy, and gradients that are straight-through."""

import ml_dtypes
import numpy as np
import pytest
import torch

from analysis.convert.ops import qonnx
from analysis.convert.ops.qonnx import DOMAINS, ROUNDINGS, bipolar_quant, float_quant, quant, trunc
from analysis.errors import UnsupportedOp
from tests.analysis.convert.ops.cases import Case, scalar

RANDOM = np.random.default_rng(20261128)

NUMPY = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.fix,
    "ROUND_TO_ZERO": np.fix,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}
BOUNDS = {
    (1, 0): lambda bits: (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1),
    (1, 1): lambda bits: (-(2.0 ** (bits - 1)) + 1, 2.0 ** (bits - 1) - 1),
    (0, 0): lambda bits: (0.0, 2.0**bits - 1),
    (0, 1): lambda bits: (0.0, 2.0**bits - 2),
}
HALVES = np.arange(-20, 21, dtype=np.float32) / 4  # with scale 0.5 every quarter of a step
SPREAD = np.concatenate([[0.0, 1.0625, 1.1875, -1.3125, 500.0, -1e6], HALVES, np.geomspace(1e-4, 400, 61)]).astype(
    np.float32
)
"""Halves of a last place, numbers under the least and over the largest."""


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def quantized(signed: int, narrow: int, mode: str):
    def formula(x, scale, zero_point, bits):
        steps = x / scale + zero_point
        if bits == 1 and signed:
            whole = np.where(steps >= 0, 1.0, -1.0)
        else:
            whole = NUMPY[mode](np.clip(steps, *BOUNDS[signed, narrow](bits)))
        return ((whole - zero_point) * scale).astype(np.float32)

    return formula


def truncated(mode: str):
    def formula(x, scale, zero_point, bits, kept):
        whole = NUMPY[mode](np.round(x / scale + zero_point) / 2 ** (bits - kept))
        return ((whole - zero_point) * scale).astype(np.float32)

    return formula


def truncated_to_scale(x, scale, zero_point, bits, out_scale, out_zero_point, out_bits):
    factor = 2 ** np.round(np.log2(out_scale / scale))
    low, high = BOUNDS[0, 0](out_bits)
    whole = np.floor(np.clip(np.round(x / scale + zero_point) / factor, low, high))
    return ((whole - zero_point / factor) * out_scale).astype(np.float32)


def small_float(dtype: str):
    """What somebody else's type of these bits holds, the largest in place of what is larger."""

    def formula(x, scale, exponent_bits, mantissa_bits, bias, largest):
        kept = np.clip(x / scale, -largest, largest).astype(getattr(ml_dtypes, dtype))
        return (kept.astype(np.float32) * scale).astype(np.float32)

    return formula


def every(op: str, inputs: list, formula, attributes: dict | None = None, name: str = "") -> list[Case]:
    return [
        Case(
            op, inputs, attributes or {}, domain=domain, formula=formula, differentiable=False,
            constant=tuple(range(1, len(inputs))), name=f"{domain} {name}",
        )
        for domain in DOMAINS
    ]  # fmt: skip


CASES = [
    case
    for op in ("Quant", "IntQuant")
    for signed, narrow in BOUNDS
    for mode in NUMPY
    for case in every(
        op, [HALVES, scalar(0.5), scalar(0.0), scalar(4.0)], quantized(signed, narrow, mode),
        {"signed": signed, "narrow": narrow, "rounding_mode": mode}, f"{signed} {narrow} {mode}",
    )
] + [
    *every("Quant", [floats(3, 4), scalar(0.1), scalar(2.0), scalar(3.0)], quantized(1, 1, "ROUND"), {}, "defaults"),
    *every("Quant", [floats(3, 4), np.abs(floats(3, 1)) + 0.1, scalar(0.0), scalar(2.0)], quantized(0, 0, "FLOOR"),
           {"signed": 0, "narrow": 0, "rounding_mode": "FLOOR"}, "a scale for each row"),
    *every("Quant", [HALVES, scalar(0.5), scalar(0.0), scalar(1.0)], quantized(1, 0, "ROUND"),
           {"signed": 1, "narrow": 0}, "one bit"),
    *every("BipolarQuant", [HALVES, scalar(0.3)], lambda x, s: np.where(x >= 0, s, -s).astype(np.float32)),
    *every("Trunc", [HALVES, scalar(0.25), scalar(0.0), scalar(8.0), scalar(6.0)], truncated("FLOOR")),
    *every("Trunc", [HALVES, scalar(0.25), scalar(1.0), scalar(8.0), scalar(7.0)], truncated("ROUND"),
           {"rounding_mode": "ROUND"}, "rounded"),
    *every("Trunc", [HALVES, scalar(0.25), scalar(4.0), scalar(8.0), scalar(1.0), scalar(1.0), scalar(3.0)],
           truncated_to_scale, {"signed": 0, "narrow": 0}, "to a scale"),
    *every("FloatQuant", [SPREAD, scalar(1.0), *map(scalar, (4.0, 3.0, 7.0, 448.0))], small_float("float8_e4m3fn")),
    *every("FloatQuant", [SPREAD, scalar(0.25), *map(scalar, (5.0, 2.0, 15.0, 57_344.0))], small_float("float8_e5m2"),
           {"has_inf": 1, "has_nan": 1, "has_subnormal": 1}, "with a scale"),
    *every("FloatQuant", [SPREAD, scalar(1.0), *map(scalar, (2.0, 3.0, 1.0, 7.5))], small_float("float6_e2m3fn"),
           {"rounding_mode": "HALF_EVEN"}, "six bits"),
]  # fmt: skip


def slopes(function, x: np.ndarray) -> np.ndarray:
    value = torch.from_numpy(x).requires_grad_()
    function(value).sum().backward()
    return value.grad.numpy()


@pytest.mark.parametrize(("signed", "narrow"), BOUNDS)
def test_the_gradient_is_one_inside_the_range_and_none_where_it_is_clamped(signed: int, narrow: int) -> None:
    scale, bits = torch.tensor(0.5), torch.tensor(3.0)
    found = slopes(lambda x: quant(x, scale, torch.tensor(0.0), bits, signed=signed, narrow=narrow), HALVES)
    low, high = BOUNDS[signed, narrow](3.0)
    steps = HALVES / 0.5
    inside, outside = (low < steps) & (steps < high), (steps < low) | (steps > high)
    np.testing.assert_array_equal(found[inside], 1)
    np.testing.assert_array_equal(found[outside], 0)


def test_two_sides_pass_gradients_between_them_only() -> None:
    np.testing.assert_array_equal(
        slopes(lambda x: bipolar_quant(x, torch.tensor(1.0)), HALVES), (np.abs(HALVES) <= 1).astype(np.float32)
    )


def small(x: torch.Tensor, **how: int) -> torch.Tensor:
    """Four bits of exponent and three of mantissa, 448 the largest."""
    return float_quant(x, *(torch.tensor(each) for each in (1.0, 4.0, 3.0, 7.0, 448.0)), **how)


def test_a_small_float_passes_gradients_up_to_its_largest_number() -> None:
    np.testing.assert_array_equal(slopes(small, SPREAD), (np.abs(SPREAD) <= 448).astype(np.float32))


def test_a_small_float_that_does_not_saturate_has_infinities_or_else_none_of_the_numbers() -> None:
    x = torch.tensor([1.0, 1000.0, -1000.0])
    assert small(x, saturation=0, has_inf=1).tolist() == [1.0, np.inf, -np.inf]
    assert torch.isnan(small(x, saturation=0, has_nan=1)).tolist() == [False, True, True]


def test_without_a_largest_number_the_bits_say_which_it_is() -> None:
    found = float_quant(torch.tensor([1e6]), *(torch.tensor(each) for each in (1.0, 4.0, 3.0, 7.0)))
    assert found.item() == 480  # 1.875 * 2**8: no pattern is kept for infinity


def test_a_truncation_passes_what_it_divides_by() -> None:
    settings = [torch.tensor(value) for value in (0.25, 0.0, 8.0, 6.0)]
    np.testing.assert_allclose(slopes(lambda x: trunc(x, *settings), HALVES), 0.25)


def test_the_slope_of_the_scale_is_that_of_learned_step_sizes() -> None:
    x, scale = RANDOM.standard_normal(50).astype(np.float32), torch.tensor(0.3, requires_grad=True)
    quant(torch.from_numpy(x), scale, torch.tensor(0.0), torch.tensor(3.0), narrow=0).sum().backward()
    steps = x.astype(np.float64) / 0.3
    inside = (steps >= -4) & (steps <= 3)
    wanted = np.where(inside, np.round(steps) - steps, np.clip(steps, -4, 3))  # Esser et al. 2020, equation 3
    assert scale.grad.item() == pytest.approx(wanted.sum(), rel=1e-4)


def test_a_rounding_that_nobody_knows_is_refused_with_those_that_are() -> None:
    one = torch.tensor(1.0)
    with pytest.raises(UnsupportedOp, match="SIDEWAYS is none of ROUND") as refused:
        quant(one, one, one, one + 3, rounding_mode="SIDEWAYS", name="q")
    assert refused.value.where == "q"
    assert set(ROUNDINGS) == set(NUMPY)
    assert qonnx.DOMAINS == DOMAINS
