"""Quantisers of QONNX, which Brevitas and FINN write: floats go in, and floats come out that few bits could hold.

With scale s and zero point z: y = (round(clamp(x / s + z)) - z) s. Rounding has slope 1 and clamping slope 0, as in
`quantization`. onnxruntime knows none of them.
Source: https://github.com/fastmachinelearning/qonnx, docs/qonnx-custom-ops; Umuroglu et al., 2022 (QONNX).
"""

from collections.abc import Callable
from typing import Any, Final

import torch

from analysis.convert.ops.casting import straight_through, wide
from analysis.convert.registry import NodeName, Tensor, op
from analysis.errors import UnsupportedOp

DOMAINS: Final = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")


def _away_from_zero(numbers: Tensor, size: Callable[[Tensor], Tensor]) -> Tensor:
    return numbers.sign() * size(numbers.abs())


ROUNDINGS: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "ROUND": torch.round,
    "HALF_EVEN": torch.round,
    "CEIL": torch.ceil,
    "FLOOR": torch.floor,
    "UP": lambda numbers: _away_from_zero(numbers, torch.ceil),
    "DOWN": torch.trunc,
    "ROUND_TO_ZERO": torch.trunc,
    "HALF_UP": lambda numbers: _away_from_zero(numbers, lambda size: torch.floor(size + 0.5)),
    "HALF_DOWN": lambda numbers: _away_from_zero(numbers, lambda size: torch.ceil(size - 0.5)),
}


def of_qonnx(name: str) -> Callable[[Any], Any]:
    """Register under every domain that these operators are written in."""

    def register(function: Any) -> Any:
        for domain in DOMAINS:
            op(name, domain=domain)(function)
        return function

    return register


@of_qonnx("Quant")
@of_qonnx("IntQuant")
def quant(
    x: Tensor, scale: Tensor, zero_point: Tensor, bits: Tensor, *, signed: int = 1, narrow: int = 1,
    rounding_mode: str = "ROUND", name: NodeName = "",
) -> Tensor:  # fmt: skip
    """(round(clamp(x / s + z)) - z) s; one bit with a sign is -1 or 1."""
    steps = wide(x) / wide(scale) + wide(zero_point)
    if bool(signed) and bool((bits == 1).all()):
        whole = _sides(steps)
    else:
        low, high = _range(wide(bits), signed=bool(signed), narrow=bool(narrow))
        whole = _rounded(torch.minimum(torch.maximum(steps, low), high), rounding_mode, name)
    return (whole - wide(zero_point)) * wide(scale)


@of_qonnx("BipolarQuant")
def bipolar_quant(x: Tensor, scale: Tensor) -> Tensor:
    """s where x is not negative, else -s; slope 1 between the two."""
    steps = wide(x) / wide(scale)
    signs = torch.where(wide(x) >= 0, 1.0, -1.0).to(steps.dtype)
    return straight_through(steps, signs, steps.abs() <= 1) * wide(scale)


@of_qonnx("Trunc")
def trunc(
    x: Tensor, scale: Tensor, zero_point: Tensor, in_bits: Tensor, out: Tensor, out_zero_point: Tensor | None = None,
    out_bits: Tensor | None = None, *, rounding_mode: str = "FLOOR", signed: int = 1, narrow: int = 0,
    name: NodeName = "",
) -> Tensor:  # fmt: skip
    """Integers x / s + z without their last bits: as many as are no longer there, or as the output scale says.

    With five inputs `out` is the number of bits that stay, with seven the output scale; those are clamped, too.
    """
    scale, zero_point = wide(scale), wide(zero_point)
    steps = _rounded(wide(x) / scale + zero_point, "ROUND", name)
    if out_bits is None:
        return (_rounded(steps / 2 ** (wide(in_bits) - wide(out)), rounding_mode, name) - zero_point) * scale
    factor = 2 ** torch.round(torch.log2(wide(out) / scale))
    low, high = _range(wide(out_bits), signed=bool(signed), narrow=bool(narrow))
    kept = _rounded(torch.minimum(torch.maximum(steps / factor, low), high), rounding_mode, name)
    return (kept - zero_point / factor) * wide(out)


@of_qonnx("FloatQuant")
def float_quant(
    x: Tensor, scale: Tensor, exponent_bits: Tensor, mantissa_bits: Tensor, exponent_bias: Tensor,
    max_value: Tensor | None = None, *, rounding_mode: str = "ROUND", has_inf: int = 0, has_nan: int = 0,
    has_subnormal: int = 0, saturation: int = 1, name: NodeName = "",
) -> Tensor:  # fmt: skip
    """x / s in a small float: a mantissa of so many bits times a power of two not below the least; times s.

    What is larger than the largest is that, or without `saturation` infinite (not a number where there is no infinity).
    """
    numbers, mantissa, bias = wide(x) / wide(scale), wide(mantissa_bits), wide(exponent_bias)
    size = numbers.detach().abs()
    exponent = torch.floor(torch.log2(size + torch.finfo(size.dtype).tiny))
    step = torch.exp2(torch.maximum(exponent - mantissa, 1 - bias - mantissa))
    largest = (2 - 2**-mantissa) * 2 ** (2 ** wide(exponent_bits) - 1 - bias)
    largest = largest if max_value is None else torch.minimum(largest, wide(max_value))
    whole = _rounding(rounding_mode, name)(numbers.detach() / step) * step
    inside = whole.abs() <= largest
    beyond = _beyond(whole, largest, saturates=bool(saturation), has_inf=bool(has_inf))
    return straight_through(numbers, torch.where(inside, whole, beyond), inside) * wide(scale)


def _beyond(numbers: Tensor, largest: Tensor, *, saturates: bool, has_inf: bool) -> Tensor:
    """What stands for numbers beyond the largest."""
    if saturates:
        return numbers.sign() * largest
    return numbers.sign() * torch.inf if has_inf else torch.full_like(numbers, torch.nan)


def _range(bits: Tensor, *, signed: bool, narrow: bool) -> tuple[Tensor, Tensor]:
    """The smallest and the largest integer; narrow ranges have one less."""
    if not signed:
        return torch.zeros_like(bits), 2**bits - (2 if narrow else 1)
    return -(2 ** (bits - 1)) + (1 if narrow else 0), 2 ** (bits - 1) - 1


def _rounded(numbers: Tensor, mode: str, name: str) -> Tensor:
    whole = _rounding(mode, name)(numbers.detach())
    return straight_through(numbers, whole, whole.isfinite())


def _rounding(mode: str, name: str) -> Callable[[Tensor], Tensor]:
    rounding = ROUNDINGS.get(mode.upper())
    if rounding is None:
        raise UnsupportedOp(f"rounding_mode {mode} is none of {', '.join(ROUNDINGS)}", where=name)
    return rounding


def _sides(steps: Tensor) -> Tensor:
    signs = torch.where(steps.detach() >= 0, 1.0, -1.0).to(steps.dtype)
    return straight_through(steps, signs, steps.abs() <= 1)
