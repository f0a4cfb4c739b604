"""Tensor -> numbers, in as few passes over memory as there are numbers.

A naive statistic costs tens of passes (isfinite, count_nonzero, histc, var: 19 to 44 times a sum); here every chunk of
512 KiB is read once from memory and a few times from cache. Sums of squares are kept honest where float32 would
overflow or underflow (a 50-layer sigmoid network has gradients of 1e-42) by squaring in float64. Of what is small a
call costs more than the numbers: numpy's reductions themselves are asked there, in half the time of its functions.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from analysis.graph.attention import MASKED_SCORE

CHUNK: Final = 1 << 17  # floats
SMALL: Final = 1 << 13  # floats, up to which numpy is faster than torch
CACHED: Final = 1 << 15  # floats, of which numpy's temporary ones stay in the cache
SAFE_LOW: Final = 1e-15  # magnitudes whose squares float32 can sum
SAFE_HIGH: Final = 1e15
FLAT_BELOW: Final = {
    "Relu": 0.0, "Relu6": 0.0, "ThresholdedRelu": 1.0, "Gelu": -3.0, "Swish": -5.0, "HardSwish": -3.0,
    "Elu": -3.0, "Selu": -3.0, "Celu": -3.0, "Softplus": -3.0, "Mish": -4.0,
}  # fmt: skip
"""Pre-activation below which a one-sided activation has (nearly) no slope: exactly 0 or under 5 % of its maximum."""
CLEAR: Final = 0.05
"""Share of the mean square between samples, from which it can be told in float32 without centring, to 5 digits."""
CLEAR_IN_DOUBLE: Final = 1e-6
NEAR_DEAD_SHARE: Final = 0.01
HALF_PRECISION_FLOOR: Final = 2.0**-24
"""Smallest positive float16."""
MOST_SCORES: Final = 1 << 20
RANKED: Final = 512
"""Observations whose rank is looked at."""
FLAT_BEYOND: Final = {"Sigmoid": 4.4, "Tanh": 2.2, "Softsign": 3.5, "HardSigmoid": 2.5}
"""Magnitude beyond which a two-sided activation has less than 5 % of its slope."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One tensor, or several taken together."""

    count: int = 0
    total: float = 0.0
    sum_squares: float = 0.0
    max_abs: float = 0.0
    zeros: int = 0
    non_finite: int = 0

    @property
    def norm(self) -> float:
        """L2 norm."""
        return math.sqrt(self.sum_squares)

    @property
    def rms(self) -> float:
        """Root mean square."""
        return math.sqrt(self.sum_squares / self.count) if self.count else 0.0

    @property
    def mean(self) -> float:
        """Mean."""
        return self.total / self.count if self.count else 0.0

    @property
    def std(self) -> float:
        """Standard deviation over all elements."""
        return math.sqrt(max(self.sum_squares / self.count - self.mean**2, 0.0)) if self.count else 0.0


def summarize(tensor: torch.Tensor) -> Summary:
    """All of a Summary in about three passes."""
    values = _plain(tensor)
    if values.device.type != "cpu":
        return _summarize_on_device(values)
    flat = values.reshape(-1)
    if flat.numel() <= SMALL:
        return _summarize_array(flat.numpy())
    return _summarize_chunk(flat) if flat.numel() <= CHUNK else combine(map(_summarize_chunk, flat.split(CHUNK)))


