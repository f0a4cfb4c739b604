"""Quantised numbers: exact forward, straight-through gradients inside the range.

With scale s and zero point z: q = clamp(round(x / s) + z) and y = (q - z) s. Rounding has slope 1, clamping slope 0
where it clamps, all else the slope it has; so dy/dx is 1 inside the range and 0 outside, and dy/ds is (q - z) - x / s
inside and q - z outside (learned step sizes: Esser et al., 2020, equation 3). torch passes no gradient through
integer types: while one is asked for, quantised integers are kept as floats of the same value.
Sums of products of integers are taken in float64, which holds them exactly.
"""

from typing import Final

import torch

from analysis.convert.ops.casting import HALVES, SMALL_FLOATS, small_float, straight_through, wide
from analysis.convert.ops.convolution import conv
from analysis.convert.registry import DType, Element, ElementType, InputElements, Ints, OutputElement, Tensor, op

RANGES: Final = {
    "UINT8": (0, 255), "INT8": (-128, 127), "UINT16": (0, 65535), "INT16": (-32768, 32767),
    "UINT4": (0, 15), "INT4": (-8, 7), "UINT2": (0, 3), "INT2": (-2, 1),
}  # fmt: skip
UINT8: Final = Element("UINT8", torch.uint8)
NAMES: Final = {torch.uint8: "UINT8", torch.int8: "INT8", torch.uint16: "UINT16", torch.int16: "INT16"}


MICROSOFT: Final = "com.microsoft"
"""onnxruntime's domain, which had quantised operators for more types before the standard did."""


@op("QuantizeLinear", domain=MICROSOFT)
@op("QuantizeLinear", 10)
def quantize_linear_10(
    x: Tensor, scale: Tensor, zero_point: Tensor | None = None, *, axis: int = 1, block_size: int = 0,
    output_dtype: ElementType | None = None, saturate: int = 1, element: OutputElement = None,
) -> Tensor:  # fmt: skip
    """Before opset 23 numbers of 16 bits are divided in float32, as onnxruntime does; the page is silent."""
    return quantize_linear(
        wide(x), wide(scale), zero_point, axis=axis, block_size=block_size, output_dtype=output_dtype,
        saturate=saturate, element=element,
    )  # fmt: skip


@op("QuantizeLinear", 23)
def quantize_linear(
    x: Tensor, scale: Tensor, zero_point: Tensor | None = None, *, axis: int = 1, block_size: int = 0,
    output_dtype: ElementType | None = None, precision: ElementType | None = None, saturate: int = 1,
    element: OutputElement = None, elements: InputElements = (),
) -> Tensor:  # fmt: skip
    """clamp(round(x / s) + z), with one s and z for all, for each place along an axis, or for each block along it."""
    in_type = precision or (elements[1] if len(elements) > 1 else None)
    quotient = wide(x) / _spread(wide(scale), x, axis, block_size)
    if in_type is not None and in_type.name in HALVES and quotient.dtype is torch.float32:
        quotient = straight_through(quotient, quotient.detach().to(HALVES[in_type.name]).float(), quotient.isfinite())
    shift = None if zero_point is None else _spread(wide(zero_point), x, axis, block_size)
    return quantized(quotient, shift, output_dtype or element or _type_of(zero_point), saturate)


@op("DequantizeLinear", domain=MICROSOFT)
@op("DequantizeLinear", 10)
def dequantize_linear(
    x: Tensor, scale: Tensor, zero_point: Tensor | None = None, *, axis: int = 1, block_size: int = 0,
    output_dtype: DType | None = None,
) -> Tensor:  # fmt: skip
    """(x - z) s, in the type of s by default."""
    dtype = output_dtype or scale.dtype
    precision = torch.promote_types(dtype, torch.float32)
    shift = None if zero_point is None else _spread(zero_point.to(precision), x, axis, block_size)
    return (shifted(x.to(precision), shift) * _spread(scale.to(precision), x, axis, block_size)).to(dtype)


