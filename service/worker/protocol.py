"""What supervisor and child say to each other: data only.

Light on purpose: the supervisor never loads torch, the fork server has it loaded before the first child starts.
"""

from dataclasses import dataclass
from pathlib import Path

from analysis.errors import AnalysisError
from service.worker.sandbox import Confinement


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a child is to do."""

    model: Path
    model_name: str
    batch: Path | None
    options: str
    models_bytes: int
    confinement: Confinement


@dataclass(frozen=True, slots=True)
class Reached:
    """How far it is."""

    stage: str
    fraction: float


@dataclass(frozen=True, slots=True)
class Done:
    """The report and the repaired models lie in the working folder."""

    report: Path
    models: Path


@dataclass(frozen=True, slots=True)
class Refused:
    """The library refused the request."""

    error: AnalysisError


@dataclass(frozen=True, slots=True)
class Broken:
    """A bug; the traceback is in the log."""

    kind: str


@dataclass(frozen=True, slots=True)
class Died:
    """It ended without a word; what is left of it is its exit code, negative for a signal."""

    exit_code: int


Ending = Done | Refused | Broken | Died
Message = Reached | Done | Refused | Broken
