"""Elementwise arithmetic and trigonometry. Broadcasting is numpy's from opset 7 on, by axis before."""

import functools
from collections.abc import Callable
from typing import Any, Final, TypeVar

import torch

from analysis.convert.registry import Tensor, op
from analysis.errors import LimitExceeded

F = TypeVar("F", bound=Callable[..., Tensor])
UNSIGNED: Final = frozenset({torch.uint16, torch.uint32, torch.uint64})
"""Types torch can store and move, but hardly compute with."""
TRAPPING: Final = frozenset({torch.int32, torch.int64})
"""Types that the processor divides as they are; narrower ones are widened first."""
LARGEST_ELEMENTS: Final = 1 << 30
"""Of what an operator makes of little: more is refused before it is computed."""


def check_elements(made: Tensor) -> None:
    """Raises LimitExceeded; a view or a tensor without storage tells what is to be computed."""
    if made.numel() > LARGEST_ELEMENTS:
        raise LimitExceeded(f"{made.numel()} elements would be made, {LARGEST_ELEMENTS} are allowed")


def also_unsigned(function: F) -> F:
    """The function, by way of int64 for types it lacks: exact for numbers below 2**63."""

    @functools.wraps(function)
    def checked(first: Tensor, *others: Any, **attributes: Any) -> Tensor:
        if first.dtype not in UNSIGNED:
            return function(first, *others, **attributes)
        return _by_int64(function, first, *others, **attributes)

    return checked  # type: ignore[return-value]


def also_unsigned_pairs(function: F) -> F:
    """The same for two tensors, without the price of an open signature on what every graph is full of."""

    @functools.wraps(function)
    def checked(a: Tensor, b: Tensor) -> Tensor:
        return function(a, b) if a.dtype not in UNSIGNED else _by_int64(function, a, b)

    return checked  # type: ignore[return-value]


def _by_int64(function: Callable[..., Tensor], first: Tensor, *others: Any, **attributes: Any) -> Tensor:
    rest = [other.long() if isinstance(other, Tensor) else other for other in others]
    computed = function(first.long(), *rest, **attributes)
    return computed if computed.dtype is torch.bool else computed.to(first.dtype)


def align(a: Tensor, b: Tensor, axis: int | None) -> Tensor:
    """B reshaped so that its axes meet those of a from `axis` on: broadcasting before opset 7."""
    if axis is None or b.ndim == 0:
        return b
    return b.reshape(*b.shape, *[1] * (a.ndim - axis % a.ndim - b.ndim))


@op("Add")
def add_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Sum with the broadcasting of opset 1."""
    return add(a, align(a, b, axis))


@op("Add", 7)
@also_unsigned_pairs
def add(a: Tensor, b: Tensor) -> Tensor:
    """A + b."""
    return a + b


@op("Sub")
def sub_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Difference with the broadcasting of opset 1."""
    return sub(a, align(a, b, axis))


@op("Sub", 7)
@also_unsigned_pairs
def sub(a: Tensor, b: Tensor) -> Tensor:
    """A - b."""
    return a - b


