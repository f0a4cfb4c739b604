"""Reductions, cumulative sums, and the search for extremes."""

import math
from collections.abc import Callable

import torch

from analysis.convert.ops.arithmetic import UNSIGNED, also_unsigned
from analysis.convert.registry import Ints, Tensor, op

Reducer = Callable[[Tensor, tuple[int, ...], bool], Tensor]


def _sum(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:  # noqa: FBT001 - one signature for all reducers
    return x.sum(axes, keepdim=keep, dtype=x.dtype)


def _mean(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:  # noqa: FBT001
    return x.mean(axes, keepdim=keep) if x.is_floating_point() else _integer_mean(x, axes, keep)


def _integer_mean(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:  # noqa: FBT001
    return torch.div(x.sum(axes, keepdim=keep), _count(x, axes), rounding_mode="trunc").to(x.dtype)


def _max(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:  # noqa: FBT001
    if not _count(x, axes):
        return _sum(x, axes, keep) + (-math.inf if x.is_floating_point() else torch.iinfo(x.dtype).min)
    return x.amax(axes, keepdim=keep)


def _min(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:  # noqa: FBT001
    if not _count(x, axes):
        return _sum(x, axes, keep) + (math.inf if x.is_floating_point() else torch.iinfo(x.dtype).max)
    return x.amin(axes, keepdim=keep)


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:  # noqa: FBT001
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep).to(x.dtype)
    return x


def _l1(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:  # noqa: FBT001
    return _sum(x.abs(), axes, keep)


def _l2(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:  # noqa: FBT001
    norm: Tensor = torch.linalg.vector_norm(x.double() if not x.is_floating_point() else x, 2, axes, keep)
    return norm.to(x.dtype)


def _sum_square(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:  # noqa: FBT001
    return _sum(x.square(), axes, keep)


def _log_sum(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:  # noqa: FBT001
    return _sum(x, axes, keep).log()


def _log_sum_exp(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:  # noqa: FBT001
    if not x.is_floating_point():
        return _log_sum_exp(x.double(), axes, keep).to(x.dtype)
    nothing = x.isneginf().all(axes, keepdim=True)  # torch's gradient is NaN where the sum is 0
    total: Tensor = torch.logsumexp(x.masked_fill(nothing, 0.0), axes, keep)
    return total.masked_fill(nothing if keep else nothing.reshape(total.shape), -math.inf)


def _count(x: Tensor, axes: tuple[int, ...]) -> int:
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return count


REDUCERS: dict[str, Reducer] = {
    "ReduceSum": _sum,
    "ReduceMean": _mean,
    "ReduceMax": _max,
    "ReduceMin": _min,
    "ReduceProd": _product,
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceSumSquare": _sum_square,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
}
AXES_AS_INPUT_SINCE = {"ReduceSum": 13}
"""The other reductions follow at opset 18."""


def _register(name: str, reducer: Reducer) -> None:
    def by_attribute(x: Tensor, *, axes: Ints | None = None, keepdims: int = 1) -> Tensor:
        return _reduce(reducer, x, axes, keepdims)

    def by_input(x: Tensor, axes: Ints | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Tensor:
        if not axes and noop_with_empty_axes:
            return _elementwise(reducer, x)
        return _reduce(reducer, x, axes, keepdims)

    for function, since in ((by_attribute, 1), (by_input, AXES_AS_INPUT_SINCE.get(name, 18))):
        function.__name__ = function.__qualname__ = name
        function.__doc__ = f"{name} over the axes, all of them by default."
        op(name, since)(function)


def _reduce(reducer: Reducer, x: Tensor, axes: Ints | None, keepdims: int) -> Tensor:
    everywhere = tuple(axes) if axes else tuple(range(x.ndim))
    if not everywhere:
        return _elementwise(reducer, x)
    if x.dtype is torch.bool and reducer in {_max, _min}:
        return reducer(x.to(torch.uint8), everywhere, bool(keepdims)).to(torch.bool)
    if x.dtype in UNSIGNED:
        return reducer(x.long(), everywhere, bool(keepdims)).to(x.dtype)
    return reducer(x, everywhere, bool(keepdims))


def _elementwise(reducer: Reducer, x: Tensor) -> Tensor:
    """What a reduction over no axis leaves: each element on its own (opset 18, noop_with_empty_axes)."""
    return reducer(x.unsqueeze(-1), (-1,), False) if reducer not in {_sum, _mean, _max, _min, _product} else x  # noqa: FBT003


for _name, _reducer in REDUCERS.items():
    _register(_name, _reducer)


def _ordered(x: Tensor) -> Tensor:
    """The same numbers in a type that torch can compare."""
    return x.long() if x.dtype in UNSIGNED else x


@op("ArgMax")
def arg_max(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Index of the maximum, the first of several unless asked for the last; no gradient."""
    x = _ordered(x)
    if select_last_index:
        return x.shape[axis] - 1 - x.flip(axis).argmax(axis, keepdim=bool(keepdims))
    return x.argmax(axis, keepdim=bool(keepdims))


@op("ArgMin")
def arg_min(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Index of the minimum, the first of several unless asked for the last; no gradient."""
    x = _ordered(x)
    if select_last_index:
        return x.shape[axis] - 1 - x.flip(axis).argmin(axis, keepdim=bool(keepdims))
    return x.argmin(axis, keepdim=bool(keepdims))


@op("CumSum", 11)
@also_unsigned
def cum_sum(x: Tensor, axis: Ints, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Running sum along an axis; exclusive leaves out the element itself."""
    along = axis[0]
    x = x.flip(along) if reverse else x
    if exclusive:
        zero = torch.zeros_like(x.narrow(along, 0, min(1, x.shape[along])))
        x = torch.cat([zero, x.narrow(along, 0, max(x.shape[along] - 1, 0))], along)
    total = x.cumsum(along, dtype=x.dtype)
    return total.flip(along) if reverse else total


@op("TopK")
def top_k_1(x: Tensor, *, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    """Before opset 10 k is an attribute."""
    return top_k(x, (k,), axis=axis)


@op("TopK", 10)
def top_k(x: Tensor, k: Ints, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Tensor, Tensor]:  # noqa: A002
    """The k largest or smallest along an axis with their indices; ties by the lower index."""
    ranked = _ordered(x)
    order = ranked.argsort(dim=axis, descending=bool(largest), stable=True).narrow(axis, 0, k[0])
    return ranked.gather(axis, order).to(x.dtype), order
