"""Tensor -> numbers, in as few passes over memory as there are numbers.

A naive statistic costs tens of passes (isfinite, count_nonzero, histc, var: 19 to 44 times a sum); here every chunk of
128 KiB is read once from memory and a few times from cache. Sums of squares are kept honest where float32 would
overflow or underflow (a 50-layer sigmoid network has gradients of 1e-42) by squaring in float64.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from analysis.graph.attention import MASKED_SCORE

CHUNK: Final = 1 << 15  # floats
SAFE_LOW: Final = 1e-15  # magnitudes whose squares float32 can sum
SAFE_HIGH: Final = 1e15
FLAT_BELOW: Final = {
    "Relu": 0.0, "Relu6": 0.0, "ThresholdedRelu": 1.0, "Gelu": -3.0, "Swish": -5.0, "HardSwish": -3.0,
    "Elu": -3.0, "Selu": -3.0, "Celu": -3.0, "Softplus": -3.0, "Mish": -4.0,
}  # fmt: skip
"""Pre-activation below which a one-sided activation has (nearly) no slope: exactly 0 or under 5 % of its maximum."""
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
    """All of a Summary in about four passes."""
    values = tensor.detach()
    if values.device.type != "cpu":
        return _summarize_on_device(values)
    if values.dtype in {torch.bfloat16, torch.float16}:
        values = values.float()
    return _summarize_array(values.reshape(-1).numpy())


def _summarize_array(array: npt.NDArray[np.floating]) -> Summary:
    total = squares = highest = 0.0
    zeros = non_finite = 0
    equal = np.empty(min(CHUNK, array.size), bool)
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, array.size, CHUNK):
            part = array[start : start + CHUNK]
            low, high = float(part.min()), float(part.max())
            peak = max(-low, high)
            zeros += int(np.count_nonzero(np.equal(part, 0, out=equal[: part.size])))
            if not math.isfinite(low + high):
                non_finite += int(part.size - np.isfinite(part).sum())
                peak = math.inf
            elif peak and not SAFE_LOW < peak < SAFE_HIGH:
                part = part.astype(np.float64)
            total += float(part.sum())
            squares += float(np.dot(part, part))
            highest = max(highest, peak)
    return Summary(array.size, total, squares, highest, zeros, non_finite)


def sum_of_squares(tensor: torch.Tensor) -> float:
    """That of a Summary and nothing else, in one pass where float32 can hold the squares."""
    values = tensor.detach()
    if values.device.type != "cpu":
        return _summarize_on_device(values).sum_squares
    if values.dtype in {torch.bfloat16, torch.float16}:
        values = values.float()
    array = values.reshape(-1).numpy()
    return sum((_squares(array[start : start + CHUNK]) for start in range(0, array.size, CHUNK)), 0.0)


def _squares(part: npt.NDArray[np.floating]) -> float:
    """Of a chunk. Within these bounds its largest magnitude lies between SAFE_LOW and SAFE_HIGH."""
    with np.errstate(invalid="ignore", over="ignore"):
        squares = float(np.dot(part, part))
    return squares if CHUNK * SAFE_LOW**2 < squares < SAFE_HIGH**2 else _summarize_array(part).sum_squares


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


def dot(a: torch.Tensor, b: torch.Tensor) -> float:
    """Sum of products, summed in float64."""
    if a.device.type != "cpu" or a.dtype is torch.float64:
        return float(a.detach().double().reshape(-1).dot(b.detach().double().reshape(-1)))
    left, right = a.detach().float().reshape(-1).numpy(), b.detach().float().reshape(-1).numpy()
    with np.errstate(invalid="ignore", over="ignore"):
        return sum(
            float(np.dot(left[start : start + CHUNK], right[start : start + CHUNK]))
            for start in range(0, left.size, CHUNK)
        )


def collapse_log10(values: torch.Tensor, sample_axis: int, known: Summary | None = None) -> float | None:
    """log10 of between-sample variance over mean square; -inf where all samples are equal, None for one sample.

    values [.., N, ..] with N samples along `sample_axis`. Centred before squaring: a collapse of seven decades would
    drown in float32 otherwise. `known`: their summary, where there is one.
    """
    samples, small = values.shape[sample_axis], values.numel() < CHUNK
    if samples < 2:
        return None
    values = values.detach().double() if small else values.detach()
    centre = values.mean(sample_axis, keepdim=True)
    between = sum_of_squares(values - centre)
    overall = sum_of_squares(values) if known is None or small else known.sum_squares
    if not overall or not math.isfinite(overall):
        return None
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
    allowed = rows > masked_below
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
    chunks = (array[start : start + CHUNK] for start in range(0, array.size, CHUNK))
    return sum(int(np.count_nonzero(compare(np.abs(chunk), limit))) for chunk in chunks)


def log10(value: float) -> float:
    """The decimal logarithm: -infinity of 0, NaN of what has none."""
    return math.log10(value) if value > 0 else -math.inf if value == 0 else math.nan