@op("Affine")
def affine(x: Tensor, *, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    """Alpha x + beta."""
    return alpha * x + beta


@op("Scale")
def scale_(x: Tensor, *, scale: float = 1.0) -> Tensor:
    """X times a number."""
    return scale * x


@op("ImageScaler")
def image_scaler(x: Tensor, *, bias: list[float], scale: float = 1.0) -> Tensor:
    """Scale x + bias, one bias for each channel of [N, C, H, W]."""
    return scale * x + x.new_tensor(bias).reshape(-1, 1, 1)


@op("Mul")
def mul_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Product with the broadcasting of opset 1."""
    return mul(a, align(a, b, axis))


@op("Mul", 7)
@also_unsigned_pairs
def mul(a: Tensor, b: Tensor) -> Tensor:
    """A b."""
    return a * b


@op("Div")
def div_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Quotient with the broadcasting of opset 1."""
    return div(a, align(a, b, axis))


@op("Div", 7)
@also_unsigned_pairs
def div(a: Tensor, b: Tensor) -> Tensor:
    """A / b; integers are cut towards zero."""
    if a.is_floating_point():
        return a / b
    _refuse_overflow(a, b)
    return torch.div(a, b, rounding_mode="trunc")


def _refuse_overflow(a: Tensor, b: Tensor) -> None:
    """The least integer by -1 has no quotient: the processor's division ends the process, onnxruntime's too."""
    if b.dtype in TRAPPING and bool(((b == -1) & (a == torch.iinfo(b.dtype).min)).any()):
        raise OverflowError(f"the least {str(b.dtype).removeprefix('torch.')} divided by -1")


@op("Pow")
def pow_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Power with the broadcasting of opset 1."""
    return power(a, align(a, b, axis))


@op("Pow", 7)
def power(a: Tensor, b: Tensor) -> Tensor:
    """A ** b in the type of a; a constant scalar exponent keeps the gradient finite at a = 0."""
    if not a.is_floating_point():
        return _integer_power(a, b)
    if b.numel() == 1 and b.ndim <= a.ndim and not b.requires_grad and b.device.type == "cpu":
        return torch.pow(a, b.item()).to(a.dtype)
    return torch.pow(a, b if b.is_floating_point() else b.to(a.dtype)).to(a.dtype)


def _integer_power(a: Tensor, b: Tensor) -> Tensor:
    """A ** b; fractions are cut towards zero."""
    roots = torch.pow(a.double(), b.double()).to(a.dtype)
    if b.is_floating_point():
        return roots
    return torch.where(b.long() < 0, roots, torch.pow(a, b.long().clamp(min=0)).to(a.dtype))


@op("Mod", 10)
@also_unsigned
def mod(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    """Remainder with the sign of the divisor, or of the dividend where fmod is 1."""
    _refuse_overflow(a, b)
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


@op("Sum")
def sum_(*tensors: Tensor) -> Tensor:
    """Sum of all inputs."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


@op("Mean")
def mean(*tensors: Tensor) -> Tensor:
    """Elementwise mean of all inputs."""
    return sum_(*tensors) / len(tensors)


@op("Max")
@also_unsigned
def max_(*tensors: Tensor) -> Tensor:
    """Elementwise maximum; at ties the gradient is shared."""
    largest = tensors[0]
    for tensor in tensors[1:]:
        largest = torch.maximum(largest, tensor)
    return largest


@op("Min")
@also_unsigned
def min_(*tensors: Tensor) -> Tensor:
    """Elementwise minimum; at ties the gradient is shared."""
    least = tensors[0]
    for tensor in tensors[1:]:
        least = torch.minimum(least, tensor)
    return least


@op("Neg")
def neg(x: Tensor) -> Tensor:
    """-x."""
    return -x


@op("Abs")
@also_unsigned
def abs_(x: Tensor) -> Tensor:
    """|x|; slope 0 at 0."""
    return x.abs()


@op("Sqrt")
def sqrt(x: Tensor) -> Tensor:
    """Square root."""
    return x.sqrt()


@op("Exp")
def exp(x: Tensor) -> Tensor:
    """E ** x."""
    return x.exp()


@op("Log")
def log(x: Tensor) -> Tensor:
    """Natural logarithm."""
    return x.log()


@op("Reciprocal")
def reciprocal(x: Tensor) -> Tensor:
    """1 / x."""
    return x.reciprocal()


@op("Sign", 9)
@also_unsigned
def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1; no gradient."""
    return x.sign()


@op("Floor")
def floor(x: Tensor) -> Tensor:
    """Largest integer not above x; no gradient."""
    return x.floor()


@op("Ceil")
def ceil(x: Tensor) -> Tensor:
    """Least integer not below x; no gradient."""
    return x.ceil()


@op("Round", 11)
def round_(x: Tensor) -> Tensor:
    """Nearest integer, halves to even; no gradient."""
    return x.round()


@op("Sin", 7)
def sin(x: Tensor) -> Tensor:
    """Sine."""
    return x.sin()


@op("Cos", 7)
def cos(x: Tensor) -> Tensor:
    """Cosine."""
    return x.cos()


@op("Tan", 7)
def tan(x: Tensor) -> Tensor:
    """Tangent."""
    return x.tan()


@op("Asin", 7)
def asin(x: Tensor) -> Tensor:
    """Inverse sine."""
    return x.asin()


@op("Acos", 7)
def acos(x: Tensor) -> Tensor:
    """Inverse cosine."""
    return x.acos()


@op("Atan", 7)
def atan(x: Tensor) -> Tensor:
    """Inverse tangent."""
    return x.atan()


@op("Sinh", 9)
def sinh(x: Tensor) -> Tensor:
    """Hyperbolic sine."""
    return x.sinh()


@op("Cosh", 9)
def cosh(x: Tensor) -> Tensor:
    """Hyperbolic cosine."""
    return x.cosh()


@op("Asinh", 9)
def asinh(x: Tensor) -> Tensor:
    """Inverse hyperbolic sine."""
    return x.asinh()


@op("Acosh", 9)
def acosh(x: Tensor) -> Tensor:
    """Inverse hyperbolic cosine."""
    return x.acosh()


@op("Atanh", 9)
def atanh(x: Tensor) -> Tensor:
    """Inverse hyperbolic tangent."""
    return x.atanh()