@op("DynamicQuantizeLinear", 11)
def dynamic_quantize_linear(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x as bytes, with the scale and zero point that just hold its range and 0; scale 1 where all is 0."""
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = torch.where(high > low, (high - low) / 255, 1.0)
    zero_point = (-low / scale).detach().round().clamp(0, 255)
    return quantized(x / scale, zero_point, UINT8), scale, zero_point.to(torch.uint8)


@op("MatMulInteger", 10)
def mat_mul_integer(
    a: Tensor, b: Tensor, a_zero_point: Tensor | None = None, b_zero_point: Tensor | None = None
) -> Tensor:
    """(A - z_a) (B - z_b); zero points for all, for each row of A, for each column of B."""
    rows = None if a_zero_point is None else _by_row(a_zero_point)
    columns = None if b_zero_point is None else _by_column(b_zero_point)
    product = torch.matmul(shifted(a.double(), rows), shifted(b.double(), columns))
    return _as_sums(product, a, b)


@op("QLinearMatMul", 10)
def q_linear_mat_mul(
    a: Tensor, a_scale: Tensor, a_zero_point: Tensor, b: Tensor, b_scale: Tensor, b_zero_point: Tensor,
    y_scale: Tensor, y_zero_point: Tensor, *, element: OutputElement = None,
) -> Tensor:  # fmt: skip
    """clamp(round((A - z_a) (B - z_b) s_a s_b / s_y) + z_y)."""
    product = mat_mul_integer(a, b, a_zero_point, b_zero_point)
    factor = wide(_by_row(a_scale)) * wide(_by_column(b_scale)) / wide(_by_row(y_scale))
    return quantized(product.to(factor.dtype) * factor, _by_row(y_zero_point), element or _type_of(y_zero_point))


@op("ConvInteger", 10)
def conv_integer(
    x: Tensor, w: Tensor, x_zero_point: Tensor | None = None, w_zero_point: Tensor | None = None, *,
    auto_pad: str = "NOTSET", dilations: Ints | None = None, group: int = 1, kernel_shape: Ints | None = None,
    pads: Ints | None = None, strides: Ints | None = None,
) -> Tensor:  # fmt: skip
    """Convolution of x - z_x with w - z_w; z_w for all or for each output channel."""
    weight = shifted(w.double(), w_zero_point if w_zero_point is None else _spread(w_zero_point, w, 0))
    total = conv(
        shifted(x.double(), x_zero_point), weight, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads,
        strides=strides,
    )  # fmt: skip
    return _as_sums(total, x, w)


@op("QLinearConv", 10)
def q_linear_conv(
    x: Tensor, x_scale: Tensor, x_zero_point: Tensor, w: Tensor, w_scale: Tensor, w_zero_point: Tensor,
    y_scale: Tensor, y_zero_point: Tensor, b: Tensor | None = None, *, auto_pad: str = "NOTSET",
    dilations: Ints | None = None, group: int = 1, kernel_shape: Ints | None = None, pads: Ints | None = None,
    strides: Ints | None = None, element: OutputElement = None,
) -> Tensor:  # fmt: skip
    """clamp(round((conv(x - z_x, w - z_w) + b) s_x s_w / s_y) + z_y); the unit of b is s_x s_w."""
    total = conv_integer(
        x, w, x_zero_point, w_zero_point, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads,
        strides=strides,
    )  # fmt: skip
    total = total if b is None else total + _spread(b, total, 1)
    factor = wide(x_scale).reshape(()) * wide(_spread(w_scale, total, 1)) / wide(y_scale).reshape(())
    return quantized(total.to(factor.dtype) * factor, y_zero_point.reshape(()), element or _type_of(y_zero_point))


def _spread(parameter: Tensor, x: Tensor, axis: int, block_size: int = 0) -> Tensor:
    """A scale or zero point so that it broadcasts over x."""
    if parameter.numel() == 1:
        return parameter.reshape(())
    if block_size:
        places = torch.arange(x.shape[axis], device=x.device) // block_size
        return parameter.index_select(axis, places)
    return parameter.reshape([-1 if place == axis % x.ndim else 1 for place in range(x.ndim)])


def _by_row(parameter: Tensor) -> Tensor:
    """One number for each row of a matrix, or one for all."""
    return parameter.unsqueeze(-1) if parameter.ndim == 1 and parameter.numel() > 1 else _by_column(parameter)


def _by_column(parameter: Tensor) -> Tensor:
    """One number for each column of a matrix, or one for all."""
    return parameter.reshape(()) if parameter.numel() == 1 else parameter


def shifted(numbers: Tensor, zero_point: Tensor | None) -> Tensor:
    """Numbers less their zero point."""
    return numbers if zero_point is None else numbers - zero_point.to(numbers.dtype)


def quantized(quotient: Tensor, zero_point: Tensor | None, to: Element, saturate: int = 1) -> Tensor:
    """clamp(round(quotient) + z), or for floats the nearest number of the type.

    Not-a-number becomes the least integer, as in onnxruntime; the page is silent. A scale that was calibrated on the
    -inf of a mask is infinite, and the mask over it is not a number.
    """
    quotient = wide(quotient)
    shift = 0.0 if zero_point is None else zero_point.to(quotient.dtype)
    if to.name in SMALL_FLOATS:
        return small_float(quotient + shift, SMALL_FLOATS[to.name], saturate).to(to.dtype)
    rounded = quotient.detach().round()
    rounded = straight_through(quotient, rounded, rounded.isfinite())
    low, high = RANGES[to.name]
    return _as_integers((rounded + shift).clamp(low, high).nan_to_num(low), to.dtype)


def _as_integers(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """In their own type, or as they are where a gradient has to pass."""
    return numbers if numbers.requires_grad else numbers.to(dtype)


def _as_sums(numbers: Tensor, *factors: Tensor) -> Tensor:
    """In 32 bits; as they are where a factor is kept as floats that training has moved off the integers."""
    moved = any(factor.is_floating_point() and bool((factor != factor.round()).any()) for factor in factors)
    return numbers if moved else _as_integers(numbers, torch.int32)


def _type_of(zero_point: Tensor | None) -> Element:
    """Where nothing else tells the type, inside the body of an If or a Loop."""
    return UINT8 if zero_point is None else Element(NAMES[zero_point.dtype], zero_point.dtype)
