"""The table of figures beside their targets, printed at the end and written to build/bench.json.

Ratios are compared with those of `reference.json`, which this repository was last measured at; seconds are those of a
machine, and are printed only. `GRADIENT_HEALTH_BENCH_REFERENCE=write` puts what was measured in there.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

OUTPUT = Path(__file__).parents[2] / "build" / "bench.json"
REFERENCE = Path(__file__).with_name("reference.json")
REGRESSION = 1.15
"""Times a reference ratio, from which on a benchmark fails."""
UNSTEADY = 1.5
"""The same for growth exponents, shares of networks and memory, over what was last known or the target."""
RATIO = "x"
COUNTED = ("", "share", "MB")


@dataclass(frozen=True)
class Figure:
    what: str
    value: float | None
    """None: it cannot do that."""
    unit: str
    target: float | None
    """None: of a peer, beside which ours stands."""
    reference: float | None

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.what:<66} {'fails':>9}"
        row = f"{self.what:<66} {self.value:9.3f} {self.unit:<7}"
        if self.target is None:
            return f"{row} peer"
        met = "met" if self.value <= self.target else f"MISSED by {self.value / self.target - 1:.0%}"
        beside = "" if self.reference is None else f", {self.value / self.reference - 1:+.0%} to the reference"
        return f"{row} target <= {self.target:<7g} {met}{beside}"


Record = Callable[..., None]
figures: list[Figure] = []
references: dict[str, float] = json.loads(REFERENCE.read_text()) if REFERENCE.exists() else {}


@pytest.fixture
def record() -> Record:
    """Take a figure (lower is better), and fail where it is far above what it was.

    `known`: of exponents, shares and memory, which have no reference.
    """

    def take(what: str, value: float, *, target: float, known: float | None = None, unit: str = RATIO) -> None:
        reference = references.get(what) if unit == RATIO else None
        figures.append(Figure(what, value, unit, target, reference))
        if reference is not None and not _writes():
            assert value <= REGRESSION * reference, f"{what}: {value:.3f}, and the reference is {reference}"
        if known is not None and unit in COUNTED:
            assert value <= UNSTEADY * max(known, target), f"{what}: {value:.3f}, last known {known}"

    return take


@pytest.fixture
def record_peer() -> Record:
    """Take the figure of somebody else's program, or None where it fails."""

    def take(what: str, value: float | None) -> None:
        figures.append(Figure(what, value, RATIO, None, None))

    return take


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if figures:
        terminalreporter.section("benchmarks: CPU time, one thread")
        for figure in figures:
            terminalreporter.line(str(figure))


@pytest.fixture(scope="session", autouse=True)
def _written() -> Iterator[None]:
    yield
    if not figures:
        return
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    if _writes():
        measured = {each.what: round(each.value, 3) for each in figures if each.target and each.value is not None
                    and each.unit == RATIO}  # fmt: skip
        REFERENCE.write_text(json.dumps(dict(sorted({**references, **measured}.items())), indent=1) + "\n")


def _writes() -> bool:
    return os.environ.get("GRADIENT_HEALTH_BENCH_REFERENCE") == "write"
