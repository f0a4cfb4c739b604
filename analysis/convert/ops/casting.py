"""Changes of element type, also to types torch cannot compute with: their values stay in wider tensors.

A small float type has m bits behind the point. Between two powers of two its numbers lie 2**(e - m) apart, where e is
the larger of floor(log2 |x|) and the exponent of the smallest normal number; x goes to the nearest of them, halves to
the even one. Rounding has slope 1, and slope 0 where the type ends.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch

from analysis.convert.registry import Element, ElementType, InputElements, OutputElement, Tensor, op
from analysis.errors import UnsupportedOp


@dataclass(frozen=True, slots=True)
class SmallFloat:
    """A floating-point type of 4, 6 or 8 bits."""

    mantissa: int
    """Bits behind the point."""
    lowest: int
    """Exponent of the smallest normal number."""
    largest: float
    beyond: float
    """What stands for larger numbers where they do not saturate."""
    not_a_number: float = math.nan
    signed_zero: bool = True


SMALL_FLOATS: Final = {
    "FLOAT8E4M3FN": SmallFloat(3, -6, 448.0, math.nan),
    "FLOAT8E4M3FNUZ": SmallFloat(3, -7, 240.0, math.nan, signed_zero=False),
    "FLOAT8E5M2": SmallFloat(2, -14, 57344.0, math.inf),
    "FLOAT8E5M2FNUZ": SmallFloat(2, -15, 57344.0, math.nan, signed_zero=False),
    "FLOAT6E2M3": SmallFloat(3, 0, 7.5, 7.5, not_a_number=0.0),
    "FLOAT6E3M2": SmallFloat(2, -2, 28.0, 28.0, not_a_number=0.0),
    "FLOAT4E2M1": SmallFloat(1, 0, 6.0, 6.0, not_a_number=0.0),
}
"""Cast-28 and the OCP Microscaling Formats (MX) v1.0, section 5.3; what lacks NaN and infinity always saturates."""
POWER_OF_TWO: Final = "FLOAT8E8M0"
"""An exponent from -127 to 127, nothing else."""
NARROW_INTEGERS: Final = {"INT4": (-8, 4), "UINT4": (0, 4), "INT2": (-2, 2), "UINT2": (0, 2)}
"""Lowest value and number of bits."""
FOUR_BIT_FLOATS: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""FLOAT4E2M1 by its code without the sign."""
HALVES: Final = {"FLOAT16": torch.float16, "BFLOAT16": torch.bfloat16}
"""Types whose values are computed with in float32."""
STORED: Final = {
    **HALVES,
    "FLOAT": torch.float32,
    "FLOAT8E4M3FN": torch.float8_e4m3fn,
    "FLOAT8E4M3FNUZ": torch.float8_e4m3fnuz,
    "FLOAT8E5M2": torch.float8_e5m2,
    "FLOAT8E5M2FNUZ": torch.float8_e5m2fnuz,
    "FLOAT8E8M0": torch.float8_e8m0fnu,
}
"""The layout of types that are computed with in another one."""


