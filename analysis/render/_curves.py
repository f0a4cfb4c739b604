"""Loss curves of the short trainings: one small drawing for each variant, all on one scale.

From 0, perfect, to 1, the best constant answer, with a little room above; what goes beyond is drawn at the edge, and a
curve ends where the loss is no number any more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from analysis.facts import Run
from analysis.report import Report, Variant

WIDTH: Final = 240.0
HEIGHT: Final = 90.0
HIGHEST: Final = 1.25
"""Over chance."""
CHANCE_AT: Final = round(HEIGHT - HEIGHT / HIGHEST, 1)


@dataclass(frozen=True, slots=True)
class Line:
    """One run."""

    optimizer: str
    path: str
    words: str


@dataclass(frozen=True, slots=True)
class Curves:
    """The runs of one variant."""

    variant: Variant
    lines: tuple[Line, ...]
    steps: int


def curves_of(report: Report) -> tuple[Curves, ...]:
    """Of every variant that was trained, in the order of the report."""
    trained = [each for each in report.variants if each.probe is not None and any(run.curve for run in each.probe.runs)]
    return tuple(_curves(each, each.probe.runs) for each in trained if each.probe is not None)


def _curves(variant: Variant, runs: Sequence[Run]) -> Curves:
    steps = max(len(run.curve) for run in runs) - 1
    return Curves(variant, tuple(_line(run, max(steps, 1)) for run in runs if run.curve), steps)


def _line(run: Run, steps: int) -> Line:
    finite = list(takewhile(math.isfinite, run.curve))
    points = [f"{WIDTH * step / steps:.4g} {_y(loss):.4g}" for step, loss in enumerate(finite)]
    path = f"M{'L'.join(points)}{'h0' if len(points) == 1 else ''}" if points else ""
    return Line(
        run.optimizer, path, f"{run.optimizer}, rate {run.learning_rate:g}, seed {run.seed}: {run.outcome.value}"
    )


def _y(loss: float) -> float:
    return HEIGHT - HEIGHT * min(max(loss, 0.0), HIGHEST) / HIGHEST
