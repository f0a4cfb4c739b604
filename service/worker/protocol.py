"""What supervisor and child say to each other: data only.

Light on purpose: the supervisor never loads torch, the fork server has it loaded before the first child starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from service.worker.sandbox import Confinement


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that its supervisor opened for a child: all that a child has of the object store are these."""

    descriptor: int

    @property
    def path(self) -> Path:
        """By which it can be opened again, in the process that has it."""
        return Path(f"/proc/self/fd/{self.descriptor}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled on the way to a child, it takes the descriptor along."""
        return _arrive, (DupFd(self.descriptor),)


def _arrive(sent: Any) -> OpenFile:
    return OpenFile(sent.detach())


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a child is to do."""

    model: OpenFile
    model_name: str
    batch: OpenFile | None
    data_files: Mapping[str, OpenFile]
    """External data of the model, by the name it has there."""
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
