"""A comparison from the side of the web process: a child is started, told what it asks for, and believed little."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import IO, Final

from analysis.report.gate import Gate
from service.comparisons.child import TOO_EXPENSIVE
from service.comparisons.dialog import SAID, Compared, Refused, Side, Wanted
from service.problems import ProblemError

WALL_SECONDS: Final = 60.0
LONGEST_MESSAGE: Final = 256 << 20
MOST_QUESTIONS: Final = 2
Report = Callable[[Side, str], bytes]
"""The report of an analysis; may raise ProblemError, which then is the answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A comparison in its published form, and what the response says of it."""

    content: bytes
    regression: bool
    verdict: str


def compare_confined(body: IO[bytes], gate: Gate, report: Report) -> Answer:
    """Compare what a file with a body asks for; blocks as long as the child takes, and no longer than WALL_SECONDS.

    Raises ProblemError: what is wrong with the body, 413 where the child took too much, and what `report` raises.
    """
    body.seek(0)
    ours, theirs = Pipe()
    with ours, theirs, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "service.comparisons.child", str(theirs.fileno()), folder, str(gate)]
        with subprocess.Popen(command, stdin=body, pass_fds=[theirs.fileno()]) as child:  # noqa: S603 - our own module
            theirs.close()
            try:
                return _listen(ours, report, time.monotonic() + WALL_SECONDS)
            except (EOFError, OSError) as error:  # it died of its limits, or was too slow
                raise ProblemError(TOO_EXPENSIVE) from error
            finally:
                child.kill()


def _listen(pipe: Connection, report: Report, deadline: float) -> Answer:
    for _ in range(MOST_QUESTIONS + 1):
        said = SAID.validate_json(_receive(pipe, deadline))
        match said:
            case Wanted(side=side, job_id=job_id):
                pipe.send_bytes(report(side, job_id))
            case Compared():
                return Answer(_receive(pipe, deadline), said.regression, said.verdict)
            case Refused():
                raise ProblemError(said.problem)
    raise EOFError


def _receive(pipe: Connection, deadline: float) -> bytes:
    if not pipe.poll(max(0.0, deadline - time.monotonic())):
        raise EOFError
    return pipe.recv_bytes(LONGEST_MESSAGE)