@op("Cast")
def cast(x: Tensor, *, to: ElementType, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """Another element type; floats become integers by cutting towards zero."""
    return converted(x, to, saturate, round_mode)


@op("CastLike", 15)
def cast_like(
    x: Tensor, like: Tensor, *, saturate: int = 1, round_mode: str = "up", element: OutputElement = None
) -> Tensor:
    """The element type of another tensor."""
    return x.to(like.dtype) if element is None else converted(x, element, saturate, round_mode)


@op("BitCast", 26)
def bit_cast(x: Tensor, *, to: ElementType, elements: InputElements = ()) -> Tensor:
    """The same bits read as another type of as many bits; no gradient."""
    x = x.detach()
    x = x.to(HALVES[elements[0].name]) if elements and elements[0] and elements[0].name in HALVES else x
    if to.name == "FLOAT4E2M1":
        signed = torch.tensor((*FOUR_BIT_FLOATS, *(-value for value in FOUR_BIT_FLOATS)), device=x.device)
        return signed[_four_bits(x)].to(to.dtype)
    if to.name in NARROW_INTEGERS:
        return _wrapped(_four_bits(x), to)
    stored = STORED.get(to.name, to.dtype)
    if x.dtype is torch.float64 and stored.itemsize == 4:
        x = x.float()
    if x.element_size() != stored.itemsize:
        raise UnsupportedOp(
            f"BitCast from {x.dtype} to {to.name}: other widths, and 8-bit floats, which are kept by value"
        )
    return x.view(stored).to(to.dtype)


def converted(x: Tensor, to: Element, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """The values that an element type has for these."""
    if to.name in SMALL_FLOATS:
        return small_float(x, SMALL_FLOATS[to.name], saturate).to(to.dtype)
    if to.name == POWER_OF_TWO:
        return _power_of_two(x, saturate, round_mode).to(to.dtype)
    return _wrapped(x, to) if to.name in NARROW_INTEGERS else x.to(to.dtype)


def small_float(x: Tensor, kind: SmallFloat, saturate: int) -> Tensor:
    """The nearest number of the type."""
    x = wide(x)
    size = x.detach().abs().clamp(2.0**kind.lowest, 2 * kind.largest)
    step = size / torch.frexp(size).mantissa * 0.5 ** (kind.mantissa + 1)  # a power of two: the division is exact
    rounded = (x.detach() / step).round() * step
    over = rounded.abs() > kind.largest
    values = torch.where(over, rounded.sign() * (kind.largest if saturate else kind.beyond), rounded)
    values = values if math.isnan(kind.not_a_number) else values.nan_to_num(kind.not_a_number)
    return straight_through(x, values if kind.signed_zero else values + 0.0, ~over)


def straight_through(x: Tensor, values: Tensor, inside: Tensor) -> Tensor:
    """These values; towards x they have slope 1 where it was inside, else 0."""
    if not x.requires_grad:
        return values
    passing = torch.where(inside & x.isfinite(), x, 0.0)
    return values - (passing.detach() - passing)


def wide(x: Tensor) -> Tensor:
    """Floats of at least 32 bits."""
    return x if x.dtype is torch.float64 else x.float()


def _power_of_two(x: Tensor, saturate: int, round_mode: str) -> Tensor:
    """2 ** e with e from -127 to 127; NaN outside unless it saturates. Of a negative number, the size."""
    x = wide(x)
    size = x.detach().double().abs().clamp(2.0**-129, 2.0**129)
    mantissa = torch.frexp(size).mantissa
    power = size / mantissa / 2
    if round_mode == "up":
        power = torch.where(mantissa > 0.5, 2 * power, power)
    elif round_mode == "nearest":
        power = torch.where(mantissa >= 0.75, 2 * power, power)
    elif round_mode != "down":
        raise UnsupportedOp(f"round_mode {round_mode!r} of a cast to {POWER_OF_TWO}")
    bounded = power.clamp(2.0**-127, 2.0**127)
    inside = power == bounded
    values = bounded if saturate else torch.where(inside, power, math.nan)
    return straight_through(x, values.to(x.dtype), inside & (x > 0))


def _wrapped(x: Tensor, to: Element) -> Tensor:
    """The lowest bits, read as an integer of so many."""
    lowest, bits = NARROW_INTEGERS[to.name]
    code: Tensor = (x.long() - lowest) & (2**bits - 1)
    return (code + lowest).to(to.dtype)


def _four_bits(x: Tensor) -> Tensor:
    """The code of integers, which is what they are, and of FLOAT4E2M1."""
    if not x.is_floating_point():
        return x.long() & 15
    codes = x.abs().unsqueeze(-1) == torch.tensor(FOUR_BIT_FLOATS, dtype=x.dtype, device=x.device)
    return codes.long().argmax(-1) + 8 * x.signbit()
