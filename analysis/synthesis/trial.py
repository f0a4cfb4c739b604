"""Running a graph on made-up inputs to see how far it comes."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from analysis.clock import Clock, both
from analysis.convert import DifferentiableModel
from analysis.convert.program import Watcher
from analysis.convert.tensors import to_tensor
from analysis.errors import AnalysisError, LimitExceeded, NodeFailed
from analysis.model.weights import Array

LARGEST_ELEMENTS: Final = 1 << 26
"""Of one input in a trial."""
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

    def run(self, inputs: Mapping[str, Array], watched: Sequence[str] = ()) -> Outcome:
        """Run in eval mode and without gradients. Raises OutOfTime where no more trials would be worth it."""
        self._left -= 1
        begin = time.process_time()
        largest: dict[str, int] = {}

        def watching(name: str) -> Watcher:
            def keep(value: torch.Tensor) -> None:
                largest[name] = int(value.max()) if value.numel() else 0

            return keep

        if any(array.size > LARGEST_ELEMENTS for array in inputs.values()):
            return Outcome((), LimitExceeded("the batch that was tried is too large"), largest)
        tensors = [to_tensor(np.ascontiguousarray(array)).to(self._device) for array in inputs.values()]
        try:
            with torch.no_grad(), self._converted.interrupted_by(both(self._clock.look, self._converted.interrupt)):
                outputs = self._converted.eval().observe(tensors, {name: [watching(name)] for name in watched})
        except NodeFailed as error:
            return Outcome(error.path, error, largest)
        except LimitExceeded as error:
            self._refused_seconds += time.process_time() - begin
            return Outcome((), error, largest)
        return Outcome((len(self._converted.steps),), None, largest, finite=all(map(_is_finite, outputs)))


def _is_finite(value: Any) -> bool:
    """Whether a value holds neither nan nor infinity; what is no tensor of numbers cannot."""
    return not isinstance(value, torch.Tensor) or bool(torch.isfinite(value).all())
