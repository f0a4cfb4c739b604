"""How many samples of a batch are measured: all of them, unless time, memory or use speak against it.

One sample is run first. What a forward pass takes, and what it keeps for the backward pass, is multiplied by the
passes that effort quick plans. Only where that comes to more than twice the budget, or to more memory than there is or
than a measurement is worth, are there fewer samples; a power of two then, and the same ones for the same seed. So noise
in the times changes nothing for ordinary models. Where one sample costs mostly what any pass costs, more are run until
that is known.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
import torch

from analysis.batch import Batch
from analysis.batch.samples import select
from analysis.clock import OutOfTime
from analysis.convert import DifferentiableModel
from analysis.convert.tensors import to_tensor
from analysis.errors import BadOptions, NodeFailed
from analysis.model import CheckedModel
from analysis.options import AnalysisOptions
from analysis.subject.memory import allowed_bytes

Result = TypeVar("Result")
MOST_USEFUL: Final = 1 << 16
"""Samples beyond which statistics say nothing new: their sampling error is under half a percent, and a training of 200
steps sees fewer."""
PASSES: Final = 36
"""Times a forward pass that effort quick plans: a backward pass is two, both passes of the unchanged model are ten."""
FEWEST_PASSES: Final = 12
"""The same for the unchanged model alone."""
ENOUGH: Final = 8
"""Samples under which confidence falls: up to so many, all but PASSES_FOR_FEW passes are given up for them."""
PASSES_FOR_FEW: Final = 18
FAR_OVER: Final = 2.0
"""Times the budget from which fewer samples are taken."""
GROWTH: Final = 8
"""Times as many samples are run where fewer have said too little."""
MOST_RUNS: Final = 6
FIRST_SECONDS: Final = 2.0
"""A pass that takes longer does so not because it is the first one."""
LONGEST_SECONDS: Final = 86_400
"""The largest budget there is."""
MEMORY_SHARE: Final = 0.25
"""Of the memory there is, for what a forward pass keeps; gradients and statistics take as much again."""
MOST_KEPT: Final = 2 << 30
"""Bytes that a forward pass may keep on any machine: with gradients and statistics a process takes two to three times
as many, and what so large samples say they say of few."""
TOO_MANY: Final = "more say nothing new"
TOO_SLOW: Final = "passes over all of them would take more than budget_seconds"
TOO_LARGE: Final = "a pass over all of them would keep too much memory"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one forward pass costs."""

    seconds: float
    """Of processor time."""
    kept_bytes: int
    """What autograd keeps for the backward pass, weights not counted."""


def fitting(
    batch: Batch,
    model: CheckedModel,
    converted: DifferentiableModel,
    options: AnalysisOptions,
    *,
    most: int = MOST_USEFUL,
) -> Batch:
    """The batch, or a random part of it that can be measured within budget and memory; a note says which and why.

    `most`: samples, however cheap they are. Raises BadOptions (budget_seconds) where one sample takes too long already.
    """
    if not _is_divisible(batch, model):
        return batch
    limit = min(batch.size, most)
    try:
        count, why = _affordable(batch, converted, limit, options)
    except NodeFailed:  # the graph runs with all of its samples or not at all
        return batch
    except OutOfTime as error:
        raise too_slow(options, options.budget_seconds) from error
    if count == batch.size:
        return batch
    note = f"of {batch.size} samples {count} were measured, drawn at random: {why or TOO_MANY}"
    return replace(part_of(batch, count, options.seed), notes=(*batch.notes, note))


def part_of(batch: Batch, count: int, seed: int) -> Batch:
    """So many samples of a batch, drawn at random, in their order; each with its target."""
    rows = np.sort(np.random.default_rng((seed, 4)).permutation(batch.size)[:count])
    inputs, targets = select(batch, rows)
    return replace(batch, inputs=inputs, targets=targets, size=count)


def within_budget(forward: Callable[[], Result], options: AnalysisOptions) -> Result:
    """What a forward pass of the batch that is measured gives.

    Raises BadOptions (budget_seconds) where the unchanged model alone would take more than twice the budget; a short
    pass is given a second chance, as the first one of a process takes longer.
    """
    seconds = options.budget_seconds
    for _ in range(2):
        begin = time.process_time()
        try:
            result = forward()
        except OutOfTime as error:
            raise too_slow(options, seconds) from error
        seconds = time.process_time() - begin
        if FEWEST_PASSES * seconds <= FAR_OVER * options.budget_seconds:
            return result
        if seconds > FIRST_SECONDS:
            break
    raise too_slow(options, seconds)


def too_slow(options: AnalysisOptions, seconds: float) -> BadOptions:
    """The refusal of a model whose least measurement does not fit; `seconds`: of one pass, or more."""
    enough = min(math.ceil(2 * FEWEST_PASSES * seconds), LONGEST_SECONDS)
    return BadOptions(
        f"the passes that a measurement needs take longer than {options.budget_seconds:g} s of processor time",
        where="options.budget_seconds",
        hint=f'allow more with the options {{"budget_seconds": {enough}}}',
    )


def forward_cost(converted: DifferentiableModel, inputs: Sequence[torch.Tensor]) -> Cost:
    """One forward pass in eval mode. Raises NodeFailed, LimitExceeded, OutOfTime."""
    own = {value.untyped_storage().data_ptr() for value in (*converted.parameters(), *converted.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return value

    begin = time.process_time()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        converted.eval().observe(inputs, {})
    return Cost(time.process_time() - begin, sum(storage.nbytes() for storage in kept.values()))


def _is_divisible(batch: Batch, model: CheckedModel) -> bool:
    """Whether fewer samples are a batch of this model: every input that counts samples leaves their number open."""
    shapes = {spec.name: spec.shape for spec in model.inputs}
    along = [(shapes.get(name), axis) for name, axis in batch.axes.items() if axis is not None]
    fixed = any(shape is not None and isinstance(shape[axis], int) for shape, axis in along)
    return batch.size > 1 and bool(along) and not fixed


def _affordable(batch: Batch, converted: DifferentiableModel, limit: int, options: AnalysisOptions) -> tuple[int, str]:
    """How many samples, at most `limit`, and why not so many; as many are run as it takes to know."""
    memory = allowed_bytes()
    keeps = MOST_KEPT if memory is None else min(MEMORY_SHARE * memory, MOST_KEPT)
    count, fits, why = 1, 1, ""
    for _ in range(MOST_RUNS):
        cost = _cost_of(batch, converted, count, options)
        passes = count * options.budget_seconds / max(cost.seconds, 1e-9)
        by_time = max(passes / PASSES, min(passes / PASSES_FOR_FEW, ENOUGH))
        by_memory = count * keeps / max(cost.kept_bytes, 1)
        if by_time * FAR_OVER >= limit and by_memory >= limit:
            return limit, ""
        fits, why = int(min(by_time, by_memory, limit)), TOO_SLOW if by_time <= by_memory else TOO_LARGE
        if fits <= count:
            break
        count = min(count * GROWTH, fits)
    return _power_of_two(fits), why


def _cost_of(batch: Batch, converted: DifferentiableModel, count: int, options: AnalysisOptions) -> Cost:
    device = next(iter(converted.parameters())).device
    arrays = part_of(batch, count, options.seed).inputs.values()
    return forward_cost(converted, [to_tensor(np.asarray(array, order="C")).to(device) for array in arrays])


def _power_of_two(number: int) -> int:
    """The largest that is not above it; 1 for 0."""
    return 1 << max(number.bit_length() - 1, 0)
