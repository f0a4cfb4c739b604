"""What supervisor and child say to each other, and how a child gets from the one to the other.

Light on purpose: the supervisor never loads torch, the fork server has it loaded before the first child starts.
"""

from dataclasses import dataclass
from multiprocessing.connection import Connection
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
class Progress:
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


Message = Progress | Done | Refused | Broken


def run_child(assignment: Assignment | None, pipe: Connection) -> None:
    """First function of a child: the work, or with no assignment a sign of life."""
    from service.worker import child  # noqa: PLC0415 - loaded already in the fork server, never in the supervisor

    if assignment is None:
        pipe.send(Progress("ready", 1.0))
    else:
        child.run(assignment, pipe)
