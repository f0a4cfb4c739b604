"""A sample axis that an exporter fixed is opened, where that can be proven.

The opened graph must give, in eval mode, what the original gives of the batch: of a few of its samples, and of all of
them with one more. Fixed at one sample there are no few: then several samples must give what the original gives of the
first of them. The samples come in another order each time, so that no graph passes that runs along them. What cannot be
opened stays as it is.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Final

import numpy as np
import torch

from analysis.batch.samples import is_batch_name
from analysis.clock import Clock, OutOfTime, both
from analysis.convert import DifferentiableModel
from analysis.convert.registry import Interrupt
from analysis.convert.stepwise import step_through
from analysis.convert.tensors import to_tensor
from analysis.convert.translate import read_graph, translate
from analysis.errors import AnalysisError
from analysis.graph.survey import Survey
from analysis.graph.training_state import normalizes_by_batch
from analysis.model import CheckedModel
from analysis.model.checked import ValueSpec
from analysis.model.opened import OLDEST_OPSET, SampleAxis, open_axis
from analysis.model.weights import Array
from analysis.subject import reference
from analysis.subject.same_samples import Sizes, compare, few_of, with_shared
from analysis.subject.trace import SURE, Trace, Tracer, is_over_samples, standing_against
from analysis.synthesis.synthesize import synthesize_inputs

MOST_DRAWN: Final = 13
"""Samples that are made up; of more these come again and again. Few numbers of samples are a multiple of it."""
MOST_PRECISE: Final = 32
"""Samples up to which a proof that float32 does not give is led in float64."""
SMALL: Final = 5_000_000
"""The same of elements of weights."""
PRECISE_ELEMENTS: Final = 1 << 20
"""The same of inputs, twice: what lies between takes a hundred times their memory."""
MOST_ASSIGNMENTS: Final = 4
"""Ways to tell which axis of which input counts samples, that are tried."""
MOST_SECONDS: Final = 30.0
"""Of processor time that the proof may take."""
BUDGET_SHARE: Final = 0.25
"""The same, of the budget of the analysis."""
PASSES: Final = 8
"""Times as long as the first run that the proof takes; of one sample, rather more."""


@dataclass(frozen=True, eq=False)
class Opening:
    """A model, and what became of its sample axis."""

    model: CheckedModel
    done: str = ""
    """What was opened, in words."""
    refused: str = ""
    """What stands against opening it, in words."""


@dataclass(frozen=True, eq=False)
class _Attempt:
    """One reading of which axes count samples."""

    model: CheckedModel
    read: Survey
    """What is known of its graph."""
    program: DifferentiableModel
    clock: Clock
    """How long the proof may take."""
    interrupt: Interrupt
    precision: torch.dtype
    size: int
    axes: Mapping[str, int]
    pool: Mapping[str, Array]
    """Inputs of more samples than `size`."""
    drawn: dict[str, torch.Tensor] = field(default_factory=dict)
    """The random numbers of the first run, on the whole batch."""

    @cached_property
    def whole(self) -> tuple[Any, ...]:
        """What the model as exported gives of the whole batch. Raises as a run does."""
        return _run(self, self.program, range(self.size))

    @cached_property
    def trace(self) -> Trace:
        """Where the model counts samples. Raises as a run does."""
        return _trace(self)


def open_samples(
    model: CheckedModel, seed: int, interrupt: Interrupt | None = None, budget_seconds: float = math.inf
) -> Opening:
    """The model with an open sample axis, where it was fixed and that can be proven; itself otherwise.

    What the model is refused for is left to those who convert it. `interrupt` is asked after every operator; where it
    raises OutOfTime, or the proof takes more time or memory than it is worth, the model stays as it is.
    """
    against: list[str] = []
    clock = Clock(min(MOST_SECONDS, BUDGET_SHARE * budget_seconds), None)
    asked = both(clock.look, interrupt)
    try:
        assignments = list(_assignments(model))
    except AnalysisError:
        return Opening(model)
    for size, axes in assignments:
        try:
            for precision in _precisions(model, size):
                attempt = _attempt(model, size, axes, seed, clock, asked, precision)
                opened, found = _opened(attempt)
                if opened is not None:
                    break
        except AnalysisError:
            continue
        except OutOfTime:
            against.append("the proof takes too long")
            break
        except MemoryError:
            against.append("the proof takes too much memory")
            break
        if opened is model:
            return Opening(model)
        if opened is not None:
            return Opening(opened, done=_done(attempt, found, against))
        against.append(found)
    if not against:
        return Opening(model)
    fixed = f"the export fixes the number of samples at {assignments[0][0]}"
    return Opening(model, refused=f"{fixed}, and cannot be opened: {against[0]}")


def _done(attempt: _Attempt, found: str, against: Sequence[str]) -> str:
    """What was opened."""
    name, axis = next(iter(attempt.axes.items()))
    other = f". Samples lie along axis {axis} of {name}: {against[0]}" if axis and against else ""
    return (
        f"the export fixes the number of samples at {attempt.size}: the sample axis was opened ({found}), "
        f"which changes no output; repaired models keep it open{other}"
    )


# ------------------------------------------------------------------ which axes


def _assignments(model: CheckedModel) -> Iterator[tuple[int, dict[str, int]]]:
    """How many samples are fixed, and which axis of which input counts them; the likeliest first.

    The first axis; where sequences come first, the second. Where a first axis is declared open, it is the one, and it
    is asked about only if a Reshape fixes it all the same.
    """
    shaped = [spec for spec in model.inputs if spec.shape]
    if not shaped or model.opset() < OLDEST_OPSET:
        return
    declared = [spec.shape[0] for spec in shaped if spec.shape and not isinstance(spec.shape[0], int)]
    if declared:
        same = [spec.name for spec in shaped if spec.shape and spec.shape[0] == declared[0]]
        yield from ((size, dict.fromkeys(same, 0)) for size in _reshaped_to(model))
        return
    leading = shaped[0].shape or ()
    if any(is_batch_name(each, axis) for spec in shaped for axis, each in enumerate(spec.shape or ())):
        return
    for axis in (0, 1) if len(leading) == 3 else (0,):
        size = leading[axis]
        if isinstance(size, int):
            options = [[axis] if spec is shaped[0] else _axes_of(spec, size) for spec in model.inputs]
            for chosen in itertools.islice(itertools.product(*options), MOST_ASSIGNMENTS):
                pairs = zip(model.inputs, chosen, strict=True)
                yield size, {spec.name: place for spec, place in pairs if place is not None}


def _reshaped_to(model: CheckedModel) -> list[int]:
    """Sizes that a Reshape gives the first axis of what has an open one."""
    sizes: dict[int, None] = {}
    for node in model.nodes:
        if node.op_type == "Reshape" and node.input[1] in model.weights:
            wanted = model.weights[node.input[1]]
            if node.input[0] not in model.values:
                continue
            first = model.values[node.input[0]].type.tensor_type.shape.dim[:1]
            if wanted.size and wanted[0] > 0 and first and not first[0].dim_value:
                sizes[int(wanted[0])] = None
    return list(sizes)[:MOST_ASSIGNMENTS]


def _axes_of(spec: ValueSpec, size: int) -> Sequence[int | None]:
    return [axis for axis, length in enumerate(spec.shape or ()) if length == size] or [None]


def _precisions(model: CheckedModel, size: int) -> tuple[torch.dtype, ...]:
    """In which the proof is led, one after the other until it stands: chaos drowns it in the rounding of float32."""
    few = size <= MOST_PRECISE and 2 * sum(map(_elements, model.inputs)) <= PRECISE_ELEMENTS
    small = few and sum(model.weights[name].size for name in model.weights) <= SMALL
    return (torch.float32, torch.float64) if small else (torch.float32,)


def _attempt(
    model: CheckedModel, size: int, axes: Mapping[str, int], seed: int, clock: Clock, interrupt: Interrupt,
    precision: torch.dtype,
) -> _Attempt:  # fmt: skip
    """A pool of samples, and the model as exported."""
    samples = size + 1 if size >= SURE else 2 * size + 1
    drawn = min(samples, MOST_DRAWN)
    specs = [_resized(spec, axes.get(spec.name), drawn) for spec in model.inputs]
    read = read_graph(model)
    program = translate(read, precision)
    program.interrupt = interrupt
    places = np.arange(samples) % drawn
    made = synthesize_inputs(model, program, specs, seed)
    pool = {name: np.take(array, places, axis=axes[name]) if name in axes else array for name, array in made.items()}
    return _Attempt(model, read, program, clock, interrupt, precision, size, axes, pool)


def _elements(spec: ValueSpec) -> int:
    """How many an input has, the open axes left out."""
    return math.prod(each for each in spec.shape or () if isinstance(each, int))


def _resized(spec: ValueSpec, axis: int | None, samples: int) -> ValueSpec:
    sizes = spec.shape or ()
    return spec if axis is None else replace(spec, shape=(*sizes[:axis], samples, *sizes[axis + 1 :]))


# ------------------------------------------------------------------ opening and proof


def _opened(attempt: _Attempt) -> tuple[CheckedModel | None, str]:
    """The proven model and what was rewritten; or None, and the node that stands against it.

    Raises AnalysisError where the model does not run as exported, OutOfTime where the first run says already that the
    proof takes too long, MemoryError.
    """
    model, axes = attempt.model, attempt.axes
    if normalizes_by_batch(model) and is_over_samples(node := attempt.trace.stuck):  # found within a few nodes
        return None, standing_against(node)
    if PASSES * _first_seconds(attempt) > attempt.clock.seconds_left:
        raise OutOfTime
    places = _proven(attempt, attempt.program)
    if places is not None:
        sizes = {spec.name: spec.shape for spec in model.inputs}
        is_open = not all(isinstance((sizes[name] or ())[axis], int) for name, axis in axes.items())
        opened = model if is_open else open_axis(model, attempt.size, axes, places)
        if _runs_elsewhere(attempt, opened):
            return opened, "no constant depends on it"
    trace = attempt.trace
    if trace.stuck is not None:
        return None, standing_against(trace.stuck)
    opened = open_axis(model, attempt.size, axes, trace.where, trace.changes)
    program = translate(read_graph(opened), attempt.precision)
    program.interrupt = attempt.interrupt
    if _proven(attempt, program) is None or not _runs_elsewhere(attempt, opened):
        return None, "on other numbers of samples it does not give the same"
    count = len(trace.changes)
    return opened, f"{count} constant{'s' if count > 1 else ''} rewritten"


def _first_seconds(attempt: _Attempt) -> float:
    """Processor time that the model takes as it was exported, on the whole batch. Raises as a run does."""
    begin = attempt.clock.seconds_left
    assert attempt.whole is not None
    return begin - attempt.clock.seconds_left


def _trace(attempt: _Attempt) -> Trace:
    size = attempt.size
    sizes = Sizes(size, few_of(size) if size >= SURE else 2 * size + 1)
    static = all(isinstance(each, int) for spec in attempt.model.inputs for each in spec.shape or (None,))
    return Tracer(step_through(attempt.read, attempt.precision, attempt.interrupt), sizes, static).run(
        attempt.pool, attempt.axes
    )


def _proven(attempt: _Attempt, program: DifferentiableModel) -> dict[str, SampleAxis] | None:
    """Where each output counts samples, if the program gives what the original does; None where it does not."""
    size = attempt.size
    names = program.output_names
    whole = attempt.whole
    places: dict[str, SampleAxis] = {}
    samples = next(array.shape[attempt.axes[name]] for name, array in attempt.pool.items() if name in attempt.axes)
    try:
        for count in (few_of(size), samples):
            if not count:
                continue
            sizes = Sizes(size, count)
            results = _run(attempt, program, sizes.rows)
            for name, one, two in zip(names, whole, results, strict=True):
                place = compare(one, two, sizes)
                if place is False:
                    return None
                if isinstance(place, SampleAxis):
                    places[name] = place
    except AnalysisError:
        return None
    return places or None


def _run(attempt: _Attempt, program: DifferentiableModel, rows: Sequence[int]) -> tuple[Any, ...]:
    """The outputs, in eval mode; a sample has the same random numbers in every run."""
    sizes = Sizes(attempt.size, len(rows))

    def settle(name: str, value: torch.Tensor) -> torch.Tensor:
        return with_shared(attempt.drawn.setdefault(name, value), value, sizes)

    tensors = [to_tensor(np.asarray(array, order="C"), attempt.precision) for array in _rows(attempt, rows).values()]
    names = reference.drawn_names(attempt.model)
    with torch.no_grad():
        return program.eval().observe(tensors, {name: [partial(settle, name)] for name in names})


def _rows(attempt: _Attempt, rows: Sequence[int]) -> dict[str, Array]:
    axes = attempt.axes
    return {
        name: np.take(array, rows, axis=axes[name]) if name in axes else array for name, array in attempt.pool.items()
    }


def _runs_elsewhere(attempt: _Attempt, opened: CheckedModel) -> bool:
    """Whether onnxruntime takes the opened graph, if it takes the original at all.

    Where torch stretches an initial state of one row over all samples, onnxruntime refuses it.
    """
    few = 2 if attempt.size != 2 else 3
    try:
        reference.compute(opened, _rows(attempt, range(few)), {})
    except Exception:  # noqa: BLE001 - onnxruntime's exceptions share no public base class
        try:
            reference.compute(attempt.model, _rows(attempt, range(attempt.size)), {})
        except Exception:  # noqa: BLE001 - the same
            return True
        return False
    return True
