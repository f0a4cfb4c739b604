"""Comparisons, logic and selection: no gradient but through Where."""

import torch

from analysis.ops._registry import Tensor, op
from analysis.ops.arithmetic import align


@op("Equal")
def equal_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Comparison with the broadcasting of opset 1."""
    return a == align(a, b, axis)


@op("Equal", 7)
def equal(a: Tensor, b: Tensor) -> Tensor:
    """A == b."""
    return a == b


@op("Greater")
def greater_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Comparison with the broadcasting of opset 1."""
    return a > align(a, b, axis)


@op("Greater", 7)
def greater(a: Tensor, b: Tensor) -> Tensor:
    """A > b."""
    return a > b


@op("Less")
def less_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Comparison with the broadcasting of opset 1."""
    return a < align(a, b, axis)


@op("Less", 7)
def less(a: Tensor, b: Tensor) -> Tensor:
    """A < b."""
    return a < b


@op("GreaterOrEqual", 12)
def greater_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """A >= b."""
    return a >= b


@op("LessOrEqual", 12)
def less_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """A <= b."""
    return a <= b


@op("And", 7)
def and_(a: Tensor, b: Tensor) -> Tensor:
    """Both."""
    return a & b


@op("Or", 7)
def or_(a: Tensor, b: Tensor) -> Tensor:
    """Either."""
    return a | b


@op("Xor", 7)
def xor(a: Tensor, b: Tensor) -> Tensor:
    """One but not both."""
    return a ^ b


@op("Not")
def not_(x: Tensor) -> Tensor:
    """Negation."""
    return ~x


@op("IsNaN", 9)
def is_nan(x: Tensor) -> Tensor:
    """Whether x is NaN."""
    return x.isnan()


@op("IsInf", 10)
def is_inf(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    """Whether x is infinite, of the signs asked for."""
    found = x.isinf()
    return found & ((x > 0) & bool(detect_positive) | (x < 0) & bool(detect_negative))


@op("Where", 9)
def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """A where the condition holds, else b; each side gets gradient only where it was taken."""
    return torch.where(condition, a, b)
