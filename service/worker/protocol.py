"""What supervisor and child say to each other.

An assignment goes to a child that has not yet seen a stranger's byte, as a pickle. What comes back is data only, JSON
whose every field is checked: by then the child may belong to somebody else. It names no file; where results lie is
agreed on here. Light on purpose: the supervisor never loads torch.
"""

import json
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, Final

from analysis.errors import AnalysisError
from service.worker.sandbox import Confinement

REPORT: Final = "report.json"
MODELS: Final = "models"
"""Where a child leaves its results, in its folder."""
UNTOLD: Final = 255
"""What multiprocessing gives as exit code where the fork server is gone, which alone knew the true one."""
LONGEST_STAGE: Final = 100
LATEST: Final = 253_402_300_799
"""The last second of the year 9999."""
LONGEST_TEXT: Final = 10_000
"""Characters of each part of a refusal; a name of a node may have a megabyte."""


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
    threads: int
    confinement: Confinement

    @property
    def inputs(self) -> tuple[OpenFile, ...]:
        """All files that it is given."""
        return (self.model, *([] if self.batch is None else [self.batch]), *self.data_files.values())


@dataclass(frozen=True, slots=True)
class Reached:
    """How far it is."""

    stage: str
    fraction: float
    at: float = field(default=0.0, compare=False)
    """By the child's clock, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Done:
    """The report and the repaired models lie in the working folder."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The library refused the request."""

    error: AnalysisError


@dataclass(frozen=True, slots=True)
class Broken:
    """A bug; the traceback is in the log."""

    kind: str


@dataclass(frozen=True, slots=True)
class NoRoom:
    """The disk had no room for what it wrote."""


@dataclass(frozen=True, slots=True)
class Died:
    """It ended without a word; what is left of it is its exit code, negative for a signal."""

    exit_code: int
    memory_ran_out: bool = False
    """Whether the kernel killed something for want of memory while it lived."""

    @property
    def may_live_again(self) -> bool:
        """Whether it died of what need not happen twice: a signal, but not the one for too much processor time."""
        return self.exit_code < 0 and -self.exit_code != signal.SIGXCPU

    @property
    def was_lost(self) -> bool:
        """Whether it went down with its fork server, which is none of its own doing."""
        return self.exit_code == UNTOLD


@dataclass(frozen=True, slots=True)
class Outgrown:
    """It was ended because it held more memory than it may have."""

    held_bytes: int
    allowed_bytes: int


Message = Reached | Done | Refused | Broken | NoRoom
"""What a child says."""
Ending = Done | Refused | Broken | NoRoom | Died | Outgrown


class NotAMessage(Exception):
    """A child said something that no child of ours says."""


def encode(message: Message) -> bytes:
    """A message as JSON."""
    match message:
        case Reached(stage, fraction, at):
            said: list[Any] = ["reached", stage[:LONGEST_STAGE], fraction, at]
        case Done():
            said = ["done"]
        case Refused(error):
            parts = (error.detail, error.where, error.hint)
            said = ["refused", error.code, *(_shortened(part) for part in parts)]
        case Broken(kind):
            said = ["broken", kind]
        case NoRoom():
            said = ["no room"]
    return json.dumps(said).encode()


def decode(content: bytes) -> Message:
    """A message out of JSON; raises NotAMessage where it is none."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotAMessage("no JSON") from error
    match said:
        case ["reached", str(stage), int() | float() as fraction, int() | float() as at] if (
            _is_stage(stage) and 0 <= fraction <= 1 and 0 <= at <= LATEST
        ):
            return Reached(stage, float(fraction), float(at))
        case ["done"]:
            return Done()
        case ["refused", str(code), str(detail), str(where), str(hint)] if code in _ERRORS:
            return Refused(_ERRORS[code](_text(detail), where=_text(where), hint=_text(hint)))
        case ["broken", str(kind)]:
            return Broken(_text(kind))
        case ["no room"]:
            return NoRoom()
    raise NotAMessage("unknown kind, or a field of another type")


def _kinds(kind: type[AnalysisError]) -> Iterator[type[AnalysisError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)


_ERRORS: Final = {kind.code: kind for kind in _kinds(AnalysisError)}


def _is_stage(stage: str) -> bool:
    return 0 < len(stage) <= LONGEST_STAGE and stage.isprintable()


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 4] + " ..."


def _text(text: str) -> str:
    """Text that every database takes: no NUL, no lone surrogate."""
    return text[:LONGEST_TEXT].replace("\0", "").encode(errors="replace").decode()