def moments(tensor: torch.Tensor) -> Summary:
    """Size, total and sum of squares alone, in two passes."""
    values = _plain(tensor)
    if values.device.type != "cpu":
        return _summarize_on_device(values)
    total = float(values.sum())
    if not math.isfinite(total):
        return summarize(values)
    return Summary(values.numel(), total=total, sum_squares=sum_of_squares(values))


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Its numbers alone, in float32 or float64."""
    values = tensor.detach()
    return values if values.dtype in {torch.float32, torch.float64} else values.float()


def _summarize_array(array: npt.NDArray[np.floating]) -> Summary:
    if not array.size:
        return Summary()
    low, high = float(np.minimum.reduce(array)), float(np.maximum.reduce(array))
    peak = max(-low, high)
    if not SAFE_LOW < peak < SAFE_HIGH:
        return _summarize_with_care(array, peak)
    zeros = _zeros(array) if low <= 0 <= high else 0
    return Summary(array.size, float(np.add.reduce(array)), float(np.dot(array, array)), peak, zeros)


def _summarize_chunk(part: torch.Tensor) -> Summary:
    low, high = (bound.item() for bound in torch.aminmax(part))
    peak = max(-low, high)
    if not SAFE_LOW < peak < SAFE_HIGH:
        return _summarize_with_care(part.numpy(), peak)
    zeros = _zeros(part.numpy()) if low <= 0 <= high else 0
    return Summary(part.numel(), part.sum().item(), part.dot(part).item(), peak, zeros)


def _summarize_with_care(array: npt.NDArray[np.floating], peak: float) -> Summary:
    """Zeros alone, numbers whose squares float32 cannot sum, or what are no numbers: then `peak` is not finite."""
    if peak == 0:
        return Summary(array.size, zeros=array.size)
    with np.errstate(invalid="ignore", over="ignore"):
        non_finite = 0 if math.isfinite(peak) else int(array.size - np.isfinite(array).sum())
        exact = array if non_finite else array.astype(np.float64)
        total, squares = float(exact.sum()), float(np.dot(exact, exact))
    return Summary(array.size, total, squares, math.inf if non_finite else peak, _zeros(array), non_finite)


def _zeros(array: npt.NDArray[np.floating]) -> int:
    return int(np.count_nonzero(np.equal(array, 0)))


def sum_of_squares(tensor: torch.Tensor) -> float:
    """That of a Summary and nothing else, in one pass where float32 can hold the squares."""
    values = _plain(tensor)
    if values.device.type != "cpu":
        return _summarize_on_device(values).sum_squares
    flat = values.reshape(-1)
    return _squares(flat) if flat.numel() <= CHUNK else sum(map(_squares, flat.split(CHUNK)), 0.0)


def _squares(part: torch.Tensor) -> float:
    """Of a chunk. Within these bounds its largest magnitude lies between SAFE_LOW and SAFE_HIGH."""
    squares: float = part.dot(part).item()
    if CHUNK * SAFE_LOW**2 < squares < SAFE_HIGH**2 or not part.numel():
        return squares
    return _summarize_chunk(part).sum_squares


def _summarize_on_device(values: torch.Tensor) -> Summary:
    """The same with torch, in float64 sums; written for CUDA, untested there."""
    flat = values.reshape(-1)
    if flat.numel() == 0:
        return Summary()
    wide = flat.double()
    low, high = wide.aminmax()
    finite = bool(torch.isfinite(low + high))
    bad = 0 if finite else int((~torch.isfinite(wide)).sum())
    return Summary(
        flat.numel(), float(wide.sum()), float(wide.dot(wide)), max(-float(low), float(high)) if finite else math.inf,
        flat.numel() - int(torch.count_nonzero(flat)), bad,
    )  # fmt: skip


def combine(summaries: Iterable[Summary]) -> Summary:
    """Several tensors as one."""
    parts = list(summaries)
    return Summary(
        sum(part.count for part in parts),
        sum(part.total for part in parts),
        sum(part.sum_squares for part in parts),
        max((part.max_abs for part in parts), default=0.0),
        sum(part.zeros for part in parts),
        sum(part.non_finite for part in parts),
    )


def with_zeros(summary: Summary, count: int) -> Summary:
    """The same with so many more elements, all of them zero."""
    return replace(summary, count=summary.count + count, zeros=summary.zeros + count)


def dot(a: torch.Tensor, b: torch.Tensor) -> float:
    """Sum of products, those of chunks summed in float64."""
    if a.device.type != "cpu" or a.dtype is torch.float64:
        return float(a.detach().double().reshape(-1).dot(b.detach().double().reshape(-1)))
    left, right = a.detach().float().reshape(-1), b.detach().float().reshape(-1)
    if left.numel() <= CHUNK:
        return left.dot(right).item()
    return sum((one.dot(two).item() for one, two in zip(left.split(CHUNK), right.split(CHUNK), strict=True)), 0.0)


def collapse_log10(values: torch.Tensor, sample_axis: int, known: Summary | None = None) -> float | None:
    """log10 of between-sample variance over mean square; -inf where all samples are equal, None for one sample.

    values [.., N, ..] with N samples along `sample_axis`. Centred before squaring where samples are near each other: a
    collapse of seven decades would drown in float32 otherwise. `known`: their summary, where there is one.
    """
    samples, small = values.shape[sample_axis], values.numel() < CACHED
    if samples < 2:
        return None
    values = values.detach().double() if small else values.detach()
    centre = values.mean(sample_axis, keepdim=True)
    overall = sum_of_squares(values) if known is None or small else known.sum_squares
    if not overall or not math.isfinite(overall):
        return None
    between = overall - samples * sum_of_squares(centre)
    if not between > (CLEAR_IN_DOUBLE if small else CLEAR) * overall:
        between = sum_of_squares(values - centre)
    return math.log10(between / overall) if between else -math.inf


def dead_fraction(pre_activation: torch.Tensor, activation: str, unit_axis: int) -> float | None:
    """Share of units whose activation is flat for every observation; None for activations without a flat side."""
    if activation not in FLAT_BELOW:
        return None
    others = [axis for axis in range(pre_activation.ndim) if axis != unit_axis % pre_activation.ndim]
    values = pre_activation.detach()
    highest = values.amax(others) if others else values
    return float((highest <= FLAT_BELOW[activation]).float().mean())


def near_dead_fraction(pre_activation: torch.Tensor, activation: str, unit_axis: int) -> float | None:
    """Share of units that have a slope for under 1 % of their observations; None as for `dead_fraction`."""
    if activation not in FLAT_BELOW:
        return None
    others = [axis for axis in range(pre_activation.ndim) if axis != unit_axis % pre_activation.ndim]
    active = (pre_activation.detach() > FLAT_BELOW[activation]).float()
    shares = active.mean(others) if others else active
    return float((shares < NEAR_DEAD_SHARE).float().mean())


def underflow_fraction(gradient: torch.Tensor, known: Summary) -> float:
    """Share of the non-zero elements that half precision flushes to zero: under 2^-24 in magnitude.

    `known`: the gradient's summary.
    """
    present = known.count - known.zeros
    return (present - _count_beyond(gradient, HALF_PRECISION_FLOOR, np.greater_equal)) / present if present else 0.0


def between_tokens_log10(values: torch.Tensor) -> float | None:
    """log10 of between-token variance over mean square, values [N, T, C]; -inf where all tokens are equal."""
    return collapse_log10(values, 1) if values.ndim == 3 else None


def effective_rank(values: torch.Tensor, unit_axis: int) -> tuple[float, int] | None:
    """exp of the entropy of the normalised eigenvalues of the second moment of the units, and what it is at most.

    At most RANKED observations are looked at (Roy and Vetterli 2007).
    """
    rows = values.detach().movedim(unit_axis, -1).reshape(-1, values.shape[unit_axis])
    rows = rows[:: max(1, len(rows) // RANKED)][:RANKED].double()
    if min(rows.shape) < 2 or not bool(torch.isfinite(rows).all()):
        return None
    moment = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    eigenvalues = torch.linalg.eigvalsh(moment).clamp(min=0)
    total = float(eigenvalues.sum())
    if not total:
        return None
    return math.exp(float(torch.special.entr(eigenvalues / total).sum())), min(rows.shape)


def attention_statistics(
    scores: torch.Tensor, axis: int, masked_below: float = MASKED_SCORE
) -> tuple[float, float] | None:
    """(mean entropy of a query's weights over log of its keys, standard deviation of its scores); None without choice.

    scores [.., K] along `axis`, what a Softmax reads: masked keys lie below all others. At most 2^20 are looked at.
    """
    rows = scores.detach().movedim(axis, -1)
    rows = rows.reshape(-1, rows.shape[-1])
    rows = rows[:: max(1, rows.numel() // MOST_SCORES)].float()
    if rows.shape[1] < 2 or not len(rows):
        return None
    if float(rows.min()) > masked_below:
        logs = torch.log_softmax(rows, 1)
        share = -(logs.exp() * logs).sum(1) / math.log(rows.shape[1])
        centred = rows - rows.mean(1, keepdim=True)
        return float(share.mean()), float(centred.square_().mean().sqrt())
    return _among_masked(rows, rows > masked_below)


def _among_masked(rows: torch.Tensor, allowed: torch.Tensor) -> tuple[float, float] | None:
    """The same of the keys that each row [Q, K] is allowed to look at."""
    keys = allowed.sum(1)
    rows, allowed, keys = rows[keys > 1], allowed[keys > 1], keys[keys > 1]
    if not len(rows):
        return None
    shown = torch.where(allowed, rows, 0.0)
    weights = torch.softmax(torch.where(allowed, rows, -math.inf), 1)
    share = torch.special.entr(weights).sum(1) / keys.log()
    centred = torch.where(allowed, rows - (shown.sum(1) / keys)[:, None], 0.0)
    return float(share.mean()), float((centred.square().sum(1) / keys).mean().sqrt())


def saturated_fraction(pre_activation: torch.Tensor, activation: str) -> float | None:
    """Share of elements of a two-sided activation with less than 5 % of its slope; None for other activations."""
    if activation not in FLAT_BEYOND:
        return None
    return _count_beyond(pre_activation, FLAT_BEYOND[activation], np.greater) / max(pre_activation.numel(), 1)


def _count_beyond(tensor: torch.Tensor, limit: float, compare: np.ufunc) -> int:
    """How many elements compare so with a limit in magnitude."""
    values = tensor.detach().cpu()
    if values.dtype not in {torch.float32, torch.float64}:
        values = values.float()
    array = values.reshape(-1).numpy()
    chunks = (array[start : start + CACHED] for start in range(0, array.size, CACHED))
    return sum(int(np.count_nonzero(compare(np.abs(chunk), limit))) for chunk in chunks)


def log10(value: float) -> float:
    """The decimal logarithm: -infinity of 0, NaN of what has none."""
    return math.log10(value) if value > 0 else -math.inf if value == 0 else math.nan
