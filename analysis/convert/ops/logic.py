"""Comparisons, logic, bits and selection: no gradient but through Where."""

import torch

from analysis.convert.ops.arithmetic import align, also_unsigned, also_unsigned_pairs
from analysis.convert.registry import Tensor, op


@op("Equal")
def equal_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Comparison with the broadcasting of opset 1."""
    return equal(a, align(a, b, axis))


@op("Equal", 7)
def equal(a: Tensor, b: Tensor) -> Tensor:
    """A == b."""
    return a == b


@op("Greater")
def greater_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Comparison with the broadcasting of opset 1."""
    return greater(a, align(a, b, axis))


@op("Greater", 7)
@also_unsigned_pairs
def greater(a: Tensor, b: Tensor) -> Tensor:
    """A > b."""
    return a > b


@op("Less")
def less_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Comparison with the broadcasting of opset 1."""
    return less(a, align(a, b, axis))


@op("Less", 7)
@also_unsigned_pairs
def less(a: Tensor, b: Tensor) -> Tensor:
    """A < b."""
    return a < b


@op("GreaterOrEqual", 12)
@also_unsigned_pairs
def greater_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """A >= b."""
    return a >= b


@op("LessOrEqual", 12)
@also_unsigned_pairs
def less_or_equal(a: Tensor, b: Tensor) -> Tensor:
    """A <= b."""
    return a <= b


@op("And")
def and_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Logic with the broadcasting of opset 1."""
    return a & align(a, b, axis)


@op("And", 7)
def and_(a: Tensor, b: Tensor) -> Tensor:
    """Both."""
    return a & b


@op("Or")
def or_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Logic with the broadcasting of opset 1."""
    return a | align(a, b, axis)


@op("Or", 7)
def or_(a: Tensor, b: Tensor) -> Tensor:
    """Either."""
    return a | b


@op("Xor")
def xor_1(a: Tensor, b: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    """Logic with the broadcasting of opset 1."""
    return a ^ align(a, b, axis)


@op("Xor", 7)
def xor(a: Tensor, b: Tensor) -> Tensor:
    """One but not both."""
    return a ^ b


@op("Not")
def not_(x: Tensor) -> Tensor:
    """Negation."""
    return ~x


@op("BitwiseAnd", 18)
def bitwise_and(a: Tensor, b: Tensor) -> Tensor:
    """Bits set in both."""
    return a & b


@op("BitwiseOr", 18)
def bitwise_or(a: Tensor, b: Tensor) -> Tensor:
    """Bits set in either."""
    return a | b


@op("BitwiseXor", 18)
def bitwise_xor(a: Tensor, b: Tensor) -> Tensor:
    """Bits set in one but not both."""
    return a ^ b


@op("BitwiseNot", 18)
@also_unsigned
def bitwise_not(x: Tensor) -> Tensor:
    """Bits not set."""
    return ~x


@op("BitShift", 11)
def bit_shift(x: Tensor, amount: Tensor, *, direction: str) -> Tensor:
    """x 2**amount LEFT, without the bits that leave the type, or floor(x 2**-amount) RIGHT; all bits may leave."""
    bits, steps = 8 * x.element_size(), amount.long()
    valid = (steps >= 0) & (steps < bits)
    if direction == "LEFT":
        return torch.where(valid, x.long() << torch.where(valid, steps, 0), 0).to(x.dtype)
    shifted = x.long() >> torch.where(valid, steps, 63)
    if x.dtype is torch.uint64:  # its highest bit is no sign: nothing may be drawn in after it
        shifted = torch.where(valid, shifted & ~(torch.full_like(steps, -1) << (64 - steps)), 0)
    return shifted.to(x.dtype)


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
