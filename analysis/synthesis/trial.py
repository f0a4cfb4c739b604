"""Running a graph on made-up inputs to see how far it comes."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from analysis.clock import Clock, OutOfTime, both
from analysis.convert import DifferentiableModel
from analysis.convert.program import Watcher
from analysis.convert.tensors import to_tensor
from analysis.errors import AnalysisError, LimitExceeded, NodeFailed
from analysis.model.weights import Array

LARGEST_ELEMENTS: Final = 1 << 26
"""Of one input in a trial."""
TOO_MUCH: Final = "too much was tried"
MOST_TRIALS: Final = 1500
MOST_SECONDS: Final = 30.0
"""Of processor time that all trials of one graph may take, and any of them."""
MOST_SECONDS_REFUSED: Final = 3.0
"""The same of trials that ended at a limit: it is the graph that asks for too much, not the sizes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run."""

    reached: tuple[int, ...]
    """The step that failed, in the order in which they run, and inside it the step of its body; empty: none did run."""
    error: AnalysisError | None
    largest: Mapping[str, int]
    """Largest element of each value that was watched and reached."""
    finite: bool = False
    """Whether all outputs are finite, where nothing failed."""
    flat: int = 0
    """Outputs that are numbers and have the same in every row, where nothing failed."""

    @property
    def ran(self) -> bool:
        """Whether nothing failed."""
        return self.error is None


class Trials:
    """Runs of one converted graph, counted."""

    def __init__(self, converted: DifferentiableModel) -> None:
        """Nothing has run yet."""
        self._converted = converted
        self._device = next((each.device for each in converted.parameters()), torch.device("cpu"))
        self._left = MOST_TRIALS
        self._clock = Clock(MOST_SECONDS, None)
        self._refused_seconds = 0.0

    @property
    def exhausted(self) -> bool:
        """Whether as much was tried as is worth it."""
        return self._left <= 0 or self._clock.is_over or self._refused_seconds > MOST_SECONDS_REFUSED

    def run(self, inputs: Mapping[str, Array], watched: Sequence[str] = (), *, decisive: bool = False) -> Outcome:
        """Run in eval mode and without gradients; ended, and failed, where no more trials are worth their time.

        Not so the first one, and a `decisive` one: what it costs, a measurement costs too. Raises OutOfTime where the
        budget of the analysis ends.
        """
        decisive = decisive or self._left == MOST_TRIALS
        if self.exhausted and not decisive:
            return Outcome((), NodeFailed(TOO_MUCH), {})
        look = self._converted.interrupt if decisive else both(self._clock.look, self._converted.interrupt)
        self._left -= 1
        begin = time.process_time()
        largest: dict[str, int] = {}

        def watching(name: str) -> Watcher:
            def keep(value: torch.Tensor) -> None:
                largest[name] = int(value.max()) if value.numel() else 0

            return keep

        if any(array.size > LARGEST_ELEMENTS for array in inputs.values()):
            return Outcome((), LimitExceeded("the batch that was tried is too large"), largest)
        tensors = [to_tensor(np.asarray(array, order="C")).to(self._device) for array in inputs.values()]
        try:
            with torch.no_grad(), self._converted.interrupted_by(look):
                outputs = self._converted.eval().observe(tensors, {name: [watching(name)] for name in watched})
        except NodeFailed as error:
            return Outcome(error.path, error, largest)
        except OutOfTime:
            if decisive or not self._clock.is_over:
                raise
            return Outcome((), NodeFailed(TOO_MUCH), largest)
        except LimitExceeded as error:
            self._refused_seconds += time.process_time() - begin
            return Outcome((), error, largest)
        finite, flat = all(map(_is_finite, outputs)), sum(map(_is_flat, outputs))
        return Outcome((len(self._converted.steps),), None, largest, finite, flat)


def _is_finite(value: Any) -> bool:
    """Whether a value holds neither nan nor infinity; what is no tensor of numbers cannot."""
    return not isinstance(value, torch.Tensor) or bool(torch.isfinite(value).all())


def _is_flat(value: Any) -> bool:
    """Whether a value of several rows of numbers has equal ones only."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or value.ndim < 1 or len(value) < 2:
        return False
    return bool((value == value[:1]).all())
