"""The table of figures beside their targets, printed at the end and written to build/bench.json."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

OUTPUT = Path(__file__).parents[2] / "build" / "bench.json"
REGRESSION = 1.5
"""Machines are noisy: a benchmark fails only where a figure is this many times what it was when last looked at."""


@dataclass(frozen=True)
class Figure:
    what: str
    value: float
    unit: str
    target: float

    def __str__(self) -> str:
        met = "met" if self.value <= self.target else f"MISSED by {self.value / self.target - 1:.0%}"
        return f"{self.what:<58} {self.value:9.3f} {self.unit:<8} target <= {self.target:<7g} {met}"


Record = Callable[..., None]
figures: list[Figure] = []


@pytest.fixture
def record() -> Record:
    """Take a figure (lower is better), and fail far above what was last known."""

    def take(what: str, value: float, *, target: float, known: float, unit: str = "x") -> None:
        figures.append(Figure(what, value, unit, target))
        assert value <= REGRESSION * max(known, target), f"{what}: {value:.3f}, last known {known}"

    return take


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if figures:
        terminalreporter.section("benchmarks: CPU time, one thread")
        for figure in figures:
            terminalreporter.line(str(figure))


@pytest.fixture(scope="session", autouse=True)
def _written() -> Iterator[None]:
    yield
    if figures:
        OUTPUT.parent.mkdir(exist_ok=True)
        OUTPUT.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
